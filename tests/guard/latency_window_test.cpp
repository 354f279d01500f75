#include <posthaste/guard/latency_window.hpp>

#include "../support/catch.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using detail::latency_window;

TEST_CASE("latency_window: nothing is known of nothing") {
    latency_window w(10s);
    CHECK(w.size(time_point(1h)) == 0);
    CHECK(w.percentile(time_point(1h), 95) == forever);
}

TEST_CASE(
    "latency_window: a percentile is what so many took at most, and no more than a 16th above") {
    std::mt19937_64 random(7);
    for (int round = 0; round != 50; ++round) {
        latency_window w(10s);
        std::vector<duration> exact(1 + random() % 400);
        for (duration& d : exact) {
            const auto bits = 1 + random() % 36;
            d = duration(static_cast<duration::rep>(random() & ((std::uint64_t{1} << bits) - 1)));
            w.add(time_point(1h), d);
        }
        std::sort(exact.begin(), exact.end());
        CHECK(w.size(time_point(1h)) == exact.size());
        for (const double p : {0.1, 50.0, 90.0, 95.0, 99.0, 100.0}) {
            const double n = static_cast<double>(exact.size());
            const auto rank = static_cast<std::size_t>(std::max(std::ceil(p * n / 100), 1.0));
            const duration truth = exact[rank - 1], told = w.percentile(time_point(1h), p);
            CAPTURE(p, exact.size(), truth.count(), told.count());
            REQUIRE(told >= truth);
            REQUIRE(told <= truth + std::max<duration>(truth / 16, 1024ns));
        }
    }
}

TEST_CASE(
    "latency_window: what is longer than it can tell counts as 68 s, what is negative as none") {
    latency_window w(10s);
    for (const duration d : {duration(69s), duration(1h), forever}) w.add(time_point(0s), d);
    CHECK(w.percentile(time_point(0s), 1) == duration((std::int64_t{1} << 36) - 1));
    for (int i = 0; i != 100; ++i) w.add(time_point(0s), -5ms);
    CHECK(w.percentile(time_point(0s), 50) < 1024ns);
}

TEST_CASE("latency_window: forgets a quarter at a time, after three quarters to all of it") {
    latency_window w(8s);
    for (int s = 0; s != 8; ++s) w.add(time_point(s * 1s), (s + 1) * 1ms);
    CHECK(w.size(time_point(7'999ms)) == 8);
    CHECK(w.size(time_point(8s)) == 6);
    CHECK(w.percentile(time_point(8s), 1) >= 3ms);
    CHECK(w.size(time_point(11s)) == 4);
    CHECK(w.size(time_point(13s)) == 2);
    CHECK(w.size(time_point(14s)) == 0);
    CHECK(w.percentile(time_point(14s), 50) == forever);
}

TEST_CASE("latency_window: after a rest of any length, only what is recent is known") {
    for (const auto rest : {1s, 5s, 7s, 8s, 9s, 1'000'000s}) {
        latency_window w(8s);
        w.add(time_point(500ms), 1ms);
        w.add(time_point(500ms + rest), 2ms);
        CHECK(w.size(time_point(500ms + rest)) == (rest < 8s ? 2u : 1u));
    }
    latency_window w(1ns);  // shorter than four steps of the clock
    w.add(time_point(1s), 1ms);
    CHECK(w.size(time_point(1s)) == 1);
    CHECK(w.size(time_point(2s)) == 0);
}

TEST_CASE("latency_window: a clock that is a little behind counts into the present") {
    latency_window w(8s);
    w.add(time_point(5s), 1ms);
    w.add(time_point(5s - 4ms), 1ms);
    CHECK(w.size(time_point(5s)) == 2);
}
