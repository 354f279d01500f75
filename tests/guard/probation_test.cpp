#include <posthaste/guard/probation.hpp>

#include "../support/catch.hpp"

#include <chrono>
#include <cstdint>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using detail::probation;

namespace {
const time_point start(1s), later(2s), end(3s);
}

TEST_CASE("probation: as many probes as it was made for, under way and ended together") {
    probation p(3);
    p.start();
    const auto a = p.admit(start, end), b = p.admit(start, end), c = p.admit(start, end);
    CHECK((a != 0 && b != 0 && c != 0 && a != b && b != c));
    CHECK(p.admit(start, end) == 0);
    CHECK(p.under_way() == 3);
    CHECK(p.take_back(b) == start);
    p.count(true);
    CHECK(p.under_way() == 2);
    CHECK(p.admit(start, end) == 0);
}

TEST_CASE("probation: one that is taken back and not counted is as if it had never been") {
    probation p(1);
    p.start();
    for (int i = 0; i != 5; ++i) {
        const auto t = p.admit(start, end);
        REQUIRE(t != 0);
        CHECK(p.take_back(t) == start);
        CHECK((!p.passed() && !p.failed()));
    }
}

TEST_CASE("probation: what most say holds, as soon as it is sure") {
    for (int n = 1; n <= 7; ++n) {
        for (unsigned answers = 0; answers != 1u << n; ++answers) {
            probation p(n);
            p.start();
            int well = 0, ill = 0;
            for (int i = 0; i != n; ++i) {
                const bool sure_before = well > n / 2 || ill >= n - n / 2;
                CHECK((p.passed() || p.failed()) == sure_before);
                const bool good = (answers >> i & 1) != 0;
                ++(good ? well : ill);
                REQUIRE(p.take_back(p.admit(start, end)) == start);
                p.count(good);
            }
            CHECK(p.passed() == (2 * well > n));
            CHECK(p.failed() == (2 * well <= n));
        }
    }
}

TEST_CASE("probation: a lease that runs out is a failure, and its ticket worth nothing") {
    probation p(3);
    p.start();
    const auto a = p.admit(start, later), b = p.admit(start, end);
    CHECK(p.next_end() == later);
    p.expire(later - 1ns);
    CHECK(p.under_way() == 2);
    p.expire(later);
    CHECK(p.under_way() == 1);
    CHECK(p.next_end() == end);
    CHECK(p.take_back(a) == never);
    CHECK(!p.failed());
    p.expire(end);
    CHECK(p.failed());
    CHECK(p.take_back(b) == never);
    CHECK(p.next_end() == never);
}

TEST_CASE("probation: a ticket is worth nothing twice, after a new start, or if it never was one") {
    probation p(2);
    p.start();
    const auto a = p.admit(start, end);
    CHECK(p.take_back(a) == start);
    CHECK(p.take_back(a) == never);
    const auto b = p.admit(start, end);
    p.start();
    CHECK(p.under_way() == 0);
    CHECK(p.take_back(b) == never);
    CHECK(p.take_back(0) == never);
    const auto c = p.admit(start, end);
    CHECK((c != a && c != b));
}
