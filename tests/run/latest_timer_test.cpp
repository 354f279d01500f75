// On one thread; who disarms from elsewhere is shown by tests/explore/disarming_explore.cpp.
#include "../support/catch.hpp"

#include <posthaste/run/latest_timer.hpp>

using namespace posthaste;

TEST_CASE("latest_timer: keeps one, which leaves it once") {
    latest_timer latest;
    timer a(nullptr), b(nullptr);
    CHECK(latest.empty());
    CHECK(latest.take() == nullptr);
    latest.keep(a);
    CHECK_FALSE(latest.empty());
    CHECK_FALSE(latest.leave_here(b));
    CHECK_FALSE(latest.leave(b));
    CHECK(latest.leave_here(a));
    CHECK_FALSE(latest.leave_here(a));
    CHECK(latest.empty());
    latest.keep(b);
    CHECK(latest.leave(b));
    CHECK_FALSE(latest.leave(b));
    CHECK(latest.empty());
    latest.keep(a);
    CHECK(latest.take() == &a);
    CHECK_FALSE(latest.leave(a));
    CHECK(latest.empty());
}
