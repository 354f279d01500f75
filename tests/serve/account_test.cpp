#include <posthaste/serve/account.hpp>

#include "../support/catch.hpp"

#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;

TEST_CASE("account: it adds up when every accepted message has one end") {
    account a;
    CHECK(a.adds_up());
    a.accepted = 15;
    CHECK_FALSE(a.adds_up());
    a.handled = 5, a.failed = 4, a.expired = 3, a.dropped = 2, a.left = 1;
    CHECK(a.adds_up());
}

TEST_CASE("account: what was refused and what came late is in no sum") {
    account a;
    a.refused = 7;
    a.late = 9;
    CHECK(a.adds_up());
}

TEST_CASE("account: accounts are added field by field, and the latest reply stays the latest") {
    account a;
    a.accepted = 1, a.handled = 2, a.failed = 3, a.expired = 4, a.dropped = 5;
    a.left = 6, a.refused = 7, a.late = 8, a.late_by = 3ms;
    account sum = a;
    a.late_by = 2ms;
    sum += a;
    CHECK(sum.accepted == 2);
    CHECK(sum.handled == 4);
    CHECK(sum.failed == 6);
    CHECK(sum.expired == 8);
    CHECK(sum.dropped == 10);
    CHECK(sum.left == 12);
    CHECK(sum.refused == 14);
    CHECK(sum.late == 16);
    CHECK(sum.late_by == 3ms);
    a.late_by = 5ms;
    sum += a;
    CHECK(sum.late_by == 5ms);
}
