#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/semaphore.hpp>
#include <posthaste/wait/sleep.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct outcome {
    std::string order;
    std::uint64_t trace, steps;
    duration elapsed;
    bool operator==(const outcome&) const = default;
};

// A small program whose order the seed decides.
outcome run(std::uint64_t seed) {
    simulation world(seed);
    std::string order;
    const auto child = [&order](char name) -> task<> {
        order += name;
        co_await yield();
        order += name;
        static_cast<void>(co_await sleep_for((name % 3) * 1ms));
        order += name;
    };
    const auto body = [&]() -> task<> {
        std::vector<task<>> all;
        for (char name = 'a'; name != 'h'; ++name) all.push_back(child(name));
        co_await when_all(std::move(all));
    };
    sync_wait(world, body());
    return {order, world.trace(), world.steps(), world.elapsed()};
}

}  // namespace

TEST_CASE("simulation: the same seed gives the same run") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 0; seed != 20; ++seed) {
        const outcome first = run(seed), second = run(seed);
        CHECK(first == second);
        CHECK(simulation(seed).seed() == seed);
    }
}

TEST_CASE("simulation: different seeds give different orders, and every order is to be had") {
    testing::no_frames_left frames;
    std::set<std::string> orders;
    std::set<std::uint64_t> traces;
    for (std::uint64_t seed = 0; seed != 100; ++seed) {
        const outcome o = run(seed);
        orders.insert(o.order);
        traces.insert(o.trace);
        CHECK(o.elapsed == 2ms);
    }
    CHECK(orders.size() > 95);
    CHECK(traces.size() > 95);

    orders.clear();
    for (std::uint64_t seed = 0; seed != 200; ++seed) {
        simulation world(seed);
        std::string order;
        const auto child = [&order](char name) -> task<> {
            order += name;
            co_return;
        };
        testing::started a(world, child('a')), b(world, child('b')), c(world, child('c'));
        world.run_until_idle();
        orders.insert(order);
    }
    CHECK(orders == std::set<std::string>{"abc", "acb", "bac", "bca", "cab", "cba"});
}

TEST_CASE("simulation: time goes on only when nothing can run, and then to the next timer") {
    testing::no_frames_left frames;
    simulation world;
    std::vector<duration> seen;
    CHECK(world.elapsed() == 0ns);
    const auto busy = [&]() -> task<> {
        for (int i = 0; i != 1000; ++i) {
            co_await yield();
            if (world.elapsed() != 0ns) seen.push_back(world.elapsed());
        }
    };
    const auto naps = [&]() -> task<> {
        for (const duration d : {duration(1), duration(3h), duration(70us), duration(0)}) {
            static_cast<void>(co_await sleep_for(d));
            seen.push_back(world.elapsed());
        }
    };
    const auto body = [&]() -> task<> { static_cast<void>(co_await when_all(naps(), busy())); };
    sync_wait(world, body());
    CHECK(seen == std::vector<duration>{1ns, 3h + 1ns, 3h + 70us + 1ns, 3h + 70us + 1ns});
    CHECK(world.now() == time_point(3h + 70us + 1ns));
}

TEST_CASE("simulation: any length of time passes at once") {
    testing::no_frames_left frames;
    simulation world;
    const auto body = [&]() -> task<> {
        for (int year = 0; year != 200; ++year) {
            static_cast<void>(co_await sleep_for(std::chrono::hours(24 * 365)));
        }
    };
    sync_wait(world, body());
    CHECK(world.elapsed() == std::chrono::hours(24 * 365 * 200));
}

TEST_CASE("simulation: advance() runs what there is, and lets just so much time pass") {
    testing::no_frames_left frames;
    simulation world;
    int ticks = 0;
    const auto body = [&]() -> task<> {
        while (ticks != 10) {
            static_cast<void>(co_await sleep_for(10ms));
            ++ticks;
        }
    };
    testing::started t(world, body());
    CHECK(ticks == 0);
    world.advance(0ms);
    CHECK(world.steps() == 1);
    world.advance(25ms);
    CHECK(ticks == 2);
    CHECK(world.elapsed() == 25ms);
    world.advance(5ms);
    CHECK(ticks == 3);
    world.advance(-1h);
    CHECK(world.elapsed() == 30ms);
    world.advance(1h);
    CHECK(ticks == 10);
    CHECK(t.ended());
    CHECK(world.elapsed() == 30ms + 1h);
}

TEST_CASE("simulation: run_until_idle() stops where nothing is ready and no timer is armed") {
    testing::no_frames_left frames;
    simulation world;
    event never_set;
    bool slept = false;
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await sleep_for(2s));
        slept = true;
        static_cast<void>(co_await never_set.wait());
    };
    testing::started t(world, body());
    world.run_until_idle();
    CHECK(slept);
    CHECK(world.elapsed() == 2s);
    CHECK_FALSE(t.ended());
    world.run_until_idle();
    CHECK(world.elapsed() == 2s);
    t.destroy();
}

TEST_CASE("simulation: where nothing can ever run it says what is parked, on what, since when") {
    testing::no_frames_left frames;
    simulation world(42);
    event ready;
    semaphore slots(0);
    const auto waits = [&]() -> task<> { static_cast<void>(co_await ready.wait()); };
    const auto acquires = [&]() -> task<> {
        static_cast<void>(co_await sleep_for(1500us));
        static_cast<void>(co_await slots.acquire());
    };
    const auto sleeps = []() -> task<> { static_cast<void>(co_await sleep_for(forever)); };
    const auto fine = []() -> task<> { static_cast<void>(co_await sleep_for(7ms)); };
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await when_all(fine(), acquires(), waits(), sleeps()));
    };
    std::string what;
    try {
        sync_wait(world, body());
    } catch (const simulation::stuck& e) {
        what = e.what();
    }
    CHECK(what ==
          "nothing can run any more (seed 42, at 7.000 ms); parked: 3\n"
          "  on a time, since 0.000 ms\n"
          "  on an event, since 0.000 ms\n"
          "  on a semaphore, since 1.500 ms");
    // The task was destroyed where it stood, and the world goes on.
    CHECK_THAT(world.report(), Catch::Matchers::ContainsSubstring("parked: 0"));
    sync_wait(world, fine());
    CHECK(world.elapsed() == 14ms);
}

TEST_CASE("simulation: reports who stood still at the same time by name, then by what it awaits") {
    simulation world;
    std::deque<frame> frames;
    const auto park = [&](const char* on, const char* name) {
        frame& f = frames.emplace_back(nullptr);
        f.at = &world;
        f.park(on, name);
    };
    park("room at", "stock");
    park("room at", "bills");
    park("a reply from", "stock");
    CHECK(world.report() ==
          "nothing can run any more (seed 1, at 0.000 ms); parked: 3\n"
          "  on room at bills, since 0.000 ms\n"
          "  on a reply from stock, since 0.000 ms\n"
          "  on room at stock, since 0.000 ms");
}

TEST_CASE("simulation: what goes on is not parked any more, whatever let it go") {
    testing::no_frames_left frames;
    simulation world;
    stop_source stop;
    event ready;
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await ready.wait());
        static_cast<void>(co_await sleep_for(1ms));
        static_cast<void>(co_await sleep_for(1h));
    };
    const auto parked = [&] { return world.report().substr(world.report().find("parked")); };
    testing::started t(world, body(), stop.token());
    CHECK(parked() == "parked: 0");
    world.advance(1ms);
    CHECK(parked() == "parked: 1\n  on an event, since 0.000 ms");
    ready.set();
    CHECK(parked() == "parked: 0");
    world.advance(0ms);
    CHECK(parked() == "parked: 1\n  on a time, since 1.000 ms");
    world.advance(1ms);
    CHECK(parked() == "parked: 1\n  on a time, since 2.000 ms");
    stop.request_stop();
    CHECK(parked() == "parked: 0");
    world.advance(0ms);
    CHECK(t.ended());
    CHECK(parked() == "parked: 0");
}

TEST_CASE("simulation: drive_while() ends when it is not busy, or when its time is over") {
    testing::no_frames_left frames;
    simulation world;
    int left = 3;
    const auto busy = [](void* n) { return *static_cast<int*>(n) != 0; };
    const auto body = [&]() -> task<> {
        while (left != 0) {
            static_cast<void>(co_await sleep_for(10ms));
            --left;
        }
    };
    testing::started t(world, body());
    CHECK_FALSE(world.drive_while(busy, &left, time_point(15ms)));
    CHECK(left == 2);
    CHECK(world.elapsed() == 15ms);
    CHECK(world.drive_while(busy, &left, never));
    CHECK(world.elapsed() == 30ms);
    left = 1;
    CHECK_FALSE(world.drive_while(busy, &left, never));  // nobody is left to do it
    CHECK(world.elapsed() == 30ms);
    left = 0;
    world.run_until_idle();
}

TEST_CASE("simulation: what is ready when it is destroyed still runs") {
    testing::no_frames_left frames;
    int ran = 0;
    const auto body = [&]() -> task<> {
        ++ran;
        co_await yield();
        ++ran;
    };
    std::deque<task<>> tasks;
    const context nobody;
    {
        simulation world;
        for (int i = 0; i != 3; ++i) {
            tasks.push_back(body());
            detail::promise_base& p = tasks.back().promise();
            p.place(world, &nobody);
            p.start_by_post([](detail::promise_base&) noexcept {}, nullptr);
        }
    }
    CHECK(ran == 6);
}

TEST_CASE("simulation: runs at the same pace, step by step, whoever drives it") {
    testing::no_frames_left frames;
    const auto child = []() -> task<> {
        for (int i = 0; i != 5; ++i) {
            static_cast<void>(co_await sleep_for(1ms));
            co_await yield();
        }
    };
    simulation a(7), b(7);
    {
        testing::started t(a, child()), u(a, child());
        a.run_until_idle();
    }
    {
        testing::started t(b, child()), u(b, child());
        for (int i = 0; i != 10; ++i) b.advance(500us);
    }
    CHECK(a.trace() == b.trace());
    CHECK(a.steps() == b.steps());
}
