#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/foreign.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/thread_pool.hpp>

#include <atomic>
#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

using namespace posthaste;

namespace {

// Another library's awaitables; each keeps the handle it was given for the test to resume.
struct by_void {
    explicit by_void(std::coroutine_handle<>& h) noexcept : handle(h) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) noexcept { handle = h; }
    int await_resume() const noexcept { return 1; }
    std::coroutine_handle<>& handle;
};
struct by_bool {
    by_bool(std::coroutine_handle<>& h, bool s) noexcept : handle(h), suspends(s) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> h) noexcept {
        handle = h;
        return suspends;
    }
    int await_resume() const noexcept { return 2; }
    std::coroutine_handle<>& handle;
    bool suspends;
};
struct by_handle {
    by_handle(std::coroutine_handle<>& h, bool s) noexcept : handle(h), suspends(s) {}
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) noexcept {
        handle = h;
        return suspends ? std::coroutine_handle<>(std::noop_coroutine()) : h;
    }
    int await_resume() const noexcept { return 3; }
    std::coroutine_handle<>& handle;
    bool suspends;
};
struct resumed_within {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const { h.resume(); }
    int await_resume() const noexcept { return 4; }
};
struct throws_at_the_end {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    int await_resume() const { throw std::runtime_error("foreign"); }
};

// One with an operator co_await, whose awaiter can only be moved.
class moving {
public:
    explicit moving(std::unique_ptr<int> p) noexcept : box_(std::move(p)) {}
    auto operator co_await() && noexcept { return waiting(std::move(box_)); }

private:
    struct waiting {
        explicit waiting(std::unique_ptr<int> p) noexcept : box(std::move(p)) {}
        bool await_ready() const noexcept { return false; }
        bool await_suspend(std::coroutine_handle<>) const noexcept { return false; }
        std::unique_ptr<int> await_resume() noexcept { return std::move(box); }
        std::unique_ptr<int> box;
    };
    std::unique_ptr<int> box_;
};

long frames_now() { return detail::live_frames.load(std::memory_order_relaxed); }

}  // namespace

TEST_CASE("foreign: goes on at home once somebody resumes it, whatever await_suspend returns") {
    testing::no_frames_left frames;
    simulation world;
    std::coroutine_handle<> handle;
    int got = 0;
    bool home = false;
    const auto with = [&](auto awaited) -> task<> {
        got = co_await awaited;
        home = world.here();
    };
    const auto comes_home = [&](task<> t, int expected) {
        got = 0;
        home = false;
        testing::started s(world, std::move(t));
        world.run_until_idle();
        CHECK_FALSE(s.ended());
        CHECK_THAT(world.report(), Catch::Matchers::ContainsSubstring("another library's"));
        handle.resume();
        CHECK(got == 0);  // not within resume()
        world.run_until_idle();
        CHECK(s.ended());
        CHECK(got == expected);
        CHECK(home);
        CHECK_THAT(world.report(), Catch::Matchers::ContainsSubstring("parked: 0"));
    };
    comes_home(with(by_void(handle)), 1);
    comes_home(with(by_bool(handle, true)), 2);
    comes_home(with(by_handle(handle, true)), 3);
}

TEST_CASE("foreign: goes on at once where it was not suspended, and is not held to be parked") {
    testing::no_frames_left frames;
    simulation world;
    std::coroutine_handle<> handle;
    std::string report;
    const auto body = [&]() -> task<int> {
        by_bool stays(handle, false);
        const int got = co_await stays;
        report = world.report();
        co_return got;
    };
    CHECK(sync_wait(world, body()) == 2);
    CHECK(world.steps() == 1);
    CHECK_THAT(report, Catch::Matchers::ContainsSubstring("parked: 0"));
}

TEST_CASE("foreign: may be resumed from within await_suspend") {
    testing::no_frames_left frames;
    simulation world;
    std::coroutine_handle<> handle;
    const auto body = [&]() -> task<int> {
        int sum = 0;
        for (int i = 0; i != 1000; ++i) {
            sum += co_await resumed_within();
            sum += co_await by_handle(handle, false);
        }
        co_return sum;
    };
    CHECK(sync_wait(world, body()) == 7000);
}

TEST_CASE("foreign: what it throws comes out, what can only be moved comes through") {
    testing::no_frames_left frames;
    simulation world;
    const auto throws = []() -> task<int> { co_return co_await throws_at_the_end(); };
    CHECK_THROWS_WITH(sync_wait(world, throws()), "foreign");
    const auto moves = []() -> task<int> {
        moving m(std::make_unique<int>(9));
        const std::unique_ptr<int> p = co_await std::move(m);
        co_return *p;
    };
    CHECK(sync_wait(world, moves()) == 9);
}

TEST_CASE("foreign: needs a frame only where it suspends, and gives it back") {
    testing::no_frames_left frames;
    simulation world;
    long ready = 0, before = 0;
    const auto body = [&]() -> task<> {
        before = frames_now();
        try {
            ready = co_await throws_at_the_end();
        } catch (const std::runtime_error&) {
            ready = frames_now();
        }
    };
    sync_wait(world, body());
    CHECK(ready == before);

    std::coroutine_handle<> handle;
    const auto waits = [&]() -> task<> {
        by_void w(handle);
        static_cast<void>(co_await w);
    };
    testing::started t(world, waits());
    const long still = frames_now();
    world.run_until_idle();
    CHECK(frames_now() == still + 1);
    t.destroy();  // with its way home
    CHECK(frames_now() == still - 1);
}

TEST_CASE("foreign: destroyed where it stands, what the awaiter was given goes after it") {
    testing::no_frames_left frames;
    simulation world;
    struct watches {
        explicit watches(long& n) noexcept : frames_at_its_end(n) {}
        watches(const watches&) = default;
        ~watches() { frames_at_its_end = detail::live_frames.load(std::memory_order_relaxed); }
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<>) const noexcept {}
        void await_resume() const noexcept {}
        long& frames_at_its_end;
    };
    struct watched {
        long& n;
        watches operator co_await() const noexcept { return watches(n); }
    };
    const long before = detail::live_frames.load(std::memory_order_relaxed);
    long at_its_end = 0;
    const auto body = [&]() -> task<> { co_await watched{at_its_end}; };
    CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    CHECK(at_its_end == before + 2);
}

TEST_CASE("foreign: our own awaiters are not wrapped") {
    STATIC_REQUIRE(home_keeping<detail::foreign_awaiter<by_void>>);
    STATIC_REQUIRE_FALSE(home_keeping<by_void>);
}

TEST_CASE("foreign: threads that resume may stay longer than the pool whose work they resume") {
    testing::no_frames_left frames;
    for (int round = 0; round != 200; ++round) {
        std::thread other;
        {
            thread_pool pool(1);
            struct on_thread {
                explicit on_thread(std::thread& t) noexcept : thread(t) {}
                bool await_ready() const noexcept { return false; }
                void await_suspend(std::coroutine_handle<> h) {
                    thread = std::thread([h] { h.resume(); });
                }
                void await_resume() const noexcept {}
                std::thread& thread;
            };
            const auto body = [&]() -> task<> {
                on_thread waiting(other);
                co_await waiting;
            };
            sync_wait(pool, body());
        }
        other.join();
    }
}
