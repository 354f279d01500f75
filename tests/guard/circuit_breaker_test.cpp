#include <posthaste/guard/circuit_breaker.hpp>

#include <posthaste/prove/simulation.hpp>

#include "../support/catch.hpp"
#include "../support/layers.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <list>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using detail::circuit_breaker;
using posthaste::testing::one_call;

namespace {

breaker_options small() {
    breaker_options o;
    o.least_calls = 4;
    o.open_for = 4s;  // 3 to 4 s the first time
    o.open_at_most = 20s;
    return o;
}

struct world {
    explicit world(breaker_options o = small(), std::uint64_t seed = 1)
        : sim(seed), machine(std::move(o)) {
        sim.advance(1h);
    }
    simulation sim;
    circuit_breaker machine;

    circuit state() const { return machine.state(); }
    bool one(code c, effect e = effect::unknown) {
        one_call call(sim, machine);
        if (!call.goes_in()) return false;
        call.fail(c, e);
        return true;
    }
    bool good() {
        one_call call(sim, machine);
        if (!call.goes_in()) return false;
        call.succeed();
        return true;
    }
    bool bad() { return one(code::handler_failed); }

    void make_open() {
        while (state() == circuit::closed) bad();
        REQUIRE(state() == circuit::open);
    }
    void wait_until_it_asks() { sim.advance(20s); }
    // Makes it half open, if it is not, and lets a probe in.
    std::unique_ptr<one_call> begin_probe(duration allowance = 1s) {
        if (state() == circuit::closed) make_open();
        if (state() == circuit::open) wait_until_it_asks();
        auto probe = std::make_unique<one_call>(sim, machine, allowance);
        REQUIRE(probe->goes_in());
        REQUIRE(state() == circuit::half_open);
        return probe;
    }
    duration refused_for() {
        one_call c(sim, machine);
        REQUIRE(c.enter().what == verdict::kind::refuse);
        REQUIRE(c.refusal().code() == code::circuit_open);
        REQUIRE(c.refusal().effect() == effect::none);
        REQUIRE(!c.refusal().detail().empty());
        return c.refusal().retry_after();
    }
};

}  // namespace

// --- closed -------------------------------------------------------------------------------------

TEST_CASE("circuit_breaker: closed, it lets all through while calls end well") {
    world w;
    for (int i = 0; i != 1000; ++i) CHECK(w.good());
    CHECK(w.state() == circuit::closed);
    CHECK(w.machine.counts().calls == 1000);
    CHECK(w.machine.counts().failed == 0);
    CHECK(w.machine.last_cause() == nullptr);
}

TEST_CASE("circuit_breaker: opens at the ratio, not below, and not before it has seen enough") {
    for (const int failing : {1, 2, 3, 4}) {
        world w;
        for (int i = 0; i != 4 - failing; ++i) w.good();
        for (int i = 0; i != failing; ++i) {
            CHECK(w.state() == circuit::closed);  // three calls are not enough
            w.bad();
        }
        CHECK(w.state() == (failing >= 2 ? circuit::open : circuit::closed));
    }
    auto o = small();
    o.ratio = 1;
    world w(o);
    w.good();
    for (int i = 0; i != 100; ++i) w.bad();
    CHECK(w.state() == circuit::closed);
}

TEST_CASE("circuit_breaker: what is older than its window is forgotten") {
    world w;
    for (int i = 0; i != 3; ++i) w.bad();
    w.sim.advance(10s);
    for (int i = 0; i != 3; ++i) w.bad();
    CHECK(w.state() == circuit::closed);
    w.bad();
    CHECK(w.state() == circuit::open);
}

TEST_CASE("circuit_breaker: what tells nothing of the callee is not counted") {
    world w;
    for (int i = 0; i != 20; ++i) {
        w.one(code::cancelled);
        w.one(code::cancelled, effect::complete);
        w.one(code::rejected, effect::none);
        w.one(code::no_handler, effect::none);
        w.one(code::would_deadlock, effect::none);
        w.one(code::circuit_open, effect::none);
        one_call given_up(w.sim, w.machine);
        CHECK(given_up.goes_in());
    }
    CHECK(w.state() == circuit::closed);
    CHECK(w.machine.counts().calls == 0);
}

TEST_CASE("circuit_breaker: a refusal by the handler is an answer") {
    world w;
    for (int i = 0; i != 20; ++i) w.one(code::rejected, effect::complete);
    CHECK(w.machine.counts().calls == 20);
    CHECK(w.machine.counts().failed == 0);
}

TEST_CASE("circuit_breaker: a deadline that was over before tells nothing of the callee") {
    world w;
    for (const duration none : {duration(0), duration(-1s)}) {
        for (int i = 0; i != 20; ++i) {
            one_call c(w.sim, w.machine, none);
            REQUIRE(c.goes_in());
            c.fail(code::deadline_exceeded, effect::none);
        }
    }
    CHECK(w.machine.counts().calls == 0);
    for (int i = 0; i != 20; ++i) w.one(code::deadline_exceeded, effect::none);  // in its queue
    CHECK(w.state() == circuit::open);
}

TEST_CASE("circuit_breaker: who counts otherwise says so") {
    auto o = small();
    o.counts = [](const failure& f) { return f.code() == code::rejected; };
    world w(o);
    for (int i = 0; i != 20; ++i) w.bad();
    CHECK(w.state() == circuit::closed);
    CHECK(w.machine.counts().calls == 0);  // effect::unknown: tells nothing
    for (int i = 0; i != 4; ++i) w.one(code::rejected);
    CHECK(w.state() == circuit::open);
}

TEST_CASE("circuit_breaker: where the user's predicate throws, the usual one holds") {
    auto o = small();
    o.counts = [](const failure&) -> bool { throw std::runtime_error("no idea"); };
    world w(o);
    for (int i = 0; i != 20; ++i) w.one(code::cancelled);
    CHECK(w.state() == circuit::closed);
    for (int i = 0; i != 4; ++i) w.bad();
    CHECK(w.state() == circuit::open);
}

TEST_CASE("circuit_breaker: slow calls open it, if they are looked at") {
    for (const bool looks : {false, true}) {
        auto o = small();
        if (looks) o.slow = 100ms;
        o.slow_ratio = 0.75;
        world w(o);
        const auto takes = [&](duration d) {
            one_call c(w.sim, w.machine);
            REQUIRE(c.goes_in());
            w.sim.advance(d);
            c.succeed();
        };
        takes(100ms);
        takes(101ms);
        takes(101ms);
        CHECK(w.state() == circuit::closed);
        takes(101ms);
        CHECK(w.state() == (looks ? circuit::open : circuit::closed));
        CHECK(w.machine.counts().slow == (looks ? 3 : 0));
        if (looks) {
            CHECK(w.machine.last_cause()->code() == code::deadline_exceeded);
            // A slow probe has failed.
            auto a = w.begin_probe(10s);
            auto b = w.begin_probe(10s);
            w.sim.advance(101ms);
            a->succeed();
            b->succeed();
            CHECK(w.state() == circuit::open);
            // Back in the closed state calls are timed from their own beginning.
            auto c = w.begin_probe();
            c->succeed();
            w.good();
            CHECK(w.state() == circuit::closed);
            takes(50ms);
            CHECK(w.machine.counts().slow == 0);
        }
    }
}

// --- open ---------------------------------------------------------------------------------------

TEST_CASE("circuit_breaker: open, it refuses, and says when to come again") {
    world w;
    w.make_open();
    const duration first = w.refused_for();
    CHECK(first > 0s);
    CHECK(first <= 4s);
    w.sim.advance(first - 1ns);
    CHECK(w.refused_for() == 1ns);
    w.sim.advance(1ns);
    CHECK(w.good());
    CHECK(w.state() == circuit::half_open);
    CHECK(w.machine.counts().refused == 2);
}

TEST_CASE("circuit_breaker: it is open twice as long each time, up to the most, at random") {
    world w;
    w.make_open();
    for (const duration longest : {4s, 8s, 16s, 20s, 20s}) {
        const duration d = w.refused_for();
        CHECK(d <= longest);
        CHECK(d >= longest * 3 / 4);
        w.sim.advance(d);
        CHECK(w.bad());
        CHECK(w.state() == circuit::half_open);
        CHECK(w.bad());
        REQUIRE(w.state() == circuit::open);
    }
    w.wait_until_it_asks();
    w.good();
    w.good();
    REQUIRE(w.state() == circuit::closed);
    w.make_open();
    CHECK(w.refused_for() <= 4s);  // starts anew

    std::vector<duration> all;
    for (std::uint64_t seed = 1; seed != 6; ++seed) {
        world other(small(), seed), same(small(), seed);
        other.make_open();
        same.make_open();
        all.push_back(other.refused_for());
        CHECK(all.back() == same.refused_for());
    }
    CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
}

TEST_CASE("circuit_breaker: it is never open longer than a time that nobody can count") {
    auto o = small();
    o.open_for = o.open_at_most = forever;
    world w(o);
    w.make_open();
    CHECK(w.refused_for() > 24h * 365 * 200);
}

TEST_CASE("circuit_breaker: the last cause is what made it open") {
    world w;
    for (int i = 0; i != 3; ++i) w.bad();
    CHECK(w.machine.last_cause() == nullptr);
    one_call c(w.sim, w.machine);
    c.enter();
    c.fail(failure(code::unavailable, effect::unknown, "the line is cut").path("stock"));
    REQUIRE(w.machine.last_cause());
    CHECK(w.machine.last_cause()->message() == "unavailable at stock: the line is cut");
    auto probe = w.begin_probe();
    probe->fail(code::no_reply);
    CHECK(w.machine.last_cause()->code() == code::unavailable);
    w.one(code::overloaded);
    CHECK(w.machine.last_cause()->code() == code::overloaded);
}

// --- half open: the scars of others -------------------------------------------------------------

TEST_CASE(
    "circuit_breaker: half open, three probes and no more, and others are refused meanwhile") {
    world w;
    auto a = w.begin_probe(900ms), b = w.begin_probe(700ms), c = w.begin_probe();
    CHECK(w.refused_for() == 700ms);  // then a lease runs out, at the latest
    a->succeed();
    CHECK(w.state() == circuit::half_open);
    w.refused_for();  // two under way and one ended: that makes three
    b->succeed();
    CHECK(w.state() == circuit::closed);
    CHECK(w.good());
    c->fail(code::handler_failed);
    CHECK(w.state() == circuit::closed);
    CHECK(w.machine.counts().late == 1);
}

TEST_CASE("circuit_breaker: one flaky probe does not open it again, but two of three do") {
    for (const bool second_well : {true, false}) {
        world w;
        auto a = w.begin_probe();
        a->fail(code::handler_failed);
        CHECK(w.state() == circuit::half_open);
        second_well ? w.good() : w.bad();
        if (second_well) {
            CHECK(w.state() == circuit::half_open);
            w.good();
        }
        CHECK(w.state() == (second_well ? circuit::closed : circuit::open));
    }
}

TEST_CASE("circuit_breaker: a probe that never ends is over with its deadline, and has failed") {
    world w;
    auto hung = w.begin_probe(300ms), also_hung = w.begin_probe(400ms), third = w.begin_probe();
    w.sim.advance(299ms);
    w.refused_for();
    CHECK(w.state() == circuit::half_open);
    w.sim.advance(1ms);
    w.refused_for();  // one has failed, two are under way
    CHECK(w.state() == circuit::half_open);
    w.sim.advance(100ms);
    w.refused_for();
    CHECK(w.state() == circuit::open);
    CHECK(w.machine.last_cause()->code() == code::deadline_exceeded);
    hung->succeed();  // too late
    also_hung->succeed();
    third->succeed();
    CHECK(w.state() == circuit::open);
    CHECK(w.machine.counts().late == 3);
    // And it recovers all the same.
    w.wait_until_it_asks();
    CHECK((w.good() && w.good()));
    CHECK(w.state() == circuit::closed);
}

TEST_CASE("circuit_breaker: a probe without a deadline is leased for the longest it is open") {
    world w;
    auto a = w.begin_probe(forever), b = w.begin_probe(forever);
    w.sim.advance(20s - 1ns);
    auto c = w.begin_probe(1h);
    CHECK(w.state() == circuit::half_open);
    w.sim.advance(1ns);
    w.refused_for();
    CHECK(w.state() == circuit::open);
}

TEST_CASE(
    "circuit_breaker: a probe that is cancelled or given up makes room, and decides nothing") {
    world w;
    for (int i = 0; i != 10; ++i) {
        auto a = w.begin_probe(), b = w.begin_probe(), c = w.begin_probe();
        w.refused_for();
        a->fail(code::cancelled);
        b->abandon();
        c->fail(code::rejected, effect::none);
        CHECK(w.state() == circuit::half_open);
    }
    CHECK(w.machine.counts().late == 0);
    CHECK((w.good() && w.good()));
    CHECK(w.state() == circuit::closed);
}

TEST_CASE("circuit_breaker: a call whose deadline is over already takes no probe's place") {
    world w;
    auto over = w.begin_probe(duration(0));
    over->fail(code::deadline_exceeded, effect::none);
    CHECK((w.good() && w.good()));
    CHECK(w.state() == circuit::closed);
}

TEST_CASE("circuit_breaker: how a call ends that began in an earlier state is counted, no more") {
    world w;
    std::list<one_call> old;
    const auto begin = [&] { REQUIRE(old.emplace_back(w.sim, w.machine).goes_in()); };
    for (int i = 0; i != 40; ++i) begin();
    w.make_open();
    const auto end = [&](bool well) {
        well ? old.front().succeed() : old.front().fail(code::handler_failed);
        old.pop_front();
    };
    for (int i = 0; i != 10; ++i) end(i % 2 != 0);
    CHECK(w.state() == circuit::open);
    auto probe = w.begin_probe();
    for (int i = 0; i != 10; ++i) end(i % 2 != 0);
    CHECK(w.state() == circuit::half_open);
    probe->succeed();
    w.good();
    REQUIRE(w.state() == circuit::closed);
    for (int i = 0; i != 20; ++i) end(false);
    w.bad();
    CHECK(w.state() == circuit::closed);  // the old failures do not add to it either
    CHECK(w.machine.counts().calls == 1);
    CHECK(w.machine.counts().late == 40);
}

// --- by hand, and dry ---------------------------------------------------------------------------

TEST_CASE("circuit_breaker: held open, it refuses all until it is closed, from every state") {
    for (const circuit from : {circuit::closed, circuit::open, circuit::half_open}) {
        world w;
        std::unique_ptr<one_call> probes[2];
        if (from != circuit::closed) w.make_open();
        if (from == circuit::half_open) {
            for (auto& p : probes) p = w.begin_probe();
        }
        REQUIRE(w.state() == from);
        w.machine.change(circuit::held_open);
        CHECK(w.state() == circuit::held_open);
        w.sim.advance(1h);
        CHECK(w.refused_for() == 0s);  // nobody knows
        for (auto& p : probes) {
            if (p) p->succeed();
        }
        CHECK(w.state() == circuit::held_open);
        w.machine.change(circuit::closed);
        CHECK(w.state() == circuit::closed);
        CHECK(w.good());
        CHECK(w.machine.counts().calls == 1);
    }
}

TEST_CASE("circuit_breaker: closed by hand it is as new, from every state") {
    for (const circuit from : {circuit::closed, circuit::open, circuit::half_open}) {
        world w;
        std::unique_ptr<one_call> probe;
        for (int i = 0; i != 3; ++i) w.bad();
        if (from != circuit::closed) w.make_open();
        if (from == circuit::half_open) probe = w.begin_probe();
        REQUIRE(w.state() == from);
        w.machine.change(circuit::closed);
        if (probe) probe->fail(code::handler_failed);
        for (int i = 0; i != 3; ++i) CHECK(w.bad());
        CHECK(w.state() == circuit::closed);
        CHECK(w.machine.counts().calls == 3);
        w.bad();
        CHECK(w.state() == circuit::open);
        CHECK(w.refused_for() <= 4s);
    }
}

TEST_CASE("circuit_breaker: a dry run refuses nothing, and counts what it would have") {
    auto o = small();
    o.dry_run = true;
    world w(o);
    w.make_open();
    for (int i = 0; i != 5; ++i) CHECK(w.bad());
    CHECK(w.machine.counts().refused == 5);
    CHECK(w.machine.counts().late == 0);
    CHECK(w.state() == circuit::open);
    {
        auto a = w.begin_probe(), b = w.begin_probe(), c = w.begin_probe();
        CHECK(w.bad());  // not a probe: tells nothing
        one_call given_up(w.sim, w.machine);
        CHECK(given_up.goes_in());
        CHECK(w.machine.counts().refused == 7);
        CHECK(w.state() == circuit::half_open);
        a->succeed();
        b->succeed();
    }
    CHECK(w.state() == circuit::closed);
    w.machine.change(circuit::held_open);
    CHECK(w.good());
    CHECK(w.machine.counts().refused == 8);
    CHECK(w.state() == circuit::held_open);
}

// --- with seeds ---------------------------------------------------------------------------------

namespace {

// A long life among faults, hung and abandoned calls, and hands; then the callee is well.
std::string life(std::uint64_t seed, std::uint64_t& seen_states) {
    std::mt19937_64 random(seed);
    const auto one_in = [&](unsigned n) { return random() % n == 0; };
    auto o = small();
    o.probes = static_cast<int>(1 + random() % 5);
    if (one_in(3)) o.slow = 50ms;
    o.dry_run = one_in(4);
    world w(o, seed);
    std::list<one_call> under_way;
    std::string story;
    bool callee_is_well = true;
    for (int step = 0; step != 600; ++step) {
        if (one_in(40)) callee_is_well = !callee_is_well;
        if (one_in(150)) w.machine.change(one_in(2) ? circuit::held_open : circuit::closed);
        if (one_in(3)) w.sim.advance(std::chrono::milliseconds(random() % 200));
        if (one_in(60)) w.sim.advance(std::chrono::milliseconds(random() % 15'000));
        const circuit before = w.state();
        if (one_in(2)) {
            const duration allowances[] = {100ms, 1s, forever};
            one_call& c = under_way.emplace_back(w.sim, w.machine, allowances[random() % 3]);
            const bool in = c.goes_in();
            if (before == circuit::closed) REQUIRE(in);
            if (before == circuit::held_open && !o.dry_run) REQUIRE(!in);
            story += in ? 'i' : 'r';
            if (!in) under_way.pop_back();
        } else if (!under_way.empty()) {
            auto chosen = under_way.begin();
            std::advance(chosen, static_cast<long>(random() % under_way.size()));
            if (one_in(10)) chosen->abandon();
            else if (one_in(10)) chosen->fail(code::cancelled);
            else if (callee_is_well != one_in(20)) chosen->succeed();
            else chosen->fail(one_in(2) ? code::handler_failed : code::deadline_exceeded);
            under_way.erase(chosen);
            story += 'o';
        }
        story += "cohH"[static_cast<int>(w.state())];
        seen_states |= 1u << static_cast<int>(w.state());
    }
    // Whatever it has come to, with calls that never end: it closes once the callee is well.
    if (w.state() == circuit::held_open) w.machine.change(circuit::closed);
    for (int i = 0; i != 200; ++i) {
        w.sim.advance(1s);
        w.good();
    }
    REQUIRE(w.state() == circuit::closed);
    const breaker_counts n = w.machine.counts();
    return story + std::to_string(n.refused) + ' ' + std::to_string(n.late);
}

}  // namespace

TEST_CASE(
    "circuit_breaker: is never stuck, over 1,000 seeds, and the same seed gives the same life") {
    std::uint64_t states = 0;
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        INFO("seed " << seed);
        const std::string story = life(seed, states);
        if (seed % 50 == 0) REQUIRE(life(seed, states) == story);
    }
    CHECK(states == 15);
}

// --- bad input ----------------------------------------------------------------------------------

TEST_CASE("circuit_breaker: options out of their range are refused, and named") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto refusal = [](auto change) {
        return testing::refusal_of([&] {
            breaker_options o;
            change(o);
            circuit_breaker made(o);
        });
    };
    CHECK(refusal([](breaker_options&) {}).empty());
    for (const double x : {0.0, -0.1, 1.0001, nan, std::numeric_limits<double>::infinity()}) {
        CHECK(refusal([&](auto& o) { o.ratio = x; }) ==
              "breaker: ratio must be above 0 and at most 1");
        CHECK(refusal([&](auto& o) { o.slow_ratio = x; }) ==
              "breaker: slow_ratio must be above 0 and at most 1");
    }
    for (const duration d : {duration(0), duration(-1)}) {
        CHECK(refusal([&](auto& o) { o.slow = d; }) == "breaker: slow must be more than zero");
        CHECK(refusal([&](auto& o) { o.window = d; }) == "breaker: window must be more than zero");
        CHECK(refusal([&](auto& o) { o.open_for = d; }) ==
              "breaker: open_for must be more than zero");
    }
    CHECK(refusal([](auto& o) { o.open_at_most = 1s; }) ==
          "breaker: open_at_most must be at least open_for");
    for (const int n : {0, -1, std::numeric_limits<int>::min()}) {
        CHECK(refusal([&](auto& o) { o.least_calls = n; }) ==
              "breaker: least_calls must be at least 1");
        CHECK(refusal([&](auto& o) { o.probes = n; }) == "breaker: probes must be 1 to 100");
    }
    CHECK(refusal([](auto& o) { o.probes = 101; }) == "breaker: probes must be 1 to 100");
    CHECK(refusal([](auto& o) { o.probes = 100; }).empty());
    CHECK(refusal([](auto& o) { o.counts = nullptr; }) == "breaker: counts must be a function");
}
