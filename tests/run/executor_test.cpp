// What all executors promise: here(), driving, idle_here(); and that they can be exchanged.
#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/wait/sleep.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <type_traits>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

// Does the same with each of them.
void with_each(const std::function<void(executor&, bool drives_itself)>& f) {
    {
        simulation world;
        f(world, false);
    }
    {
        run_loop loop;
        f(loop, false);
    }
    {
        thread_pool pool(2);
        f(pool, true);
    }
}

struct job : work {
    explicit job(std::function<void()> f) : body(std::move(f)) {
        run = [](work& w) noexcept { static_cast<job&>(w).body(); };
    }
    std::function<void()> body;
};

}  // namespace

TEST_CASE("executor: runs what was posted, once, and is `here` only meanwhile") {
    with_each([](executor& at, bool) {
        std::atomic<int> runs = 0;
        std::atomic<bool> here = false;
        detail::flag done;
        job j([&] {
            here = at.here();
            ++runs;
            done.set();
        });
        CHECK_FALSE(at.here());
        at.post(j);
        at.drive(done);
        CHECK(runs == 1);
        CHECK(here);
        CHECK_FALSE(at.here());
    });
}

TEST_CASE("executor: one within another is `here`, and the outer one again afterwards") {
    testing::no_frames_left frames;
    with_each([](executor& outer, bool) {
        const auto body = [&]() -> task<bool> {
            simulation inner;
            const auto inside = [&]() -> task<bool> { co_return inner.here() && !outer.here(); };
            const bool right_inside = sync_wait(inner, inside());
            co_return right_inside&& outer.here() && !inner.here();
        };
        CHECK(sync_wait(outer, body()));
    });
}

TEST_CASE("executor: drive_while() ends when it is not busy, or when time is over") {
    testing::no_frames_left frames;
    with_each([](executor& at, bool) {
        std::atomic<bool> busy = true;
        const auto is_busy = [](void* b) { return static_cast<std::atomic<bool>*>(b)->load(); };
        const auto body = [&]() -> task<> {
            static_cast<void>(co_await sleep_for(2ms));
            busy = false;
        };
        const time_point before = at.now();
        CHECK_FALSE(at.drive_while(is_busy, &busy, before + 1ms));
        CHECK(at.now() >= before + 1ms);
        {
            testing::started t(at, body());
            CHECK(at.drive_while(is_busy, &busy, never));
            at.drive(t.end());
        }
        CHECK(at.now() >= before + 3ms);
        CHECK(at.drive_while(is_busy, &busy, time_point::min()));  // it was not busy at all
        busy = true;
        CHECK_FALSE(at.drive_while(is_busy, &busy, time_point::min()));
    });
}

TEST_CASE("executor: drive_ready() runs what is ready, and lets no time pass") {
    testing::no_frames_left frames;
    with_each([](executor& at, bool drives_itself) {
        if (drives_itself) return;
        int ran = 0;
        job j([&] { ++ran; });
        const auto body = [&]() -> task<> {
            ++ran;
            static_cast<void>(co_await sleep_for(1h));
            ++ran;
        };
        testing::started t(at, body());
        at.post(j);
        at.drive_ready();
        CHECK(ran == 2);
        CHECK_FALSE(t.ended());
        t.destroy();
    });
}

TEST_CASE("executor: idle_here() says when coroutines may be destroyed where they stand") {
    testing::no_frames_left frames;
    with_each([](executor& at, bool drives_itself) {
        CHECK(at.idle_here() == !drives_itself);  // a pool's own threads may run something
        const auto body = [&]() -> task<bool> { co_return at.idle_here(); };
        CHECK_FALSE(sync_wait(at, body()));
        CHECK(at.idle_here() == !drives_itself);
    });
    thread_pool pool(1);
    pool.stop();
    CHECK(pool.idle_here());
}

TEST_CASE("executor: is a home and a clock, not to be destroyed as one") {
    STATIC_REQUIRE(std::is_base_of_v<home, executor>);
    STATIC_REQUIRE(std::is_base_of_v<posthaste::clock, executor>);
    STATIC_REQUIRE_FALSE(std::is_destructible_v<executor>);
}
