#include "../support/catch.hpp"
#include "../support/frames.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/semaphore.hpp>
#include <posthaste/wait/sleep.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>

using namespace posthaste;
using namespace std::chrono_literals;

TEST_CASE("sync_wait: runs a task on a loop on this thread, and gives its value") {
    testing::no_frames_left frames;
    const auto here = [](int n) -> task<std::thread::id> {
        for (int i = 0; i != n; ++i) static_cast<void>(co_await sleep_for(1us));
        co_return std::this_thread::get_id();
    };
    CHECK(sync_wait(here(0)) == std::this_thread::get_id());
    CHECK(sync_wait(here(3)) == std::this_thread::get_id());
}

TEST_CASE("sync_wait: gives what can only be moved, references, and nothing") {
    testing::no_frames_left frames;
    simulation world;
    int n = 0;
    const auto box = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(3); };
    const auto reference = [&]() -> task<int&> { co_return n; };
    const auto nothing = [&]() -> task<> {
        ++n;
        co_return;
    };
    CHECK(*sync_wait(world, box()) == 3);
    CHECK(&sync_wait(world, reference()) == &n);
    sync_wait(world, nothing());
    CHECK(n == 1);
}

TEST_CASE("sync_wait: throws what the task throws") {
    testing::no_frames_left frames;
    thread_pool pool(1);
    const auto body = []() -> task<int> {
        static_cast<void>(co_await sleep_for(1us));
        throw std::runtime_error("out");
    };
    CHECK_THROWS_WITH(sync_wait(body()), "out");
    CHECK_THROWS_WITH(sync_wait(pool, body()), "out");
}

TEST_CASE("sync_wait: waits for a pool's threads to do it") {
    testing::no_frames_left frames;
    thread_pool pool(2);
    const auto body = [&]() -> task<bool> {
        static_cast<void>(co_await sleep_for(1ms));
        co_return pool.here();
    };
    for (int i = 0; i != 20; ++i) CHECK(sync_wait(pool, body()));
    CHECK_FALSE(pool.here());
}

TEST_CASE("sync_wait: there is no deadline and no stop but those one makes") {
    testing::no_frames_left frames;
    const auto body = []() -> task<bool> {
        const context& ctx = co_await this_context;
        co_return ctx.deadline() == never && !ctx.stop().stop_possible();
    };
    CHECK(sync_wait(body()));
}

TEST_CASE("sync_wait: a task that can never go on is destroyed where it stands") {
    testing::no_frames_left frames;
    simulation world;
    const auto nap = []() -> task<> { static_cast<void>(co_await sleep_for(forever)); };
    const auto body = [&]() -> task<> { co_await nap(); };
    CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
}

TEST_CASE("sync_wait: takes whatever may be awaited, as a call or a wait") {
    testing::no_frames_left frames;
    event ready;
    ready.set();
    CHECK(sync_wait(ready.wait()).has_value());
    thread_pool pool(1);
    semaphore permits(1);
    CHECK(sync_wait(pool, permits.acquire()).has_value());
    CHECK(sync_wait(pool, sleep_for(1us)).has_value());
}
