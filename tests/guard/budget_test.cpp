#include <posthaste/guard/budget.hpp>
#include <posthaste/prove/faults.hpp>

#include "../support/conversation.hpp"
#include "../support/layers.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <random>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::layer_of;
using posthaste::testing::refusal_of;

namespace {

struct ask {
    using reply = int;
};

/// A call that goes in through a budget and takes what it can.
bool earn_and_take(simulation& sim, const budget& b) {
    passage p(sim, false);
    layer::slot s;
    CHECK(layer_of(b).enter(p, s).what == verdict::kind::pass);
    REQUIRE(p.extra);
    const bool taken = p.extra->take(p);
    CHECK(layer_of(b).leave(p, s, nullptr).what == verdict::kind::pass);
    return taken;
}
void earn(simulation& sim, const budget& b) {
    passage p(sim, false);
    layer::slot s;
    layer_of(b).enter(p, s);
}

}  // namespace

TEST_CASE("budget: has a fifth of the calls, and ten a second, over ten seconds") {
    simulation sim;
    const budget b;
    const budget copy = b;
    CHECK(b.left(sim) == 100);
    int taken = 0;
    for (int i = 0; i != 1000; ++i) taken += earn_and_take(sim, copy);
    CHECK(taken == 300);
    CHECK(b.taken() == 300);
    CHECK(b.refused() == 700);
    CHECK(b.left(sim) < 1);
    sim.advance(11s);  // what came in and what was spent is forgotten
    CHECK(b.left(sim) == 100);
}

TEST_CASE("budget: with a reserve of nothing it lives on what comes in") {
    simulation sim;
    const budget b({.ratio = 0.5, .per_second = 0, .window = 1s});
    CHECK(!earn_and_take(sim, b));
    CHECK(earn_and_take(sim, b));
    CHECK(!earn_and_take(sim, b));
    earn(sim, b);
    CHECK(b.left(sim) == 1);
    sim.advance(1100ms);
    CHECK(b.left(sim) == 0);
}

TEST_CASE("budget: is shared by the retries of several clients") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int begun = 0;
    app.handle<ask>("full", [&](ask) -> result<int> { return ++begun, failure(code::overloaded); });
    const budget b({.ratio = 0, .per_second = 3, .window = 1s});
    const retry often({.attempts = 10, .base = 0ms});
    const auto one = app.client<ask>("nobody", b | often);
    faults broken(1);
    broken.set(faults::failing());
    const auto two = app.client<ask>("full", b | often | broken);
    const auto three = app.client<ask>("full", b | often | broken);
    app.run([&]() -> task<> {
        const auto rone = co_await one.call();
        CHECK(!rone);
        const auto rtwo = co_await two.call();
        CHECK(!rtwo);
        const auto rthree = co_await three.call();
        CHECK(!rthree);
    });
    CHECK(b.taken() == 3);
    CHECK(b.refused() == 2);
    CHECK(broken.counts().failed == 5);
}

TEST_CASE("budget: is never overdrawn, over 1,000 seeds") {
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        std::mt19937_64 random(seed);
        simulation sim(seed);
        const double ratio = static_cast<double>(random() % 11) / 10;
        const double each = static_cast<double>(1 + random() % 5);
        const budget b({.ratio = ratio, .per_second = each, .window = 1s});
        struct event {
            time_point at;
            bool taken;
        };
        std::deque<event> events;  // of the last second
        for (int i = 0; i != 200; ++i) {
            sim.advance(std::chrono::milliseconds(random() % 40));
            events.push_back({sim.now(), false});
            const bool taken = earn_and_take(sim, b);
            if (taken) events.push_back({sim.now(), true});
            while (events.front().at < sim.now() - 1s) events.pop_front();
            double in = 0, out = 0;  // it knows of nine tenths of the window at least
            for (const event& e : events) {
                if (!e.taken) in += 1;
                else if (e.at > sim.now() - 900ms) out += 1;
            }
            if (taken) REQUIRE(out <= each + ratio * in + 1e-9);
            REQUIRE(b.left(sim) >= 0);
        }
    }
}

TEST_CASE("budget: bad options are refused") {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    for (const double bad : {-0.1, 1.1, nan})
        CHECK(refusal_of([&] { budget({.ratio = bad}); }) == "budget: ratio: must be 0 to 1");
    for (const double bad : {-1.0, 2e9, nan})
        CHECK(refusal_of([&] { budget({.per_second = bad}); }) ==
              "budget: per_second: must be 0 to 1e9");
    for (const duration bad : {duration(0), duration(-1)})
        CHECK(refusal_of([&] { budget({.window = bad}); }) ==
              "budget: window: must be more than zero");
    CHECK(refusal_of([] { budget({.ratio = 0, .per_second = 0}); }) ==
          "budget: ratio, per_second: must allow 1 call in a window");
    CHECK(refusal_of([] { budget({.ratio = 0, .per_second = 1, .window = 1s}); }) == "");
    simulation sim;
    bus app(sim);
    CHECK(refusal_of([&] { app.client<ask>("a", retry() | budget()); }) ==
          "budget: must stand outside of retry: budget | retry");
    CHECK(refusal_of([&] { app.client<ask>("a", budget() | retry()); }) == "");
}
