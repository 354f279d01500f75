// The node itself; what a wheel does with it is in run/timer_wheel_test.cpp.
#include "../support/catch.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/wait/timer.hpp>

#include <chrono>
#include <type_traits>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {
struct counting : timer {
    int fired = 0;
    counting() noexcept : timer([](timer& t) noexcept { ++static_cast<counting&>(t).fired; }) {}
};
}  // namespace

TEST_CASE("timer: is not armed to begin with, and due never") {
    const counting t;
    CHECK_FALSE(t.armed);
    CHECK(t.due == never);
    CHECK(t.owner == nullptr);
    CHECK_FALSE(std::is_copy_constructible_v<timer>);
    CHECK_FALSE(std::is_default_constructible_v<timer>);
}

TEST_CASE("timer: fires once, not before it is due, and may be armed again") {
    simulation world;
    counting t;
    world.arm(t, time_point(10ms));
    CHECK(t.armed);
    world.advance(10ms - 1ns);
    CHECK(t.fired == 0);
    world.advance(1ns);
    CHECK(t.fired == 1);
    CHECK_FALSE(t.armed);
    world.advance(1h);
    CHECK(t.fired == 1);
    world.arm(t, world.now() + 1s);
    world.advance(1s);
    CHECK(t.fired == 2);
}

TEST_CASE("timer: disarmed it does not fire, disarming is allowed at any time") {
    simulation world;
    counting t;
    world.disarm(t);  // never armed
    world.arm(t, time_point(10ms));
    world.disarm(t);
    world.disarm(t);
    world.advance(1s);
    CHECK(t.fired == 0);
    world.arm(t, world.now());
    world.run_until_idle();
    CHECK(t.fired == 1);
    world.disarm(t);  // has fired
    CHECK(t.fired == 1);
}

TEST_CASE("timer: armed for never it is not armed, for the past it fires at once") {
    simulation world;
    counting t;
    world.arm(t, never);
    CHECK_FALSE(t.armed);
    world.advance(1s);
    CHECK(t.fired == 0);
    for (const time_point past : {time_point::min(), time_point(-1ns), time_point(), world.now()}) {
        t.fired = 0;
        world.arm(t, past);
        world.run_until_idle();
        CHECK(t.fired == 1);
    }
    CHECK(world.now() == time_point(1s));
}
