#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/wait/sleep.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <ratio>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::started;

namespace {
using seconds_as_double = std::chrono::duration<double>;
constexpr double infinity = std::numeric_limits<double>::infinity();

/// How long it slept; nothing if it was cancelled.
template <typename Duration>
task<std::optional<duration>> slept(Duration d) {
    const context& ctx = co_await this_context;
    const time_point before = ctx.home().now();
    const auto ok = co_await sleep_for(d);
    if (!ok) co_return std::nullopt;
    co_return ctx.home().now() - before;
}
template <typename Duration>
task<> nap(Duration d, int& ended, int& cancelled) {
    const auto ok = co_await sleep_for(d);
    if (ok) ++ended;
    else if (ok.error().code() == code::cancelled) ++cancelled;
}
}  // namespace

TEST_CASE("sleep: takes exactly its time, where time is virtual") {
    testing::no_frames_left frames;
    simulation world;
    CHECK(sync_wait(world, slept(1ns)) == 1ns);
    CHECK(sync_wait(world, slept(65'536ns)) == 65'536ns);
    CHECK(sync_wait(world, slept(20ms)) == 20ms);
    CHECK(sync_wait(world, slept(24h * 365)) == 24h * 365);
    CHECK(sync_wait(world, slept(seconds_as_double(0.5))) == 500ms);
    CHECK(sync_wait(world, slept(std::chrono::duration<int, std::ratio<1, 60>>(6))) == 100ms);
}

TEST_CASE("sleep: no time, or less, is over at once") {
    testing::no_frames_left frames;
    simulation world;
    for (const time_point start : {time_point(), time_point(1s)}) {
        world.advance(start - world.now());
        CHECK(sync_wait(world, slept(0ns)) == 0ns);
        CHECK(sync_wait(world, slept(-1ns)) == 0ns);
        CHECK(sync_wait(world, slept(-1h)) == 0ns);
        CHECK(sync_wait(world, slept(duration::min())) == 0ns);
        CHECK(sync_wait(world, slept(std::chrono::hours::min())) == 0ns);
        CHECK(sync_wait(world, slept(seconds_as_double(-1e30))) == 0ns);
        CHECK(sync_wait(world, slept(seconds_as_double(-infinity))) == 0ns);
        CHECK(sync_wait(world,
                        slept(seconds_as_double(std::numeric_limits<double>::quiet_NaN()))) == 0ns);
        CHECK(world.now() == start);
    }
}

TEST_CASE("sleep: what is longer than all time lasts until it is stopped") {
    testing::no_frames_left frames;
    simulation world;
    int ended = 0, cancelled = 0;
    stop_source stop;
    std::deque<started> sleepers;
    sleepers.emplace_back(world, nap(forever, ended, cancelled), stop.token());
    sleepers.emplace_back(world, nap(std::chrono::hours::max(), ended, cancelled), stop.token());
    sleepers.emplace_back(world, nap(seconds_as_double(1e30), ended, cancelled), stop.token());
    sleepers.emplace_back(world, nap(seconds_as_double(infinity), ended, cancelled), stop.token());
    world.advance(24h * 365 * 200);
    CHECK(ended == 0);
    stop.request_stop();
    CHECK(cancelled == 0);  // not inside the stop
    world.drive_ready();
    CHECK(cancelled == 4);
}

TEST_CASE("sleep: for ever, without anybody to stop it, is what a stuck simulation names") {
    testing::no_frames_left frames;
    simulation world;
    int ended = 0, cancelled = 0;
    started sleeper(world, nap(forever, ended, cancelled));
    CHECK_THROWS_WITH(world.drive(sleeper.end()), Catch::Matchers::ContainsSubstring("a time"));
}

TEST_CASE("sleep: the longest that is not for ever ends in 292 years") {
    testing::no_frames_left frames;
    simulation world;
    CHECK(sync_wait(world, slept(forever - 1ns)) == forever - 1ns);
    CHECK(world.now() == never - 1ns);
    int ended = 0, cancelled = 0;
    started too_long(world, nap(1ns, ended, cancelled));  // there is no such time
    CHECK_THROWS_AS(world.drive(too_long.end()), simulation::stuck);
    CHECK(ended == 0);
    CHECK(sync_wait(world, slept(0ns)) == 0ns);
}

TEST_CASE("sleep: several wake in the order of their times") {
    testing::no_frames_left frames;
    simulation world(3);
    std::vector<int> woken;
    const auto sleeper = [&](int ms) -> task<> {
        static_cast<void>(co_await sleep_for(std::chrono::milliseconds(ms)));
        woken.push_back(ms);
    };
    std::deque<started> sleepers;
    for (const int ms : {30, 10, 5000, 20, 1}) sleepers.emplace_back(world, sleeper(ms));
    world.run_until_idle();
    CHECK(woken == std::vector{1, 10, 20, 30, 5000});
    CHECK(world.elapsed() == 5s);
}

TEST_CASE("sleep: until a point in time, also one that has passed, or never comes") {
    testing::no_frames_left frames;
    simulation world;
    world.advance(1s);
    const auto until = [](time_point t) -> task<bool> {
        const auto ok = co_await sleep_until(t);
        co_return ok.has_value();
    };
    CHECK(sync_wait(world, until(time_point(3s))));
    CHECK(world.now() == time_point(3s));
    CHECK(sync_wait(world, until(time_point(2s))));
    CHECK(sync_wait(world, until(time_point())));
    CHECK(sync_wait(world, until(time_point::min())));
    CHECK(world.now() == time_point(3s));
    stop_source stop;
    const auto for_ever = [&]() -> task<> { CHECK_FALSE(co_await sleep_until(never)); };
    started sleeper(world, for_ever(), stop.token());
    world.advance(1h);
    CHECK_FALSE(sleeper.ended());
    stop.request_stop();
    world.drive_ready();
    CHECK(sleeper.ended());
}

TEST_CASE("sleep: a stop cuts it short, and its timer goes with it") {
    testing::no_frames_left frames;
    simulation world;
    int ended = 0, cancelled = 0;
    stop_source stop;
    started sleeper(world, nap(1h, ended, cancelled), stop.token());
    world.advance(10ms);
    stop.request_stop();
    world.drive_ready();
    CHECK(cancelled == 1);
    CHECK(world.elapsed() == 10ms);
    world.run_until_idle();
    CHECK(world.elapsed() == 10ms);  // nothing was left to wait for
    CHECK(ended == 0);
}

TEST_CASE("sleep: with a stop requested before does not begin, however short") {
    testing::no_frames_left frames;
    simulation world;
    int ended = 0, cancelled = 0;
    stop_source stop;
    stop.request_stop();
    std::deque<started> sleepers;
    for (const duration d : {0ns, -1ns, 1ns, duration(1h), forever, duration::min()}) {
        sleepers.emplace_back(world, nap(d, ended, cancelled), stop.token());
    }
    world.drive_ready();
    CHECK(cancelled == 6);
    CHECK(ended == 0);
    CHECK(world.elapsed() == 0ns);
}

TEST_CASE("sleep: of the timer and the stop, the first one counts") {
    testing::no_frames_left frames;
    simulation world;
    int ended = 0, cancelled = 0;
    stop_source stop;
    // The timer fires and posts the sleeper; before it runs, the stop comes.
    struct late_stop : timer {
        stop_source& stop;
        explicit late_stop(stop_source& s) noexcept
            : timer([](timer& t) noexcept { static_cast<late_stop&>(t).stop.request_stop(); }),
              stop(s) {}
    } after(stop);
    started sleeper(world, nap(10ms, ended, cancelled), stop.token());
    world.drive_ready();
    world.arm(after, time_point(10ms));
    world.run_until_idle();
    CHECK(stop.stop_requested());
    CHECK(ended == 1);
    CHECK(cancelled == 0);
}

TEST_CASE("sleep: a frame destroyed while it sleeps is woken by nobody") {
    testing::no_frames_left frames;
    simulation world;
    int ended = 0, cancelled = 0;
    stop_source stop;
    started gone(world, nap(10ms, ended, cancelled), stop.token());
    started stays(world, nap(10ms, ended, cancelled), stop.token());
    world.drive_ready();
    gone.destroy();
    world.advance(20ms);
    CHECK(ended == 1);
    stop.request_stop();
    world.run_until_idle();
    CHECK(ended == 1);
    CHECK(cancelled == 0);
}
