#include <posthaste/guard/hedge.hpp>
#include <posthaste/prove/faults.hpp>

#include "../support/conversation.hpp"
#include "../support/last_words.hpp"
#include "../support/layers.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;
using posthaste::testing::refusal_of;
using posthaste::testing::sleep_soundly;

namespace {

struct ask {
    using reply = int;
    static constexpr bool idempotent = true;
};
struct once {
    using reply = int;
};
struct picky {  // throws when it is copied
    using reply = int;
    static constexpr bool idempotent = true;
    int* copies_left;
    explicit picky(int* n) : copies_left(n) {}
    picky(picky&&) noexcept = default;
    picky(const picky& other) : copies_left(other.copies_left) {
        if ((*copies_left)-- == 0) throw std::runtime_error("no copy");
    }
};

/// What a request meets: how long it takes, and how it ends.
struct fate {
    duration takes = 10ms;
    std::optional<failure> why = {};
    bool hears_stop = true;
};
fate fails(duration d, code c, effect e = effect::complete, duration retry_after = 0ms) {
    failure f(c, e);
    f.retry_after(retry_after);
    return {d, f};
}
fate deaf(duration d) { return {d, std::nullopt, false}; }

/// So that a hedge knows how long a request takes.
template <typename P>
void learn_from(bus& app, const P& p, int calls = 50) {
    const auto c = app.client<ask>("stock", p);
    app.run([&]() -> task<> {
        for (int i = 0; i != calls; ++i) {
            const auto r = co_await c.call();
            CHECK(r.has_value());
        }
    });
}

/// Counts whether it goes on.
task<> call_and_go_on(client<ask> c, int& went_on) {
    static_cast<void>(co_await c.call());
    ++went_on;
}

/// An endpoint with a fate for each request, in the order in which they come; 10 ms and a reply if
/// nothing is said. A reply is the number of its request, from 1.
struct world {
    simulation sim;
    bus app{sim};
    std::deque<fate> fates;
    std::vector<duration> begun;  // when, from `zero`
    std::vector<message_id> ids;
    int running = 0, most_running = 0, stopped = 0;
    time_point zero;
    duration took{};

    explicit world(std::uint64_t seed = 1) : sim(seed) {
        app.handle<ask, once>("stock", parallel(100),
                              [this](const auto&, context& ctx) { return handle(&ctx); });
    }
    task<result<int>> handle(context* ctx) {
        const int number = static_cast<int>(begun.size()) + 1;
        fate f;
        if (!fates.empty()) f = fates.front(), fates.pop_front();
        begun.push_back(sim.now() - zero);
        ids.push_back(ctx->message_id());
        most_running = std::max(most_running, ++running);
        if (f.hears_stop) {
            const auto slept = co_await sleep_for(f.takes);
            if (!slept) ++stopped;
        } else {
            co_await sleep_soundly(f.takes);
        }
        --running;
        if (f.why) co_return *f.why;
        co_return number;
    }
    template <typename P>
    void learn(const P& p, int calls = 50) {
        learn_from(app, p, calls);
    }
    template <typename M = ask, typename P>
    std::string call(const P& p, std::vector<fate> what) {
        fates.assign(what.begin(), what.end());
        begun.clear(), ids.clear();
        most_running = stopped = 0;
        zero = sim.now();
        const auto c = app.client<M>("stock", p);
        last = app.run([&]() -> task<result<int>> { co_return co_await c.call(); });
        took = sim.now() - zero;
        sim.advance(0ms);  // those that were cancelled hear of it
        return *last ? std::to_string(**last) : outcome(*last);
    }
    std::optional<result<int>> last;
    account counts() const { return app.counts("stock"); }
};

constexpr duration most = duration(10ms) + duration(10ms) / 16;  // the estimate of 10 ms

}  // namespace

TEST_CASE("hedge: a second request after the measured time, and the first reply holds") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    w.learn(h);
    const duration delay = h.delay(w.sim);
    CHECK(delay >= 10ms);
    CHECK(delay <= most);
    CHECK(h.sent() == 0);

    CHECK(w.call(h, {{500ms}, {5ms}}) == "2");
    CHECK(w.begun == std::vector<duration>{0ms, delay});
    CHECK(w.took == delay + 5ms);
    CHECK(w.stopped == 1);
    CHECK(h.sent() == 1);
    CHECK(h.won() == 1);

    CHECK(w.call(h, {{15ms}, {500ms}}) == "1");
    CHECK(w.begun == std::vector<duration>{0ms, delay});
    CHECK(w.took == 15ms);
    CHECK(w.stopped == 1);
    CHECK(h.sent() == 2);
    CHECK(h.won() == 1);

    CHECK(w.call(h, {{delay - 1ns}}) == "1");
    CHECK(w.begun.size() == 1);
    w.sim.advance(1s);
    CHECK(w.running == 0);
    CHECK(w.counts().late == 2);
    CHECK(w.counts().adds_up());
}

TEST_CASE("hedge: who loses is not waited for, and a reply of his is late") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    w.learn(h);
    const duration delay = h.delay(w.sim);
    CHECK(w.call(h, {deaf(100ms), {5ms}}) == "2");
    CHECK(w.took == delay + 5ms);
    CHECK(w.running == 1);
    w.sim.advance(1s);
    CHECK(w.running == 0);
    CHECK(w.counts().late == 1);
    CHECK(w.call(h, {{20ms}, deaf(100ms)}) == "1");
    CHECK(w.took == 20ms);
    w.sim.advance(1s);
    CHECK(w.counts().late == 2);
    CHECK(w.counts().adds_up());
}

TEST_CASE("hedge: none before it knows enough, nor when that was long ago") {
    testing::no_frames_left frames;
    for (const unsigned least : {1u, 20u, 50u}) {
        world w;
        const hedge h({.least_calls = least});
        CHECK(h.delay(w.sim) == forever);
        w.learn(h, static_cast<int>(least) - 1);
        CHECK(h.delay(w.sim) == forever);
        CHECK(w.call(h, {{500ms}, {5ms}}) == "1");
        CHECK(w.begun.size() == 1);
        CHECK(h.delay(w.sim) != forever);
        CHECK(w.call(h, {{900ms}, {5ms}}) == "2");
        CHECK(h.sent() == 1);
        w.sim.advance(10s);
        CHECK(h.delay(w.sim) == forever);
    }
}

TEST_CASE("hedge: after the percentile asked for, and no sooner than the least") {
    testing::no_frames_left frames;
    for (const double percentile : {50.0, 80.0, 95.0, 99.0}) {
        world w;
        const hedge h({.percentile = percentile, .least_calls = 1'000, .window = 1h});
        for (int i = 0; i != 1'000; ++i) w.fates.push_back({(i % 100 + 1) * 1ms});
        w.learn(h, 1'000);
        const duration exact = static_cast<int>(percentile) * 1ms;
        CHECK(h.delay(w.sim) >= exact);
        CHECK(h.delay(w.sim) <= exact + exact / 16);
    }
    world w;
    const hedge h({.least = 30ms});
    w.learn(h);
    CHECK(h.delay(w.sim) == 30ms);
}

TEST_CASE("hedge: what it measures is how long first requests take, or had been waited for") {
    testing::no_frames_left frames;
    world w;
    const hedge h({.percentile = 50, .least_calls = 1, .window = 1h});
    const auto learnt = [&](int calls, const fate& first) {
        for (int i = 0; i != calls; ++i) w.call(h, {first, {1ms}});
        return h.delay(w.sim);
    };
    const duration quick = learnt(32, {1ms});
    CHECK(quick < 1100us);
    CHECK(learnt(31, {8ms}) == quick);  // the second was quicker: it had taken a little longer
    const duration slower = learnt(64, {8ms});
    CHECK(slower > quick);
    CHECK(slower < 8ms);
    const duration before = h.delay(w.sim);
    const auto none = h.sent();
    for (int i = 0; i != 500; ++i) w.call(h, {fails(0ms, code::unavailable)});
    CHECK(h.delay(w.sim) == before);  // failures say nothing
    CHECK(h.sent() == none);
}

TEST_CASE("hedge: only of messages that may be handled twice") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    w.learn(h);
    CHECK(w.call<once>(h, {{500ms}}) == "1");
    CHECK(w.begun.size() == 1);
    CHECK(w.took == 500ms);
    CHECK(h.sent() == 0);
    CHECK(w.call<ask>(h, {{500ms}}) == "2");
}

TEST_CASE("hedge: in every order in which two requests can end") {
    testing::no_frames_left frames;
    const failure first = *fails(0ms, code::unavailable, effect::none, 70ms).why;
    const failure second = *fails(0ms, code::handler_failed, effect::complete, 30ms).why;
    struct row {
        std::vector<fate> fates;
        std::string_view ends;
        std::size_t requests;
        duration took;  // beyond the delay, of two
    };
    for (const row& r : {
             row{{{8ms}}, "1", 1, 8ms},
             row{{{8ms, first}}, "unavailable, complete", 1, 8ms},
             row{{{50ms}, {5ms}}, "2", 2, 5ms},
             row{{{12ms}, {50ms}}, "1", 2, 0ms},
             row{{{50ms}, {5ms, second}}, "1", 2, 50ms},
             row{{{12ms, first}, {50ms}}, "2", 2, 50ms},
             row{{{50ms, first}, {5ms, second}}, "unavailable, complete", 2, 50ms},
             row{{{12ms, first}, {50ms, second}}, "handler failed, complete", 2, 50ms},
             row{{{12ms}, {5ms, second}}, "1", 2, 0ms},
         }) {
        world w;
        const hedge h;
        w.learn(h);
        const duration delay = h.delay(w.sim);
        CHECK(w.call(h, r.fates) == r.ends);
        CHECK(w.begun.size() == r.requests);
        const bool by_second = r.requests == 2 && (r.ends == "2" || r.fates[0].takes < r.took);
        CHECK(w.took == (r.requests == 1 ? r.took : by_second ? delay + r.took : r.fates[0].takes));
        if (r.requests == 2 && !*w.last) CHECK(w.last->error().retry_after() == 70ms);
        CHECK(w.running == 0);
        w.sim.advance(1s);
        CHECK(w.counts().adds_up());
    }
}

TEST_CASE("hedge: the strongest effect of all that failed, and one path") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    const limit one(1);
    w.learn(h | one);
    CHECK(w.call(h | one, {fails(50ms, code::unavailable, effect::unknown)}) ==
          "unavailable, unknown");
    CHECK(w.begun.size() == 1);  // the second was refused by the limit
    CHECK(h.sent() == 1);
    CHECK(w.last->error().path() == "stock");
    CHECK(one.in_flight() == 0);
    CHECK(w.call(h | one, {{50ms}}) == "1");
    CHECK(w.took == 50ms);
    CHECK(w.call(h, {fails(12ms, code::unavailable, effect::complete),
                     fails(50ms, code::overloaded, effect::unknown)}) == "overloaded, complete");
    CHECK(w.begun.size() == 2);
}

TEST_CASE("hedge: up to as many requests as it may make, each after as much time") {
    testing::no_frames_left frames;
    for (const unsigned attempts : {2u, 3u, 4u, 5u}) {
        world w;
        const hedge h({.attempts = attempts});
        w.learn(h);
        const duration delay = h.delay(w.sim);
        CHECK(w.call(h, {{300ms}, {300ms}, {300ms}, {300ms}, {300ms}, {1ms}}) == "1");
        std::vector<duration> expected;
        for (unsigned i = 0; i != attempts; ++i) expected.push_back(i * delay);
        CHECK(w.begun == expected);
        CHECK(w.most_running == static_cast<int>(attempts));
        CHECK(w.stopped == static_cast<int>(attempts) - 1);
        CHECK(h.sent() == attempts - 1);
        CHECK(h.won() == 0);
        w.fates.clear();
        CHECK(w.call(h, {{300ms}, {300ms}, {300ms}, {300ms}, {1ms}}) ==
              (attempts == 5 ? "5" : "1"));
    }
}

TEST_CASE("hedge: spends from the budget outside, which retries share") {
    testing::no_frames_left frames;
    world w;
    const budget spare({.ratio = 0, .per_second = 0.3, .window = 10s});
    const hedge h;
    const auto p = spare | retry({.attempts = 3, .base = 0ms}) | h;
    w.learn(p);
    CHECK(w.call(p, {fails(0ms, code::overloaded), {50ms}, {1ms}}) == "3");
    CHECK(spare.taken() == 2);
    CHECK(h.sent() == 1);
    CHECK(w.call(p, {{50ms}, {1ms}}) == "2");
    CHECK(spare.taken() == 3);
    CHECK(w.call(p, {{50ms}, {1ms}}) == "1");
    CHECK(w.took == 50ms);
    CHECK(spare.refused() == 1);
    CHECK(h.sent() == 2);
}

TEST_CASE("hedge: without a budget outside it has its own, or that of the retry outside") {
    testing::no_frames_left frames;
    for (const bool by_retry : {false, true}) {
        world w;
        const hedge h;
        const hedge copy = h;
        const retry again({.attempts = 2});
        const auto call = [&](std::vector<fate> f) {
            return by_retry ? w.call(again | copy, std::move(f)) : w.call(copy, std::move(f));
        };
        w.learn(h);
        int before = 0;  // 100 of ten seconds, and a fifth of the calls made
        while (call({{40ms}, {1ms}}) == "2") ++before;
        CHECK(before > 100);
        CHECK(before < 150);
        const auto sent = h.sent();
        CHECK(call({{40ms}, {1ms}}) == "1");
        CHECK(h.sent() == sent);
        if (by_retry) {
            CHECK(call({fails(0ms, code::overloaded)}) == "overloaded, complete");
            CHECK(w.begun.size() == 1);
            CHECK(w.call(h, {{40ms}, {1ms}}) == "2");  // alone it has its own
        }
    }
}

TEST_CASE("hedge: spends from the retry's budget at each of its attempts") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    const retry again({.attempts = 2, .base = 0ms});
    w.learn(h);
    const std::uint64_t learnt = h.sent();
    // each call takes two of its purse of 100 and a fifth of the calls: one attempt, one request
    while (w.call(again | h, {fails(0ms, code::overloaded), {40ms}, {1ms}}) == "3") {}
    const std::uint64_t sent = h.sent() - learnt;
    CHECK(sent > 50);
    CHECK(sent < 60);
}

TEST_CASE("hedge: never past the deadline") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    w.learn(h);
    const duration delay = h.delay(w.sim);
    CHECK(w.call(deadline(delay) | h, {{500ms}, {1ms}}) == "deadline exceeded, unknown");
    CHECK(w.begun.size() == 1);
    CHECK(w.took == delay);
    CHECK(w.call(deadline(delay + 1ns) | h, {{500ms}, {1ms}}) == "deadline exceeded, unknown");
    CHECK(w.begun.size() == 2);
    CHECK(w.took == delay + 1ns);
    CHECK(w.call(deadline(50ms) | h, {{500ms}, {500ms}}) == "deadline exceeded, unknown");
    CHECK(w.took == 50ms);
    CHECK(w.stopped == 2);
    CHECK(w.call(deadline(1s) | attempt_timeout(delay + 5ms) | h, {{500ms}, {500ms}}) ==
          "deadline exceeded, unknown");
    CHECK(w.took == delay + 5ms);
    CHECK(w.call(deadline(1s) | h | attempt_timeout(30ms), {{500ms}, {500ms}}) ==
          "deadline exceeded, unknown");
    CHECK(w.took == delay + 30ms);
    CHECK(w.call(deadline(0ms) | h, {}) == "deadline exceeded, none");
    CHECK(w.begun.empty());
}

TEST_CASE("hedge: the caller's own deadline holds for all requests") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    w.learn(h);
    w.begun.clear();
    w.fates = {{500ms}, {500ms}};
    const auto c = w.app.client<ask>("stock", deadline(forever) | h);
    w.app.handle<once>("front", [&](once) -> task<result<int>> {
        const auto r = co_await c.call();
        CHECK(w.begun.size() == 2);
        co_return r;
    });
    const auto front = w.app.client<once>("front", deadline(70ms));
    const time_point begin = w.sim.now();
    CHECK(outcome(w.app.run([&]() -> task<result<int>> { co_return co_await front.call(); })) ==
          "deadline exceeded, unknown");
    CHECK(w.sim.now() - begin == 70ms);
    w.sim.advance(1s);
    CHECK(w.stopped == 2);
}

TEST_CASE("hedge: no sooner than a failure has said, that of another call included") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    w.learn(h);
    const duration delay = h.delay(w.sim);
    CHECK(w.call(h, {fails(0ms, code::overloaded, effect::none, 60ms)}) == "overloaded, complete");
    CHECK(w.call(h, {{500ms}, {5ms}}) == "2");
    CHECK(w.begun == std::vector<duration>{0ms, 60ms});
    CHECK(w.call(h, {{500ms}, {5ms}}) == "2");
    CHECK(w.begun == std::vector<duration>{0ms, delay});
    CHECK(w.call(h, {fails(0ms, code::overloaded, effect::none, forever)}) ==
          "overloaded, complete");
    CHECK(w.call(h, {{500ms}, {5ms}}) == "1");
    // of one of several
    const hedge three({.attempts = 3});
    w.learn(three);
    CHECK(w.call(three, {{500ms}, fails(2ms, code::overloaded, effect::none, 100ms), {5ms}}) ==
          "3");
    CHECK(w.begun == std::vector<duration>{0ms, delay, delay + 102ms});
}

TEST_CASE("hedge: all requests of a call have the same id, and no other message has it") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    const auto p = retry({.attempts = 2, .base = 0ms}) | h;
    w.learn(p);
    std::vector<message_id> all;
    for (int i = 0; i != 5; ++i) {
        CHECK(w.call(p, {{30ms, failure(code::unavailable)}, {30ms, failure(code::unavailable)}}) ==
              "3");
        REQUIRE(w.ids.size() == 3);
        CHECK(w.ids[0]);
        CHECK(w.ids[0] == w.ids[1]);
        CHECK(w.ids[0] == w.ids[2]);
        all.push_back(w.ids[0]);
        w.call(retry(), {});
        all.push_back(w.ids[0]);
        w.call<once>(h, {});
        all.push_back(w.ids[0]);
    }
    for (std::size_t i = 0; i != all.size(); ++i) {
        CHECK(std::count(all.begin(), all.end(), all[i]) == 1);
    }
}

TEST_CASE("hedge: a handler with dedup takes its requests for one") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int handled = 0;
    app.handle<ask>("stock", parallel(10), dedup(10min)([&](ask) -> task<int> {
                        ++handled;
                        co_await sleep_soundly(handled == 51 ? 100ms : 10ms);
                        co_return handled;
                    }));
    const hedge h;
    const auto c = app.client<ask>("stock", h);
    app.run([&]() -> task<> {
        for (int i = 1; i != 52; ++i) {
            const auto r = co_await c.call();
            REQUIRE(r);
            CHECK(*r == i);
        }
    });
    sim.advance(1s);
    CHECK(h.sent() == 1);
    CHECK(handled == 51);
}

TEST_CASE("hedge: each request goes through the policies inside, and gives back what it took") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    const limit outside(1), inside(2);
    const breaker b({.least_calls = 1, .window = 1h}), around({.least_calls = 1, .window = 1h});
    const auto p = around | outside | h | b | inside;
    w.learn(p);
    CHECK(b.counts().calls == 50);
    std::size_t during = 0, whole = 0;
    w.app.handle<once>("look", [&](once) {
        during = inside.in_flight(), whole = outside.in_flight();
        return 0;
    });
    const auto look = w.app.client<once>("look");
    CHECK(look.send_after(20ms));
    CHECK(w.call(p, {{100ms}, {40ms}}) == "2");
    CHECK(during == 2);
    CHECK(whole == 1);
    CHECK(inside.in_flight() == 0);
    CHECK(outside.in_flight() == 0);
    CHECK(b.counts().calls == 51);  // the one that was cancelled says nothing
    CHECK(b.counts().failed == 0);
    CHECK(around.counts().calls == 51);
    CHECK(b.state() == circuit::closed);
    CHECK(w.call(p, {{100ms}, fails(5ms, code::unavailable)}) == "1");
    CHECK(b.counts().failed == 1);
    CHECK(around.counts().failed == 0);
    CHECK(b.counts().calls == 53);
}

TEST_CASE("hedge: a value is supplied where all requests have failed") {
    testing::no_frames_left frames;
    world w;
    const hedge h;
    w.learn(h);
    const fate bad = fails(30ms, code::unavailable);
    CHECK(w.call(fallback(77) | h, {bad, bad}) == "77");
    CHECK(w.begun.size() == 2);
    CHECK(w.call(h | fallback(77), {bad, bad}) == "77");
    CHECK(w.took == 30ms);
}

TEST_CASE("hedge: what watches the queue is asked for each request") {
    testing::no_frames_left frames;
    struct watching final : queue_watch {
        int asked = 0;
        duration turn_away(time_point) noexcept override { return ++asked, duration::zero(); }
        duration turn_down(time_point, duration) noexcept override { return duration::zero(); }
    };
    struct watch {
        std::shared_ptr<watching> core = std::make_shared<watching>();
        void apply(call_settings& s) const { s.watch = core; }
    };
    const auto asked = [](const auto& policies, const watch& by, world& w) {
        by.core->asked = 0;
        w.call(policies, {{100ms}, {5ms}});
        return by.core->asked;
    };
    world w;
    const hedge h;
    const watch by;
    w.learn(h);
    CHECK(asked(h | by, by, w) == 1);  // the first need not queue
    CHECK(asked(by | h, by, w) == 1);
    CHECK(asked(h | by | limit(5), by, w) == 1);
}

TEST_CASE("hedge: a stop is heard wherever the requests stand, and by all of them") {
    testing::no_frames_left frames;
    for (const duration when : {5ms, 20ms}) {
        world w;
        const hedge h;
        w.learn(h);
        w.fates = {{500ms}, {500ms}};
        const duration before = h.delay(w.sim);
        launched call(w.sim, [](client<ask> c) -> task<result<int>> {
            co_return co_await c.call();
        }(w.app.client<ask>("stock", h)));
        w.sim.advance(when);
        CHECK(!call.done());
        CHECK(w.running == (when == 5ms ? 1 : 2));
        call.stop();
        w.sim.advance(0ms);
        REQUIRE(call.done());
        CHECK(outcome(call.value()) == "cancelled, unknown");
        CHECK(w.running == 0);
        CHECK(w.stopped == (when == 5ms ? 1 : 2));
        w.sim.advance(1s);
        CHECK(w.running == 0);
        for (int i = 0; i != 31; ++i) w.call(h, {});
        CHECK(h.delay(w.sim) == before);  // what was stopped says nothing of the time it takes
    }
}

TEST_CASE("hedge: is abandoned where its caller's frame is destroyed") {
    testing::no_frames_left frames;
    for (const duration when : {5ms, 20ms}) {
        world w;
        const hedge h;
        const limit inside(2), outside(2);
        w.learn(h);
        w.fates = {{500ms}, {500ms}};
        {
            launched call(w.sim, [](client<ask> c) -> task<result<int>> {
                co_return co_await c.call();
            }(w.app.client<ask>("stock", outside | h | inside)));
            w.sim.advance(when);
            CHECK(outside.in_flight() == 1);
            CHECK(inside.in_flight() == (when == 5ms ? 1 : 2));
        }
        CHECK(outside.in_flight() == 0);
        CHECK(inside.in_flight() == 0);
        w.sim.advance(1s);
        CHECK(w.stopped == (when == 5ms ? 1 : 2));
    }
}

TEST_CASE("hedge: who is refused as another one is destroyed where it stands sends nobody home") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const hedge h;
    bool learning = true;
    int resumed = 0;
    const auto again = app.client<once>("stock");
    app.handle<ask, once>("stock", serial.capacity(1).full(when_full::drop_oldest),
                          [&](const auto&, context& ctx) -> task<int> {
                              if (learning) co_await sleep_for(10ms);
                              if (learning) co_return 1;
                              const stop_callback nobody_asks(
                                  ctx.stop(), [&] { static_cast<void>(again.send()); });
                              co_await testing::stand_still();
                              co_return 2;
                          });
    learn_from(app, h);
    learning = false;
    {
        launched<void> caller(sim, call_and_go_on(app.client<ask>("stock", h), resumed));
        sim.advance(20ms);
        CHECK(app.counts("stock").accepted == 52);
    }
    CHECK(resumed == 0);
    CHECK(app.counts("stock").dropped == 1);
}

TEST_CASE("hedge: who is answered as one that has failed is destroyed sends nobody home") {
    testing::no_frames_left frames;
    struct last_gasp {
        testing::last_words::at_its_end says;
    };
    simulation sim;
    bus app(sim);
    const hedge h;
    event said;
    bool learning = true;
    int begun = 0, ended = 0, resumed = 0;
    app.handle<ask>("stock", parallel(2), [&](ask) -> task<int> {
        const bool fails = !learning && begun++ == 0;
        if (learning || fails) co_await sleep_for(learning ? 10ms : 18ms);
        if (fails) throw last_gasp{testing::last_words::at_its_end(said)};
        if (!learning) static_cast<void>(co_await said.wait());
        if (!learning) ++ended;
        co_return 1;
    });
    learn_from(app, h);
    learning = false;
    {
        launched<void> caller(sim, call_and_go_on(app.client<ask>("stock", h), resumed));
        sim.advance(20ms);
        CHECK(begun == 2);
        CHECK(app.counts("stock").failed == 1);
        CHECK(!said.is_set());
    }
    CHECK(said.is_set());
    CHECK(ended == 1);
    CHECK(resumed == 0);
}

TEST_CASE("hedge: the bus may go while requests are under way") {
    testing::no_frames_left frames;
    for (const duration when : {5ms, 20ms}) {
        simulation sim;
        const hedge h;
        auto app = std::make_unique<bus>(sim);
        duration takes = 10ms;
        app->handle<ask>("stock", parallel(10), [&](ask) -> task<int> {
            if (takes == 1h) co_await testing::stand_still();
            co_await sleep_for(takes);
            co_return 1;
        });
        learn_from(*app, h);
        takes = 1h;
        launched call(sim, [](client<ask> c) -> task<result<int>> {
            auto made = c.call();
            { const auto gone = std::move(c); }
            co_return co_await std::move(made);
        }(app->client<ask>("stock", deadline(2h) | h)));
        sim.advance(when);
        app.reset();
        sim.advance(0ms);
        REQUIRE(call.done());
        CHECK(outcome(call.value()) == "no reply, unknown");
    }
}

TEST_CASE("hedge: a second request for which there is no memory does no harm") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    duration takes = 10ms;
    app.handle<picky>("picky", parallel(10), [&](const picky&) -> task<result<int>> {
        co_await sleep_for(takes);
        if (takes == 20ms) co_return failure(code::unavailable);
        co_return 1;
    });
    const hedge h;
    const auto c = app.client<picky>("picky", h);
    int copies = 1000;
    const auto call = [&] {
        return outcome(
            app.run([&]() -> task<result<int>> { co_return co_await c.call<picky>(&copies); }));
    };
    for (int i = 0; i != 50; ++i) CHECK(call() == "value");
    takes = 100ms, copies = 1;
    CHECK(call() == "value");
    CHECK(h.sent() == 1);
    takes = 20ms, copies = 1;
    CHECK(call() == "unavailable, complete");
    CHECK(h.sent() == 2);
    copies = 0;
    CHECK(call() == "overloaded, none");
}

namespace {
/// Three threads, and handlers of which one may block its own until its caller has the answer.
struct blocked_world {
    std::binary_semaphore answered{0};
    std::atomic<int> requests = 0;  // relaxed
    thread_pool pool{3};
    bus app{pool};

    int next() { return requests.fetch_add(1, std::memory_order_relaxed) + 1; }
    void block() { CHECK(answered.try_acquire_for(10s)); }
    /// Of two calls, by the request of that number.
    void second_call_is_answered_by(int number, const client<ask>& c) {
        app.run([&]() -> task<> {
            const auto first = co_await c.call();
            CHECK(first.has_value());
            const auto second = co_await c.call();
            REQUIRE(second);
            CHECK(*second == number);
            answered.release();
        });
    }
};
}  // namespace

// The second goes through the queue, so that it cannot take the caller's thread away from it.
TEST_CASE("hedge: a handler that blocks its thread for a second request keeps no caller") {
    testing::no_frames_left frames;
    const bool delayed = GENERATE(false, true);  // by a policy inside
    event second_runs;
    blocked_world w;
    w.app.handle<ask>("stock", parallel(10), [&](ask) -> task<int> {
        const int number = w.next();
        if (number == 2) {
            static_cast<void>(co_await second_runs.wait());
        } else if (number == 3) {
            second_runs.set();
            w.block();
        }
        co_return number;
    });
    const hedge h({.least_calls = 1});
    faults slow;
    slow.set(faults::slow(1ms, 1ms));
    w.second_call_is_answered_by(2, delayed ? w.app.client<ask>("stock", deadline(1h) | h | slow)
                                            : w.app.client<ask>("stock", deadline(1h) | h));
}

// So does the first, where it was held back: then the caller has its thread no more.
TEST_CASE("hedge: a handler that blocks its thread for a first request held back keeps no caller") {
    testing::no_frames_left frames;
    const bool outside = GENERATE(false, true);  // by a policy outside
    blocked_world w;
    w.app.handle<ask>("stock", parallel(10), [&](ask) -> task<int> {
        const int number = w.next();
        if (number == 2) w.block();
        co_return number;
    });
    const hedge h({.least_calls = 1});
    faults slow;
    slow.set(faults::slow(1ms, 1ms));
    w.second_call_is_answered_by(3, outside ? w.app.client<ask>("stock", deadline(1h) | slow | h)
                                            : w.app.client<ask>("stock", deadline(1h) | h | slow));
}

TEST_CASE("hedge: a handler that blocks its thread for another attempt keeps no caller") {
    testing::no_frames_left frames;
    const duration pause = GENERATE(0ms, 1ms);  // at most, between two attempts
    event first_stands, second_blocks;  // the caller, in its first attempt
    blocked_world w;
    w.app.handle<ask>("stock", parallel(10), [&](ask) -> task<result<int>> {
        if (w.next() == 1) {
            static_cast<void>(co_await first_stands.wait());
            co_return failure(code::unavailable);
        }
        second_blocks.set();
        w.block();
        co_return 2;
    });
    const auto c = w.app.client<ask>(
        "stock", deadline(1h) | retry({.attempts = 2, .base = pause}) | hedge({.least = 1h}));
    w.app.run([&]() -> task<> {
        scope calling(co_await this_context);
        const auto call = [&]() -> task<> {
            const auto r = co_await c.call();
            CHECK(outcome(r) == "cancelled, unknown");
        };
        const auto then = [&]() -> task<> { co_return first_stands.set(); };
        calling.spawn([&]() -> task<> { static_cast<void>(co_await when_all(call(), then())); });
        static_cast<void>(co_await second_blocks.wait());
        co_await calling.cancel();
        w.answered.release();
    });
}

TEST_CASE("hedge: bad options are refused") {
    for (const double bad : {49.9, 100.0, -1.0, std::nan("")})
        CHECK(refusal_of([&] { hedge({.percentile = bad}); }) ==
              "hedge: percentile must be 50 to 99.9");
    for (const unsigned bad : {0u, 1u, 6u})
        CHECK(refusal_of([&] { hedge({.attempts = bad}); }) == "hedge: attempts must be 2 to 5");
    for (const duration bad : {0ns, -1ns})
        CHECK(refusal_of([&] { hedge({.least = bad}); }) == "hedge: least must be more than zero");
    for (const unsigned bad : {0u, 1'000'001u})
        CHECK(refusal_of([&] { hedge({.least_calls = bad}); }) ==
              "hedge: least_calls must be 1 to 1,000,000");
    for (const duration bad : {0ns, -1ns})
        CHECK(refusal_of([&] { hedge({.window = bad}); }) ==
              "hedge: window must be more than zero");
    simulation sim;
    const bus app(sim);
    CHECK(refusal_of([&] { static_cast<void>(app.client<ask>("stock", hedge() | budget())); }) ==
          "budget: must stand outside of hedge: budget | hedge");
}

TEST_CASE(
    "hedge: with 1 reply in 50 slow, of a hundred 99 take little longer than the percentile") {
    testing::no_frames_left frames;
    const auto p99 = [](bool hedged, std::uint64_t& extra) {
        std::mt19937_64 random(11);
        simulation sim(11);
        bus app(sim);
        app.handle<ask>("stock", parallel(100), [&](ask) -> task<int> {
            const bool slow = random() % 50 == 0;
            co_await sleep_for(slow ? 500ms : std::chrono::microseconds(5000 + random() % 5000));
            co_return 1;
        });
        const hedge h;
        const auto c = hedged ? app.client<ask>("stock", deadline(2s) | h)
                              : app.client<ask>("stock", deadline(2s));
        std::vector<duration> took;
        app.run([&]() -> task<> {
            for (int i = 0; i != 5000; ++i) {
                const time_point begin = sim.now();
                const auto r = co_await c.call();
                REQUIRE(r);
                if (i >= 100) took.push_back(sim.now() - begin);
            }
        });
        extra = h.sent();
        if (hedged) CHECK(h.delay(sim) < 11ms);
        std::sort(took.begin(), took.end());
        return took[took.size() * 99 / 100];
    };
    std::uint64_t sent = 0;
    CHECK(p99(false, sent) == 500ms);
    CHECK(sent == 0);
    CHECK(p99(true, sent) < 21ms);
    CHECK(sent > 5000 / 50);
    CHECK(sent < 5000 * 6 / 100);
}

TEST_CASE(
    "hedge: each call once, within budget and limits, the losers cancelled, over 1,000 seeds") {
    testing::no_frames_left frames;
    std::uint64_t all_sent = 0, all_won = 0;
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        std::mt19937_64 random(seed);
        const auto run = [&](std::uint64_t& trace) {
            random.seed(seed);
            int running = 0;
            simulation sim(seed);
            bus app(sim);
            app.handle<ask>("stock", parallel(6).capacity(4), [&](ask) -> task<result<int>> {
                const auto choice = random() % 8;
                ++running;
                const auto slept = co_await sleep_for(
                    choice == 0 ? 80ms : std::chrono::microseconds(random() % 8000));
                --running;
                if (choice == 1) co_return failure(code::unavailable);
                if (choice == 2) {
                    failure busy(code::overloaded);
                    busy.retry_after(std::chrono::milliseconds(random() % 10));
                    co_return busy;
                }
                co_return slept ? 1 : 2;
            });
            const unsigned attempts = 2 + static_cast<unsigned>(random() % 3);
            const budget spare({.ratio = 0.2, .per_second = 5, .window = 1s});
            const limit few(3 + random() % 4);
            const breaker b({.least_calls = 10, .open_for = 10ms});
            faults weather(seed);
            weather.set(fault_mix().delay(0.1, 1ms, 30ms).fail(0.05).drop(0.02));
            const hedge h({.percentile = 80, .attempts = attempts, .least_calls = 5});
            const auto c = app.client<ask>(
                "stock", deadline(60ms) | spare | retry({.attempts = 2}) | h | b | few | weather);
            constexpr std::size_t calls = 30;
            std::size_t ended = 0, most_under_way = 0;
            std::deque<launched<void>> under_way;
            for (std::size_t i = 0; i != calls; ++i) {
                under_way.emplace_back(
                    sim, [](client<ask> to, std::size_t& n, simulation& at) -> task<> {
                        const time_point begin = at.now();
                        const auto r = co_await to.call();
                        REQUIRE(at.now() - begin <= 60ms);
                        if (r) REQUIRE(*r == 1);  // not of one that was cancelled
                        ++n;
                    }(c, ended, sim));
                sim.advance(std::chrono::microseconds(random() % 8000));
                REQUIRE(few.in_flight() <= few.most());
                REQUIRE(running <= 6);
                most_under_way = std::max(most_under_way, few.in_flight());
                if (random() % 6 == 0) under_way[random() % under_way.size()].stop();
            }
            const bool destroyed = random() % 4 == 0;
            if (!destroyed) {
                sim.advance(61ms);
                REQUIRE(ended == calls);
                REQUIRE(few.in_flight() == 0);
                sim.advance(0ms);
                REQUIRE(running == 0);
            }
            sim.advance(0ms);  // nobody is about to go on who is destroyed now
            under_way.clear();
            REQUIRE(few.in_flight() == 0);
            const auto n = weather.counts();
            REQUIRE(n.passed + n.delayed + n.failed + n.dropped <= calls + spare.taken());
            REQUIRE(h.sent() <= spare.taken());
            REQUIRE(spare.taken() <= 5 + calls / 5 + 1);
            REQUIRE(h.won() <= h.sent());
            REQUIRE(b.counts().calls <= calls + spare.taken());
            all_sent += h.sent(), all_won += h.won();
            sim.advance(1s);
            REQUIRE(app.counts("stock").adds_up());
            trace = sim.trace();
        };
        std::uint64_t first = 0, second = 0;
        run(first);
        if (seed % 10 == 0) {
            run(second);
            REQUIRE(first == second);
        }
    }
    CHECK(all_sent > 1000);
    CHECK(all_won > 300);
}
