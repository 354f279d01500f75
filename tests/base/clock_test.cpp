#include "../support/catch.hpp"

#include <posthaste/base/clock.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {
using seconds_as_double = std::chrono::duration<double>;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
}  // namespace

TEST_CASE("clock: to_duration() keeps every duration that fits, to the nanosecond") {
    CHECK(to_duration(0ns) == 0ns);
    CHECK(to_duration(-1ns) == -1ns);
    CHECK(to_duration(duration::max()) == forever);
    CHECK(to_duration(duration::min()) == duration::min());
    CHECK(to_duration(5min) == duration(300'000'000'000));
    CHECK(to_duration(std::chrono::microseconds(9'223'372'036'854'775)) ==
          duration(9'223'372'036'854'775'000));
    CHECK(to_duration(std::chrono::duration<int, std::pico>(-2'999)) == -2ns);
    CHECK(to_duration(seconds_as_double(1.5)) == 1'500'000'000ns);
    CHECK(to_duration(seconds_as_double(-1e-9)) == -1ns);
}

TEST_CASE("clock: to_duration() saturates where a duration does not fit") {
    CHECK(to_duration(std::chrono::hours::max()) == forever);
    CHECK(to_duration(std::chrono::hours::min()) == duration::min());
    CHECK(to_duration(std::chrono::microseconds(9'223'372'036'854'776)) == forever);
    CHECK(to_duration(std::chrono::duration<std::uint64_t, std::nano>::max()) == forever);
    CHECK(to_duration(seconds_as_double(1e30)) == forever);
    CHECK(to_duration(seconds_as_double(-1e30)) == duration::min());
    CHECK(to_duration(seconds_as_double(infinity)) == forever);
    CHECK(to_duration(seconds_as_double(-infinity)) == duration::min());
    CHECK(to_duration(std::chrono::duration<float, std::ratio<86'400>>(1e30f)) == forever);
}

TEST_CASE("clock: to_duration() takes what is no number for zero") {
    CHECK(to_duration(seconds_as_double(not_a_number)) == 0ns);
    CHECK(to_duration(seconds_as_double(-not_a_number)) == 0ns);
}

TEST_CASE("clock: to_duration() does not overflow on the way, whatever the period") {
    using sixtieths = std::chrono::duration<std::int64_t, std::ratio<1, 60>>;
    CHECK(to_duration(sixtieths(6)) == 100ms);
    CHECK(to_duration(sixtieths(400'000'000'000)) / 1s == 6'666'666'666);
    CHECK(to_duration(sixtieths::max()) == forever);
    CHECK(to_duration(sixtieths::min()) == duration::min());
    static_assert(to_duration(sixtieths(400'000'000'020)) > 6'666'666'666s);
}

TEST_CASE("clock: saturating_add() is addition where that does not overflow") {
    constexpr time_point t{10s};
    CHECK(saturating_add(t, 5s) == time_point(15s));
    CHECK(saturating_add(t, -20s) == time_point(-10s));
    CHECK(saturating_add(t, 0s) == t);
    CHECK(saturating_add(time_point(), duration::max() - 1ns) == never - 1ns);
    CHECK(saturating_add(time_point(), duration::min()) == time_point::min());
}

TEST_CASE("clock: saturating_add() stays at the ends of time") {
    constexpr time_point t{10s};
    CHECK(saturating_add(t, forever) == never);
    CHECK(saturating_add(time_point(), forever) == never);
    CHECK(saturating_add(never, 1ns) == never);
    CHECK(saturating_add(never, forever) == never);
    CHECK(saturating_add(time_point(-10s), duration::min()) == time_point::min());
    CHECK(saturating_add(time_point::min(), -1ns) == time_point::min());
    CHECK(saturating_add(time_point::min(), duration::min()) == time_point::min());
}
