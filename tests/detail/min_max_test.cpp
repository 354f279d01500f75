#include "../support/catch.hpp"

#include <posthaste/base/clock.hpp>
#include <posthaste/detail/min_max.hpp>

#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;

TEST_CASE("min_max: the lesser, the greater, and what lies between") {
    STATIC_REQUIRE(detail::min(1, 2) == 1);
    STATIC_REQUIRE(detail::min(2, 1) == 1);
    STATIC_REQUIRE(detail::max(1, 2) == 2);
    STATIC_REQUIRE(detail::max(2, 1) == 2);
    STATIC_REQUIRE(detail::clamp(0, 1, 3) == 1);
    STATIC_REQUIRE(detail::clamp(2, 1, 3) == 2);
    STATIC_REQUIRE(detail::clamp(4, 1, 3) == 3);
    STATIC_REQUIRE(detail::min(time_point(2s), never) == time_point(2s));
}
