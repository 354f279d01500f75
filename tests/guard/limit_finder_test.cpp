#include <posthaste/guard/limit_finder.hpp>

#include "../support/catch.hpp"
#include "../support/layers.hpp"

#include <chrono>
#include <cstddef>
#include <limits>

using namespace posthaste;
using namespace std::chrono_literals;
using detail::limit_finder;
using posthaste::testing::refusal_of;

namespace {

// Calls that take `took` each, `in_flight` at a time, as many as fill a window.
struct life {
    explicit life(const adaptive_limit_options& o) : finder(o) {}
    void window(duration took, std::size_t in_flight) {
        for (int i = 0; i != 10; ++i) add(took, in_flight);
    }
    void add(duration took, std::size_t in_flight) {
        now += 1ms + took / 5;
        finder.add(now, took, in_flight);
    }
    limit_finder finder;
    time_point now{1h};
};

adaptive_limit_options aimd() { return {.by = adapt::aimd}; }

}  // namespace

TEST_CASE("limit_finder: aimd grows by one a window of calls that were all well") {
    life l(aimd());
    CHECK(l.finder.limit() == 20);
    l.add(1us, 20);
    l.window(1us, 20);  // its first call ends the time, and the tenth the count
    CHECK(l.finder.limit() == 21);
    for (int i = 0; i != 5000; ++i) l.window(1us, l.finder.limit());
    CHECK(l.finder.limit() == 1000);
}

TEST_CASE("limit_finder: aimd shrinks by a tenth a window in which calls were lost, at once") {
    life l(aimd());
    for (int i = 0; i != 9; ++i) l.finder.lose(l.now, 20);
    CHECK(l.finder.limit() == 20);  // they met the same trouble
    l.now += 10ms;
    for (int i = 0; i != 1000; ++i) l.finder.lose(l.now, 20);
    CHECK(l.finder.limit() == 18);
    for (int i = 0; i != 1000; ++i) {
        l.now += 10ms;
        l.finder.lose(l.now, 20);
    }
    CHECK(l.finder.limit() == 1);
    // One at a time is enough to find out that all is well again.
    for (int i = 0; i != 40; ++i) l.window(1us, l.finder.limit());
    CHECK(l.finder.limit() > 30);
}

TEST_CASE("limit_finder: a slow call is a lost one, where slow is said") {
    life l({.by = adapt::aimd, .slow = 10ms});
    for (int i = 0; i != 4; ++i) l.window(10ms, 20);
    CHECK(l.finder.limit() > 20);
    const auto before = l.finder.limit();
    for (int i = 0; i != 4; ++i) l.window(10ms + 1ns, 20);
    CHECK(l.finder.limit() < before);
}

TEST_CASE("limit_finder: it does not grow while less than half of it is in use") {
    for (const adapt by : {adapt::aimd, adapt::gradient}) {
        life l({.by = by});
        for (int i = 0; i != 100; ++i) l.window(1ms, 9);
        CHECK(l.finder.limit() == 20);
        for (int i = 0; i != 4; ++i) l.window(1ms, 11);
        CHECK(l.finder.limit() > 20);
    }
}

TEST_CASE("limit_finder: a window is as long as calls are, 10 ms to 1 s, and ten calls at least") {
    const auto grows_after = [](duration took, duration between) {
        limit_finder f(aimd());
        time_point now(1h);
        const time_point start = now;
        while (f.limit() == 20) {
            f.add(now, took, 20);
            if (f.limit() == 20) now += between;
        }
        return now - start;
    };
    CHECK(grows_after(1us, 1us) == 10ms);
    CHECK(grows_after(100ms, 1ms) == 200ms);
    CHECK(grows_after(1h, 1ms) == 1s);
    CHECK(grows_after(1us, 1min) == 9min);
}

TEST_CASE(
    "limit_finder: the gradient grows while calls take as long as usual, and shrinks if not") {
    for (const duration usual : {duration(1), duration(1us), duration(1ms), duration(100ms)}) {
        life l({});
        for (int i = 0; i != 200; ++i) l.window(usual, l.finder.limit());
        const auto grown = l.finder.limit();
        CHECK(grown > 100);
        for (int i = 0; i != 100; ++i) l.window(usual * 4, l.finder.limit());
        CHECK(l.finder.limit() < grown / 2);
        for (int i = 0; i != 200; ++i) l.window(usual, l.finder.limit());
        CHECK(l.finder.limit() > grown / 2);
    }
}

TEST_CASE(
    "limit_finder: the gradient loses a tenth where calls are lost, and knows no quick loss") {
    life l({});
    for (int i = 0; i != 20; ++i) l.window(1ms, l.finder.limit());
    const auto before = static_cast<double>(l.finder.limit());
    for (int i = 0; i != 11; ++i) {
        l.now += 1ms;
        l.finder.lose(l.now, l.finder.limit());
    }
    CHECK(static_cast<double>(l.finder.limit()) == Approx(before * 0.9).margin(2));
    // What is usual is still what it was: 1 ms calls are no slowness.
    for (int i = 0; i != 20; ++i) l.window(1ms, l.finder.limit());
    CHECK(static_cast<double>(l.finder.limit()) > before);
}

TEST_CASE(
    "limit_finder: an overload does not become usual in a minute, nor what is usual for ever") {
    life l({});
    for (int i = 0; i != 20; ++i) l.window(1ms, l.finder.limit());
    for (const time_point end = l.now + 1min; l.now < end;) l.window(10ms, l.finder.limit());
    CHECK(l.finder.limit() < 10);
    for (const time_point end = l.now + 1h; l.now < end;) l.window(10ms, l.finder.limit());
    CHECK(l.finder.limit() > 100);
}

TEST_CASE("limit_finder: calls that take no time at all do no harm") {
    life l({});
    for (int i = 0; i != 100; ++i) l.window(0ns, l.finder.limit());
    CHECK(l.finder.limit() > 20);
    for (int i = 0; i != 100; ++i) l.window(-5ns, l.finder.limit());
    CHECK(l.finder.limit() > 20);
    for (int i = 0; i != 100; ++i) l.window(24h, l.finder.limit());
    CHECK(l.finder.limit() >= 1);
}

TEST_CASE("limit_finder: stays between least and most") {
    for (const adapt by : {adapt::aimd, adapt::gradient}) {
        life l({.by = by, .initial = 5, .least = 3, .most = 7});
        for (int i = 0; i != 100; ++i) l.window(1ms, 7);
        CHECK(l.finder.limit() == 7);
        for (int i = 0; i != 100; ++i) {
            l.now += 1s;
            l.finder.lose(l.now, 7);
        }
        CHECK(l.finder.limit() == 3);
    }
}

TEST_CASE("limit_finder: options out of their range are refused, and named") {
    const auto refusal = [](auto change) {
        return refusal_of([&] {
            adaptive_limit_options o;
            change(o);
            limit_finder made(o);
        });
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double inf = std::numeric_limits<double>::infinity();
    CHECK(refusal([](auto&) {}).empty());
    for (const int n : {0, -1}) {
        CHECK(refusal([&](auto& o) { o.least = n; }) == "adaptive_limit: least must be at least 1");
    }
    CHECK(refusal([](auto& o) { o.least = o.most + 1; }) ==
          "adaptive_limit: most must be at least `least`");
    for (const int n : {0, 1001}) {
        CHECK(refusal([&](auto& o) { o.initial = n; }) ==
              "adaptive_limit: initial must be between least and most");
        CHECK(refusal([&](auto& o) { o.queue = n; }) == "adaptive_limit: queue must be 1 to 1000");
    }
    for (const double x : {0.0, 1.0, -1.0, nan, inf}) {
        CHECK(refusal([&](auto& o) { o.backoff = x; }) ==
              "adaptive_limit: backoff must be above 0 and below 1");
    }
    for (const double x : {0.99, 100.1, -1.0, nan, inf}) {
        CHECK(refusal([&](auto& o) { o.tolerance = x; }) ==
              "adaptive_limit: tolerance must be 1 to 100");
    }
    for (const double x : {0.0, 1.1, -1.0, nan, inf}) {
        CHECK(refusal([&](auto& o) { o.smoothing = x; }) ==
              "adaptive_limit: smoothing must be above 0 and at most 1");
    }
    for (const duration d : {duration(0), duration(-1)}) {
        CHECK(refusal([&](auto& o) { o.slow = d; }) ==
              "adaptive_limit: slow must be more than zero");
        CHECK(refusal([&](auto& o) { o.memory = d; }) ==
              "adaptive_limit: memory must be more than zero");
    }
}
