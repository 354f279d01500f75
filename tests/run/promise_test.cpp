// How a task is started, ends, and finds its way home: the protocol below task, scope and lane.
#include "../support/catch.hpp"
#include "../support/frames.hpp"

#include <posthaste/detail/this_thread.hpp>
#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/promise.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>

#include <algorithm>
#include <coroutine>
#include <string>
#include <utility>

using namespace posthaste;

namespace {

// Starts a task by hand, and counts its ends.
struct starter {
    explicit starter(simulation& w) noexcept : under(w, never, {}), world(w) {}
    void place(task<>& t) noexcept {
        t.promise().place(
            world, &under,
            [](detail::promise_base& p) noexcept {
                auto& self = *static_cast<starter*>(p.owner());
                ++self.ends;
                self.was_here = p.starter_is_here();
            },
            this);
    }
    context under;
    simulation& world;
    int ends = 0;
    bool was_here = false;
};

// Notes where it is.
struct waiting {
    static constexpr bool keeps_home = true;
    explicit waiting(const void*& w) noexcept : where(w) {}
    waiting(const waiting&) = delete;
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<>) noexcept {
        where = this;
        return false;
    }
    int await_resume() noexcept { return where == this ? 5 : 0; }
    const void*& where;
};

}  // namespace

TEST_CASE("promise: a task that ends at once leaves the rest to its starter") {
    testing::no_frames_left frames;
    simulation world;
    starter s(world);
    const auto body = []() -> task<> { co_return; };
    task<> t = body();
    s.place(t);
    CHECK(t.promise().owner() == &s);
    CHECK(t.promise().start_here());
    CHECK(s.ends == 1);
    CHECK(s.was_here);
    CHECK(world.steps() == 0);
}

TEST_CASE("promise: a task that stands still first ends without its starter") {
    testing::no_frames_left frames;
    simulation world;
    starter s(world);
    event ready;
    const auto body = [&]() -> task<> { static_cast<void>(co_await ready.wait()); };
    task<> t = body();
    s.place(t);
    CHECK_FALSE(t.promise().start_here());
    CHECK(s.ends == 0);
    ready.set();
    CHECK(s.ends == 0);
    world.run_until_idle();
    CHECK(s.ends == 1);
    CHECK_FALSE(s.was_here);
}

TEST_CASE("promise: one that was started quietly tells its end only if that is elsewhere") {
    testing::no_frames_left frames;
    simulation world;
    starter s(world);
    event ready;
    const auto body = [&]() -> task<> { static_cast<void>(co_await ready.wait()); };
    for (const bool at_once : {false, true}) {
        CAPTURE(at_once);
        s.ends = 0;
        task<> t = body();
        s.place(t);
        const auto h = std::coroutine_handle<detail::task_promise<void>>::from_promise(t.promise());
        CHECK(t.promise().start_quietly(h) == at_once);
        ready.set();
        world.run_until_idle();
        CHECK(t.promise().has_ended());
        CHECK(s.ends == (at_once ? 0 : 1));
        CHECK_FALSE(s.was_here);
    }
}

TEST_CASE("promise: who starts a task hears, before it is left alone, that it has not ended") {
    testing::no_frames_left frames;
    simulation world;
    starter s(world);
    int told = 0;
    event ready;
    const auto body = [&](bool waits) -> task<> {
        if (waits) static_cast<void>(co_await ready.wait());
    };
    const auto start = [&](task<>& t) {
        s.place(t);
        const auto h = std::coroutine_handle<detail::task_promise<void>>::from_promise(t.promise());
        return t.promise().start_quietly(h, [&] { ++told; });
    };
    task<> ends = body(false);
    CHECK(start(ends));
    CHECK(told == 0);

    task<> stands = body(true);
    CHECK_FALSE(start(stands));
    CHECK(told == 1);
    ready.set();
    world.run_until_idle();
    CHECK(s.ends == 1);

    task<> too_deep = body(false);
    const unsigned depth = std::exchange(detail::this_thread().depth, detail::max_depth);
    CHECK_FALSE(start(too_deep));
    detail::this_thread().depth = depth;
    CHECK(told == 2);
    world.run_until_idle();
    CHECK(s.ends == 2);
}

TEST_CASE("promise: a task that is posted begins when its executor comes to it") {
    testing::no_frames_left frames;
    simulation world;
    starter s(world);
    bool begun = false;
    const auto body = [&]() -> task<> {
        begun = true;
        co_return;
    };
    task<> t = body();
    s.place(t);
    t.promise().start_by_post();
    CHECK_FALSE(begun);
    world.run_until_idle();
    CHECK(begun);
    CHECK(s.ends == 1);
    CHECK_FALSE(s.was_here);
}

TEST_CASE("promise: tasks are started within one another only so deep") {
    testing::no_frames_left frames;
    simulation world;
    unsigned deepest = 0;
    struct recursion {
        static task<int> down(int levels, unsigned& deepest) {
            deepest = std::max(deepest, detail::this_thread().depth);
            if (levels == 0) co_return 0;
            const int below = co_await down(levels - 1, deepest);
            co_return below + 1;
        }
    };
    CHECK(sync_wait(world, recursion::down(1000, deepest)) == 1000);
    CHECK(deepest == detail::max_depth);
    CHECK(world.steps() > 1000 / detail::max_depth);
    CHECK(detail::this_thread().depth == 0);
}

TEST_CASE("promise: this_context gives what the task was placed under") {
    testing::no_frames_left frames;
    simulation world;
    starter s(world);
    const context* seen = nullptr;
    const auto body = [&]() -> task<> {
        const context& ctx = co_await this_context;
        seen = &ctx;
    };
    task<> t = body();
    s.place(t);
    REQUIRE(t.promise().start_here());
    CHECK(seen == &s.under);
}

TEST_CASE("promise: an awaiter that has a name stays where it is") {
    testing::no_frames_left frames;
    simulation world;
    const void* where = nullptr;
    const auto body = [&]() -> task<bool> {
        waiting w(where);
        const int got = co_await w;
        co_return got == 5 && where == &w;
    };
    CHECK(sync_wait(world, body()));
}

namespace {
// Not inlined, or clang might put the frame on its caller's stack.
POSTHASTE_NOINLINE task<std::string> wait_and_give(std::string s) {
    co_await yield();
    co_return s;
}
}  // namespace

TEST_CASE("promise: frames are made of recycled memory and counted") {
    const long before = detail::live_frames.load(std::memory_order_relaxed);
    {
        task<std::string> t = wait_and_give(std::string(100, 'x'));
        CHECK(detail::live_frames.load(std::memory_order_relaxed) == before + 1);
        simulation world;
        CHECK(sync_wait(world, std::move(t)) == std::string(100, 'x'));
    }
    CHECK(detail::live_frames.load(std::memory_order_relaxed) == before);

    if (detail::address_sanitizer) return;  // it wants to see each block
    const void* first = nullptr;
    for (int i = 0; i != 3; ++i) {
        const task<std::string> t = wait_and_give("");
        void* const memory = t.promise().self.address();
        const detail::block_cache* const owner = (static_cast<detail::block*>(memory) - 1)->owner;
        CHECK(owner != nullptr);
        CHECK(owner == detail::this_thread().blocks);
        CHECK((i == 0 || memory == first));
        first = memory;
    }
}
