#include "../support/catch.hpp"

#include <posthaste/prove/faults.hpp>
#include <posthaste/prove/simulation.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

/// Calls that go through one layer.
struct gate {
    simulation& at;
    call_settings settings{5s};

    gate(simulation& s, const faults& f) : at(s) { f.apply(settings); }

    verdict enter(failure* why = nullptr) {
        passage p(at, false);
        layer::slot s;
        const verdict v = settings.layers.front()->enter(p, s);
        if (why) *why = p.refusal();
        if (v.what != verdict::kind::refuse) {
            REQUIRE(settings.layers.front()->leave(p, s, nullptr).what == verdict::kind::pass);
        }
        return v;
    }
    /// What was done to so many calls: p, r (refused), or the milliseconds of a delay.
    std::string tell(int calls) {
        std::string all;
        for (int i = 0; i != calls; ++i) {
            const verdict v = enter();
            if (v.what == verdict::kind::pass) all += "p";
            else if (v.what == verdict::kind::refuse) all += "r";
            else all += v.after == forever ? "d" : std::to_string(v.after / 1ms) + ",";
        }
        return all;
    }
};

bool close_to(std::uint64_t n, std::uint64_t expected) {
    return n > expected - expected / 20 && n < expected + expected / 20;
}

}  // namespace

TEST_CASE("faults: calm until something else is said") {
    simulation sim;
    faults f(7);
    gate g(sim, f);
    CHECK(g.tell(50) == std::string(50, 'p'));
    CHECK(f.counts() == fault_counts{50, 0, 0, 0});
}

TEST_CASE("faults: each does to calls what its name says, and counts it") {
    simulation sim;
    faults f;
    gate g(sim, f);
    f.set(faults::dead());
    verdict v = g.enter();
    CHECK(v.what == verdict::kind::later);
    CHECK(v.after == forever);
    f.set(faults::failing());
    failure why(code::rejected);
    CHECK(g.enter(&why).what == verdict::kind::refuse);
    CHECK(why.code() == code::unavailable);
    CHECK(why.effect() == effect::none);
    CHECK(why.detail() == "a fault was injected");
    f.set(faults::failing(1, code::handler_failed, effect::unknown));
    CHECK(g.enter(&why).what == verdict::kind::refuse);
    CHECK(why.code() == code::handler_failed);
    CHECK(why.effect() == effect::unknown);
    f.set(faults::slow(10ms, 20ms));
    v = g.enter();
    CHECK(v.what == verdict::kind::later);
    CHECK(v.after >= 10ms);
    CHECK(v.after <= 20ms);
    f.set(faults::healthy());
    CHECK(g.enter().what == verdict::kind::pass);
    CHECK(f.counts() == fault_counts{1, 1, 2, 1});
}

TEST_CASE("faults: as many calls as the chances say, whatever the seed") {
    const auto seed = static_cast<std::uint64_t>(GENERATE(range(1, 6)));
    simulation sim;
    faults f(seed);
    gate g(sim, f);
    f.set(fault_mix().delay(0.2, 1ms, 50ms).fail(0.3).drop(0.1));
    for (int i = 0; i != 20'000; ++i) g.enter();
    const fault_counts c = f.counts();
    CHECK(close_to(c.delayed, 4'000));
    CHECK(close_to(c.failed, 6'000));
    CHECK(close_to(c.dropped, 2'000));
    CHECK(c.passed + c.delayed + c.failed + c.dropped == 20'000);
}

TEST_CASE("faults: delays spread evenly from the least to the most") {
    simulation sim;
    faults f(3);
    gate g(sim, f);
    f.set(faults::slow(10ms, 30ms));
    duration sum{}, least = forever, most{};
    for (int i = 0; i != 10'000; ++i) {
        const duration d = g.enter().after;
        sum += d;
        least = std::min(least, d);
        most = std::max(most, d);
    }
    CHECK(least >= 10ms);
    CHECK(least < 10100us);
    CHECK(most <= 30ms);
    CHECK(most > 29900us);
    CHECK(close_to(static_cast<std::uint64_t>((sum / 10'000).count()), 20'000'000));
    f.set(faults::slow(5ms, 5ms));
    CHECK(g.enter().after == 5ms);
    f.set(faults::slow(0ms, forever));
    for (int i = 0; i != 100; ++i) CHECK(g.enter().after >= 0ms);
}

TEST_CASE("faults: the same seed does the same, another one something else") {
    simulation sim;
    const auto mix = fault_mix().delay(0.3, 1ms, 50ms).fail(0.3).drop(0.2);
    std::vector<std::string> seen;
    for (std::uint64_t seed = 0; seed != 1'000; ++seed) {
        faults one(seed), same(seed);
        one.set(mix);
        same.set(mix);
        seen.push_back(gate(sim, one).tell(20));
        REQUIRE(gate(sim, same).tell(20) == seen.back());
    }
    std::sort(seen.begin(), seen.end());
    CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}

TEST_CASE("faults: the lot of the nth call is the seed's, whatever was set before") {
    simulation sim;
    faults one(5), other(5);
    gate a(sim, one), b(sim, other);
    one.set(faults::failing(0.5));
    other.set(faults::failing(0.5));
    a.tell(10);
    other.set(faults::slow(1ms, 9ms));
    b.tell(10);
    other.set(faults::failing(0.5));
    CHECK(a.tell(20) == b.tell(20));
}

TEST_CASE("faults: a plan goes by the clock, calm before it begins") {
    simulation sim;
    faults f;
    gate g(sim, f);
    sim.advance(5s);
    f.plan(sim.now() + 1s, {{0s, faults::slow(7ms, 7ms)},
                            {1s, faults::failing()},
                            {1s + 500ms, faults::dead()},
                            {2s, faults::healthy()}});
    std::string told;
    for (int i = 0; i != 8; ++i) {
        told += g.tell(1);
        sim.advance(500ms);
    }
    CHECK(told == "pp7,7,rdpp");
    f.set(faults::dead());
    CHECK(g.tell(1) == "d");
    f.plan(sim.now(), {});
    CHECK(g.tell(1) == "p");
    f.plan(never - 1ns, {{0s, faults::dead()}, {forever, faults::dead()}});
    CHECK(g.tell(1) == "p");
}

TEST_CASE("faults: copies share their state, and clients may go before them") {
    simulation sim;
    faults f;
    {
        gate g(sim, faults(f));
        const faults copy = f;
        f.set(faults::failing());
        CHECK(g.tell(2) == "rr");
        CHECK(copy.counts().failed == 2);
    }
    CHECK(f.counts().failed == 2);
}

TEST_CASE("faults: chances, delays and plans that cannot be are refused, and say why") {
    const char* const chance = "rejected: fault_mix: chance: must be 0 to 1";
    const char* const all = "rejected: fault_mix: chances: must be 1 at most, all together";
    const char* const length =
        "rejected: fault_mix: delay: must be 0 or more, and the least not above the most";
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const double bad : {-0.1, 1.1, nan, std::numeric_limits<double>::infinity()}) {
        CHECK_THROWS_WITH(fault_mix().delay(bad, 1ms, 2ms), chance);
        CHECK_THROWS_WITH(fault_mix().fail(bad), chance);
        CHECK_THROWS_WITH(fault_mix().drop(bad), chance);
    }
    CHECK_THROWS_WITH(fault_mix().fail(0.6).drop(0.6), all);
    CHECK_THROWS_WITH(fault_mix().drop(0.6).delay(0.6, 1ms, 2ms), all);
    CHECK_NOTHROW(fault_mix().fail(0.7).drop(0.2).delay(0.1, 1ms, 2ms).fail(0.7));
    CHECK_THROWS_WITH(fault_mix().delay(0.1, 2ms, 1ms), length);
    CHECK_THROWS_WITH(fault_mix().delay(0.1, -1ms, 1ms), length);
    faults f;
    CHECK_THROWS_WITH(f.plan(time_point(), {{2s, {}}, {1s, {}}}),
                      "rejected: faults: plan: must be in the order of time");
}
