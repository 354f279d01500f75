#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/yield.hpp>

#include <string>

using namespace posthaste;

TEST_CASE("yield: goes to the end of the queue, so that others have their turn") {
    testing::no_frames_left frames;
    run_loop loop;
    std::string order;
    const auto body = [&](char name, int times) -> task<> {
        for (int i = 0; i != times; ++i) {
            order += name;
            co_await yield();
        }
        order += name;
    };
    testing::started a(loop, body('a', 3)), b(loop, body('b', 2)), c(loop, body('c', 0));
    loop.drive_ready();
    CHECK(order == "abcababa");
    CHECK((a.ended() && b.ended() && c.ended()));
}

TEST_CASE("yield: a task goes on, however often it does so") {
    testing::no_frames_left frames;
    thread_pool pool(2);
    const auto body = [&]() -> task<int> {
        int turns = 0;
        for (int i = 0; i != 20'000; ++i) {
            co_await yield();
            turns += pool.here();
        }
        co_return turns;
    };
    CHECK(sync_wait(pool, body()) == 20'000);
}
