#include <posthaste/guard/queue_age.hpp>

#include "../support/catch.hpp"

#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {
time_point at(duration d) { return time_point(1h) + d; }
}  // namespace

TEST_CASE("queue_age: refuses nothing while one in each interval waited for less") {
    queue_age age(5ms, 100ms);
    for (int i = 0; i != 1000; ++i) {
        CHECK_FALSE(age.too_long(at(i * 10ms)));
        CHECK_FALSE(age.too_old(at(i * 10ms), i % 10 == 5 ? 5ms : 1h));
        CHECK_FALSE(age.overloaded());
    }
}

TEST_CASE("queue_age: refuses what waited twice the target, once all waited more than it") {
    queue_age age(5ms, 100ms);
    for (int i = 0; i != 10; ++i) CHECK_FALSE(age.too_old(at(i * 10ms), 50ms));
    CHECK_FALSE(age.too_old(at(100ms), 50ms));  // the first of an interval
    CHECK(age.overloaded());
    CHECK(age.too_old(at(101ms), 10001us));
    CHECK_FALSE(age.too_old(at(102ms), 10ms));
    CHECK_FALSE(age.too_old(at(103ms), 6ms));
    CHECK(age.too_old(at(199ms), 1h));
    CHECK_FALSE(age.too_old(at(200ms), 1h));  // the first of the next
    CHECK(age.overloaded());
    CHECK(age.too_old(at(201ms), 1h));
}

TEST_CASE("queue_age: recovers when one has waited for less, or after a pause") {
    queue_age age(5ms, 100ms);
    age.too_old(at(0ms), 50ms);
    age.too_old(at(100ms), 50ms);
    REQUIRE(age.overloaded());
    SECTION("one has waited for less") {
        CHECK_FALSE(age.too_old(at(150ms), 5ms));
        CHECK(age.too_old(at(151ms), 50ms));  // within the interval
        CHECK_FALSE(age.too_old(at(200ms), 50ms));
        CHECK_FALSE(age.overloaded());
        CHECK_FALSE(age.too_old(at(201ms), 50ms));
    }
    SECTION("nothing has come for an interval") {
        CHECK_FALSE(age.too_old(at(300ms), 50ms));
        CHECK_FALSE(age.overloaded());
        CHECK_FALSE(age.too_old(at(301ms), 50ms));
    }
}

TEST_CASE("queue_age: who comes is refused while the last wait is known to be too long") {
    queue_age age(5ms, 100ms);
    CHECK_FALSE(age.too_long(at(0ms)));
    age.too_old(at(0ms), 50ms);
    CHECK_FALSE(age.too_long(at(1ms)));  // not overloaded yet
    age.too_old(at(100ms), 50ms);
    CHECK(age.too_long(at(100ms)));
    CHECK(age.too_long(at(109ms)));
    CHECK_FALSE(age.too_long(at(110ms)));  // it is not known any more
    age.too_old(at(195ms), 11ms);
    CHECK(age.too_long(at(199ms)));
    CHECK_FALSE(age.too_long(at(200ms)));  // the next interval's first
    age.too_old(at(200ms), 10ms);
    CHECK(age.overloaded());
    CHECK_FALSE(age.too_long(at(201ms)));
    CHECK(age.rest(at(201ms)) == 99ms);
    CHECK(age.rest(at(1h)) > 0ns);
}

TEST_CASE("queue_age: a target without end is never reached") {
    queue_age age(forever, forever);
    for (int i = 0; i != 10; ++i) CHECK_FALSE(age.too_old(at(i * 1h), forever));
    CHECK_FALSE(age.overloaded());
}
