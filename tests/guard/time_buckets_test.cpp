#include <posthaste/guard/time_buckets.hpp>

#include "../support/catch.hpp"

#include <array>
#include <atomic>
#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {
struct counter {
    std::atomic<int> n = 0;
    void clear() { n = 0; }
};
struct ten {
    explicit ten(duration length) : buckets(length) {}
    void add(time_point now) { ++buckets.at(now).n; }
    int sum(time_point now) { return added(buckets.all(now)); }
    int sum() const { return added(buckets.all()); }
    static int added(const std::array<counter, 10>& all) {
        int n = 0;
        for (const counter& c : all) n += c.n;
        return n;
    }
    detail::time_buckets<counter, 10> buckets;
};
}  // namespace

TEST_CASE("time_buckets: forget a part at a time") {
    ten w(10s);
    for (int second = 0; second != 10; ++second) w.add(time_point(second * 1s));
    CHECK(w.sum(time_point(9'999ms)) == 10);
    for (int second = 10; second != 20; ++second) {
        CHECK(w.sum() == 20 - second);
        CHECK(w.sum(time_point(second * 1s)) == 19 - second);
    }
}

TEST_CASE("time_buckets: after a rest of any length, only what is recent is known") {
    for (const auto rest : {1s, 3s, 8s, 9s, 10s, 11s, 12s, 100s, 1'000'000s}) {
        ten w(10s);
        w.add(time_point(0s));
        w.add(time_point(500ms));
        w.add(time_point(500ms + rest));
        CHECK(w.sum() == (rest < 10s ? 3 : 1));
    }
}

TEST_CASE("time_buckets: a clock that is a little behind counts into the present") {
    ten w(10s);
    w.add(time_point(5s));
    w.add(time_point(5s - 4ms));
    CHECK(w.sum(time_point(5s)) == 2);
}

TEST_CASE("time_buckets: any length will do, at any time") {
    for (const duration length : {duration(1), duration(9), duration(1s), forever}) {
        for (const time_point at : {time_point(), time_point(1h), never - 1ns}) {
            ten w(length);
            w.add(at);
            CHECK(w.sum(at) == 1);
        }
    }
    ten w(forever);
    w.add(time_point(1s));
    CHECK(w.sum(time_point(24h * 365 * 20)) == 1);
}

TEST_CASE("time_buckets: cleared, they know of nothing") {
    ten w(10s);
    w.add(time_point(1s));
    w.buckets.clear();
    CHECK(w.sum() == 0);
}
