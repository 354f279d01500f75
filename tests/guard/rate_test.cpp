#include <posthaste/guard/rate.hpp>

#include "../support/conversation.hpp"
#include "../support/layers.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::layer_of;
using posthaste::testing::one_call;
using posthaste::testing::outcome;
using posthaste::testing::refusal_of;

namespace {
struct ask {
    using reply = int;
};
struct world {
    explicit world(const rate_options& o) : r(o) { sim.advance(1h); }
    bool goes_in() { return one_call(sim, layer_of(r)).goes_in(); }
    duration refused_for(duration allowance = 1h) {
        one_call c(sim, layer_of(r), allowance);
        REQUIRE(c.enter().what == verdict::kind::refuse);
        REQUIRE(c.refusal().code() == code::overloaded);
        REQUIRE(c.refusal().effect() == effect::none);
        return c.refusal().retry_after();
    }
    duration delayed_for(duration allowance = 1h) {
        one_call c(sim, layer_of(r), allowance);
        const verdict v = c.enter();
        REQUIRE(v.what == (v.after == 0s ? verdict::kind::pass : verdict::kind::later));
        return v.after;
    }
    simulation sim;
    rate r;
};
}  // namespace

TEST_CASE("rate: a burst after a rest, then one at a time") {
    world w({.per_second = 10, .burst = 3});
    for (int i = 0; i != 3; ++i) CHECK(w.goes_in());
    CHECK(w.refused_for() == 100ms);
    w.sim.advance(99'999'999ns);
    CHECK(w.refused_for() == 1ns);
    w.sim.advance(1ns);
    CHECK(w.goes_in());
    CHECK(w.refused_for() == 100ms);
    w.sim.advance(250ms);
    CHECK((w.goes_in() && w.goes_in()));
    CHECK(w.refused_for() == 50ms);
    w.sim.advance(1h);
    for (int i = 0; i != 3; ++i) CHECK(w.goes_in());
    CHECK(w.refused_for() == 100ms);
    CHECK(w.r.refused() == 5);
}

TEST_CASE("rate: without a burst one at a time, however long the rest") {
    world w({.per_second = 2});
    CHECK(w.goes_in());
    CHECK(w.refused_for() == 500ms);
    w.sim.advance(1h);
    CHECK(w.goes_in());
    CHECK(w.refused_for() == 500ms);
}

TEST_CASE("rate: with a wait a call has its turn, and is refused if that is too far away") {
    world w({.per_second = 10, .wait = 250ms});
    CHECK(w.delayed_for() == 0ms);
    CHECK(w.delayed_for() == 100ms);
    CHECK(w.delayed_for() == 200ms);
    CHECK(w.refused_for() == 50ms);  // then its turn is near enough
    w.sim.advance(50ms);
    CHECK(w.delayed_for() == 250ms);
    CHECK(w.refused_for() == 100ms);
    w.sim.advance(10s);
    CHECK(w.delayed_for() == 0ms);
}

TEST_CASE("rate: a turn that does not come before the deadline is not taken") {
    world w({.per_second = 10, .wait = 10s});
    w.delayed_for();
    CHECK(w.refused_for(99ms) == 1ms + 1ns);
    CHECK(w.refused_for(100ms) == 1ns);
    CHECK(w.refused_for(-1s) == 100ms + 1ns);
    CHECK(w.delayed_for(100ms + 1ns) == 100ms);  // nobody took it
    CHECK(w.delayed_for(forever) == 200ms);
}

TEST_CASE("rate: the turn of a call that is given up stays spent") {
    world w({.per_second = 10, .wait = 1s});
    w.delayed_for();
    {
        one_call c(w.sim, layer_of(w.r));
        CHECK(c.enter().after == 100ms);
        c.abandon();
    }
    CHECK(w.delayed_for() == 200ms);
}

TEST_CASE("rate: is exact in the long run, at any rate") {
    for (const double per_second : {0.5, 3.0, 7.5, 1000.0, 1e6, 1e9}) {
        world w({.per_second = per_second, .wait = 1h});
        const int calls = 1000;
        duration last{};
        for (int i = 0; i != calls; ++i) last = w.delayed_for();
        const double expected = (calls - 1) * 1e9 / per_second;
        CHECK(static_cast<double>(last.count()) >= expected - 1);
        CHECK(static_cast<double>(last.count()) < expected + calls);
    }
}

TEST_CASE("rate: over 1,000 seeds never more than the burst and the time allow, and never less") {
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        std::mt19937_64 random(seed);
        const auto burst = static_cast<double>(1 + random() % 5);
        world w({.per_second = 1000, .burst = burst});
        double tokens = burst;  // a bucket, filled step by step
        for (int step = 0; step != 100; ++step) {
            const auto ms = random() % 3;
            w.sim.advance(std::chrono::milliseconds(ms));
            tokens = std::min(burst, tokens + static_cast<double>(ms));
            REQUIRE(w.goes_in() == (tokens >= 1));
            if (tokens >= 1) --tokens;
        }
    }
}

TEST_CASE("rate: numbers beyond all measure do no harm") {
    world slowest({.per_second = 1e-8});
    CHECK(slowest.goes_in());
    CHECK(slowest.refused_for() == std::chrono::seconds(100'000'000));
    world patient({.per_second = 1e-8, .wait = forever});
    for (int i = 0; i != 1000; ++i) patient.delayed_for(forever);
    CHECK(patient.delayed_for(forever) > 24h * 365 * 200);
    world wide({.per_second = 10, .burst = 1e9});
    for (int i = 0; i != 1000; ++i) CHECK(wide.goes_in());
}

TEST_CASE("rate: options out of their range are refused, and named") {
    STATIC_REQUIRE(policy<rate>);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double inf = std::numeric_limits<double>::infinity();
    for (const double x : {0.0, -1.0, 0.9e-8, 1.0001e9, nan, inf, -inf}) {
        CHECK(refusal_of([&] { rate r({.per_second = x}); }) ==
              "rate: per_second must be 1e-8 to 1e9");
    }
    for (const double x : {0.0, 0.5, -1.0, 1.0001e9, nan, inf, -inf}) {
        CHECK(refusal_of([&] { rate r({.per_second = 1e3, .burst = x}); }) ==
              "rate: burst must be 1 to 1e9, and no more than 1e8 seconds give");
    }
    CHECK(refusal_of([] { rate r({.per_second = 1e-6, .burst = 101}); }) ==
          "rate: burst must be 1 to 1e9, and no more than 1e8 seconds give");
    CHECK(refusal_of([] { rate r({.per_second = 1e-6, .burst = 100}); }).empty());
    CHECK(refusal_of([] { rate r({.per_second = 1, .wait = -1ns}); }) ==
          "rate: wait must be zero or more");
    CHECK(refusal_of([] { rate r({.per_second = 1, .burst = 1, .wait = 0ns}); }).empty());
}

TEST_CASE("rate: a client's calls go in at its pace, or fail at once") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<ask>("mail", [](ask) { return 7; });
    const auto patient = app.client<ask>("mail", rate({.per_second = 10, .wait = 1s}));
    const auto call = [](client<ask> c) -> task<result<int>> { co_return co_await c.call(); };
    for (int i = 0; i != 5; ++i) CHECK(outcome(app.run([&] { return call(patient); })) == "value");
    CHECK(sim.elapsed() == 400ms);

    const auto hasty = app.client<ask>("mail", rate({.per_second = 10}));
    CHECK(outcome(app.run([&] { return call(hasty); })) == "value");
    const result<int> refused = app.run([&] { return call(hasty); });
    CHECK(outcome(refused) == "overloaded, none");
    CHECK(refused.error().retry_after() == 100ms);

    // Given up while it waits for its turn, which nobody else gets.
    launched<result<int>> a(sim, call(patient));
    sim.drive_ready();
    launched<result<int>> b(sim, call(patient));
    sim.drive_ready();
    b.stop();
    sim.drive_ready();
    CHECK(b.done());
    CHECK(outcome(b.value()) == "cancelled, none");
    sim.advance(100ms);
    CHECK(outcome(a.value()) == "value");
}
