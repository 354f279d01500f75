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
    bool start(task<>& t) noexcept {
        return start(t, [] {});
    }
    template <typename F>
    bool start(task<>& t, F before) noexcept {
        detail::promise_base& p = t.promise();
        p.place(world, &under);
        return p.start(p.self, &starter::ended, this, before);
    }
    void post(task<>& t) noexcept {
        t.promise().place(world, &under);
        t.promise().start_by_post(&starter::ended, this);
    }
    static void ended(detail::promise_base& p) noexcept {
        ++static_cast<starter*>(p.owner())->ends;
    }
    context under;
    simulation& world;
    int ends = 0;
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

// Stands still until somebody resumes it.
struct standing {
    static constexpr bool keeps_home = true;
    explicit standing(std::coroutine_handle<>& h) noexcept : handle(h) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) noexcept { handle = h; }
    void await_resume() const noexcept {}
    std::coroutine_handle<>& handle;
};

}  // namespace

TEST_CASE("promise: a task that ends at once leaves the rest to its starter") {
    testing::no_frames_left frames;
    simulation world;
    starter s(world);
    const auto body = []() -> task<> { co_return; };
    task<> t = body();
    CHECK(s.start(t));
    CHECK(t.promise().has_ended());
    CHECK(s.ends == 0);
    CHECK(world.steps() == 0);
}

TEST_CASE("promise: a task that stands still first ends without its starter") {
    testing::no_frames_left frames;
    simulation world;
    starter s(world);
    event ready;
    const auto body = [&]() -> task<> { static_cast<void>(co_await ready.wait()); };
    task<> t = body();
    CHECK_FALSE(s.start(t));
    CHECK(s.ends == 0);
    ready.set();
    CHECK(s.ends == 0);
    world.run_until_idle();
    CHECK(t.promise().has_ended());
    CHECK(t.promise().owner() == &s);
    CHECK(s.ends == 1);
}

TEST_CASE(
    "promise: one that has stood still, and ends before its starter leaves it, tells nobody") {
    testing::no_frames_left frames;
    simulation world;
    starter s(world);
    std::coroutine_handle<> stands;
    const auto body = [&]() -> task<> { co_await standing(stands); };
    task<> t = body();
    CHECK(s.start(t, [&] { stands.resume(); }));
    CHECK(t.promise().has_ended());
    CHECK(s.ends == 0);
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
    const auto start = [&](task<>& t) { return s.start(t, [&] { ++told; }); };
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
    s.post(t);
    CHECK_FALSE(begun);
    world.run_until_idle();
    CHECK(begun);
    CHECK(s.ends == 1);
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
    REQUIRE(s.start(t));
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
