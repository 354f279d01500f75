#include <posthaste/wait/due_time.hpp>

#include "../support/catch.hpp"

#include <posthaste/prove/simulation.hpp>

#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::detail::due_time;

TEST_CASE("due_time: who asks first begins to count, the others hear the same") {
    simulation world;
    due_time when;
    CHECK(when.settled() == never);
    world.advance(1s);
    CHECK(when.settle(world, 2s) == time_point(3s));
    world.advance(1s);
    CHECK(when.settle(world, 2s) == time_point(3s));
    CHECK(when.settle_by(world.now(), 7s) == time_point(3s));
    CHECK(when.settled() == time_point(3s));
}

TEST_CASE("due_time: any allowance will do") {
    simulation world;
    world.advance(1s);
    due_time longest, none;
    CHECK(longest.settle_by(world.now(), forever) == never);
    CHECK(longest.settle(world, 1s) == never);
    CHECK(none.settle(world, duration::zero()) == time_point(1s));
}
