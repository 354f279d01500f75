#include <posthaste/guard/retry.hpp>
#include <posthaste/prove/faults.hpp>

#include "../support/conversation.hpp"
#include "../support/layers.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;
using posthaste::testing::refusal_of;

namespace {

struct ask {
    using reply = int;
};
struct safe {
    using reply = int;
    static constexpr bool idempotent = true;
};

/// Fails the calls that come through, before they reach anybody, as often as it is told to.
struct weather final : layer {
    std::deque<failure> to_come;
    std::vector<time_point> seen;
    verdict enter(passage& p, slot&) noexcept override {
        seen.push_back(p.now());
        if (to_come.empty()) return {};
        p.refusal() = to_come.front();
        to_come.pop_front();
        return {verdict::kind::refuse};
    }
    verdict leave(passage&, slot&, const failure*) noexcept override { return {}; }
};
struct bad_weather {
    std::shared_ptr<weather> core = std::make_shared<weather>();
    void apply(call_settings& s) const { s.layers.push_back(core); }
};

struct world {
    simulation sim;
    bus app{sim};
    bad_weather bad;
    world() {
        app.handle<ask, safe>("all", [](const auto&) { return 1; });
    }
    template <typename M = ask, typename P>
    std::string call(const P& p, std::vector<failure> fails) {
        bad.core->to_come.assign(fails.begin(), fails.end());
        bad.core->seen.clear();
        const auto c = app.client<M>("all", p | bad);
        return outcome(app.run([&]() -> task<result<int>> { co_return co_await c.call(); }));
    }
    std::size_t attempts() const { return bad.core->seen.size(); }
};

std::vector<failure> times(std::size_t n, code c, effect e = effect::none) {
    return std::vector<failure>(n, failure(c, e));
}

}  // namespace

TEST_CASE("retry: makes again what did nothing, three times in all") {
    testing::no_frames_left frames;
    world w;
    CHECK(w.call(retry(), {}) == "value");
    CHECK(w.attempts() == 1);
    CHECK(w.call(retry(), times(2, code::overloaded)) == "value");
    CHECK(w.attempts() == 3);
    CHECK(w.call(retry(), times(3, code::overloaded)) == "overloaded, none");
    CHECK(w.attempts() == 3);
    CHECK(w.call(retry({.attempts = 1}), times(1, code::overloaded)) == "overloaded, none");
    CHECK(w.attempts() == 1);
    CHECK(w.call(retry({.attempts = 7}), times(6, code::unavailable)) == "value");
    CHECK(w.attempts() == 7);
}

TEST_CASE("retry: by code and effect") {
    testing::no_frames_left frames;
    world w;
    constexpr code never_again[] = {code::cancelled,      code::closed,   code::no_handler,
                                    code::would_deadlock, code::rejected, code::undecodable};
    for (unsigned c = 0; c <= static_cast<unsigned>(code::undecodable); ++c) {
        const code how = static_cast<code>(c);
        const bool may =
            std::find(std::begin(never_again), std::end(never_again), how) == std::end(never_again);
        for (const effect e : {effect::none, effect::unknown, effect::complete}) {
            CAPTURE(to_string(how), to_string(e));
            w.call<ask>(retry(), times(1, how, e));
            CHECK(w.attempts() == (may && e == effect::none ? 2 : 1));
            w.call<safe>(retry(), times(1, how, e));
            CHECK(w.attempts() == (may ? 2 : 1));
        }
    }
}

TEST_CASE("retry: waits anything up to a bound that doubles, and no longer than the cap") {
    testing::no_frames_left frames;
    world w;
    const budget plenty({.ratio = 1, .per_second = 1e6});
    std::vector<duration> least(6, forever), most(6, 0ms);
    for (int i = 0; i != 500; ++i) {
        w.call(plenty | retry({.attempts = 7, .base = 20ms, .cap = 100ms}),
               times(6, code::overloaded));
        REQUIRE(w.attempts() == 7);
        for (std::size_t n = 0; n != 6; ++n) {
            const duration waited = w.bad.core->seen[n + 1] - w.bad.core->seen[n];
            least[n] = std::min(least[n], waited), most[n] = std::max(most[n], waited);
        }
    }
    const std::vector<duration> bounds{20ms, 40ms, 80ms, 100ms, 100ms, 100ms};
    for (std::size_t n = 0; n != 6; ++n) {
        CHECK(least[n] < bounds[n] / 20);
        CHECK(most[n] <= bounds[n]);
        CHECK(most[n] > bounds[n] * 19 / 20);
    }
}

TEST_CASE("retry: not before the callee says that it may help") {
    testing::no_frames_left frames;
    world w;
    failure busy(code::overloaded);
    busy.retry_after(200ms);
    CHECK(w.call(retry({.base = 10ms}), {busy}) == "value");
    const duration waited = w.bad.core->seen[1] - w.bad.core->seen[0];
    CHECK(waited >= 200ms);
    CHECK(waited <= 210ms);
    const time_point before = w.sim.now();
    CHECK(w.call(deadline(150ms) | retry(), {busy}) == "overloaded, none");
    CHECK(w.attempts() == 1);
    CHECK(w.sim.now() == before);
    busy.retry_after(forever);
    CHECK(w.call(deadline(forever) | retry(), {busy}) == "overloaded, none");
    CHECK(w.attempts() == 1);
}

TEST_CASE("retry: without a budget outside it has its own, which copies share") {
    testing::no_frames_left frames;
    world w;
    const retry often({.attempts = 100, .base = 0ms});
    const retry copy = often;
    CHECK(w.call(often, times(100, code::overloaded)) == "overloaded, none");
    CHECK(w.attempts() == 100);
    CHECK(w.call(copy, times(100, code::overloaded)) == "overloaded, none");
    CHECK(w.attempts() == 2);
    CHECK(w.call(retry({.attempts = 100, .base = 0ms}), times(100, code::overloaded)) ==
          "overloaded, none");
    CHECK(w.attempts() == 100);
}

TEST_CASE("retry: a stop is heard between two attempts") {
    testing::no_frames_left frames;
    world w;
    failure busy(code::overloaded);
    busy.retry_after(1s);
    w.bad.core->to_come = {busy};
    launched call(w.sim, [](client<ask> c) -> task<result<int>> {
        co_return co_await c.call();
    }(w.app.client<ask>("all", deadline(10s) | retry() | w.bad)));
    w.sim.advance(500ms);
    CHECK(!call.done());
    call.stop();
    w.sim.advance(0ms);
    REQUIRE(call.done());
    CHECK(outcome(call.value()) == "cancelled, none");
}

namespace {
/// Refuses a call that is given up at that moment.
struct giving_up final : layer {
    launched<result<int>>* call = nullptr;
    verdict enter(passage& p, slot&) noexcept override {
        call->stop();
        p.refusal() = failure(code::overloaded, effect::none);
        return {verdict::kind::refuse};
    }
    verdict leave(passage&, slot&, const failure*) noexcept override { return {}; }
};
struct gives_up {
    std::shared_ptr<giving_up> core = std::make_shared<giving_up>();
    void apply(call_settings& s) const { s.layers.push_back(core); }
};
}  // namespace

TEST_CASE("retry: what was given up is not made again, and costs the budget nothing") {
    testing::no_frames_left frames;
    world w;
    const budget spare;
    const gives_up all;
    launched call(w.sim, [](client<ask> c) -> task<result<int>> {
        co_return co_await c.call();
    }(w.app.client<ask>("all", spare | retry() | all)));
    all.core->call = &call;
    w.sim.advance(1s);
    CHECK(outcome(call.value()) == "overloaded, none");
    CHECK(spare.taken() == 0);
}

TEST_CASE("retry: bad options are refused") {
    for (const unsigned bad : {0u, 101u})
        CHECK(refusal_of([&] { retry({.attempts = bad}); }) == "retry: attempts: must be 1 to 100");
    CHECK(refusal_of([] { retry({.base = -1ns}); }) == "retry: base: must be zero or more");
    for (const duration bad : {duration(0), duration(1999ms), forever})
        CHECK(refusal_of([&] { retry({.base = 2s, .cap = bad}); }) ==
              "retry: cap: must be base or more, and not forever");
}

TEST_CASE("retry: never too often, never late, each call once, over 1,000 seeds") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        std::mt19937_64 random(seed);
        simulation sim(seed);
        bus app(sim);
        std::size_t handled = 0;
        app.handle<ask>("all", parallel(2).capacity(2), [&](ask) -> task<int> {
            ++handled;
            co_await sleep_for(std::chrono::milliseconds(random() % 20));
            co_return 1;
        });
        const unsigned attempts = 1 + static_cast<unsigned>(random() % 4);
        const budget b({.ratio = 0.2, .per_second = 2, .window = 1s});
        faults f(seed);
        f.set(fault_mix().delay(0.2, 1ms, 30ms).fail(0.3).drop(0.05));
        const auto c =
            app.client<ask>("all", deadline(100ms) | b | retry({.attempts = attempts}) | f);
        constexpr std::size_t calls = 30;
        std::size_t ended = 0, good = 0;
        std::deque<launched<void>> under_way;
        for (std::size_t i = 0; i != calls; ++i) {
            under_way.emplace_back(
                sim, [](client<ask> to, std::size_t& n, std::size_t& ok, executor& at) -> task<> {
                    const time_point begin = at.now();
                    const auto r = co_await to.call();
                    if (r) ++ok;
                    REQUIRE(at.now() - begin <= 100ms);
                    ++n;
                }(c, ended, good, sim));
            sim.advance(std::chrono::milliseconds(random() % 10));
            if (random() % 5 == 0) under_way[random() % under_way.size()].stop();
        }
        sim.advance(200ms);
        REQUIRE(ended == calls);
        const auto n = f.counts();
        const auto tried = n.passed + n.delayed + n.failed + n.dropped;
        REQUIRE(tried >= calls);
        REQUIRE(tried <= calls + b.taken());
        REQUIRE(tried <= calls * attempts);
        REQUIRE(b.taken() <= 2 + calls / 5 + 1);
        REQUIRE(good <= handled);
    }
}
