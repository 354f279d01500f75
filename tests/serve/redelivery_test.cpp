#include <posthaste/serve/redelivery.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct pay {
    int rider;
    int n;
};
struct note {
    std::string text;
};

/// A bus with one endpoint, whose handler fails so many times on each message; what it does with
/// the attempts of each is noted.
struct world {
    struct attempt {
        int n;
        unsigned number;
        duration when;
    };
    simulation sim;
    bus app;
    std::map<int, unsigned> failures;  // by n
    std::vector<attempt> attempts;
    std::vector<int> done;

    template <typename Mode>
    explicit world(const Mode& mode, std::uint64_t seed = 1) : sim(seed), app(sim) {
        app.handle<pay>("pay", mode, [this](const pay& p, context& ctx) -> task<> {
            attempts.push_back({p.n, ctx.attempt(), sim.elapsed()});
            const bool fails = ctx.attempt() <= failures[p.n];
            if (p.n % 2 == 0) co_await sleep_for(1us);
            if (fails) throw std::runtime_error("failure " + std::to_string(ctx.attempt()));
            done.push_back(p.n);
        });
    }
    client<pay> to_pay() const { return app.client<pay>("pay"); }
    account counts() const { return app.counts("pay"); }
    std::vector<unsigned> numbers_of(int n) const {
        std::vector<unsigned> all;
        for (const attempt& a : attempts)
            if (a.n == n) all.push_back(a.number);
        return all;
    }
};

redelivery quick() { return {.attempts = 4, .in_place = 1, .delay = 100ms, .max_delay = 1s}; }
std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

template <typename Mode>
void delivered_until_taken(const Mode& mode) {
    testing::no_frames_left frames;
    world w(mode.at_least_once(quick()), any_seed());
    for (int n = 0; n != 8; ++n) {
        w.failures[n] = static_cast<unsigned>(n % 4);
        CHECK(w.to_pay().send(n, n));
    }
    w.sim.advance(10s);
    CHECK(w.done.size() == 8);
    CHECK(w.numbers_of(0) == std::vector<unsigned>{1});
    CHECK(w.numbers_of(7) == std::vector<unsigned>{1, 2, 3, 4});
    CHECK(w.counts().accepted == 8);
    CHECK(w.counts().handled == 8);
    CHECK(w.counts().failed == 0);
    CHECK(w.counts().redelivered == 2 * (0 + 1 + 2 + 3));
    CHECK(w.counts().adds_up());
    CHECK(w.app.dead_letters().total() == 0);
}
const auto by_rider = keyed(&pay::rider);

}  // namespace

TEST_CASE("redelivery: a message whose handler fails is delivered again until it is taken") {
    delivered_until_taken(serial);
    delivered_until_taken(parallel(3));
    delivered_until_taken(by_rider);
}

TEST_CASE("redelivery: the delays double up to the longest, and half of each is random") {
    testing::no_frames_left frames;
    world w(serial.at_least_once({.attempts = 6, .delay = 100ms, .max_delay = 300ms}), any_seed());
    w.failures[1] = 5;
    CHECK(w.to_pay().send(1, 1));
    w.sim.advance(10s);
    REQUIRE(w.attempts.size() == 6);
    const duration longest[] = {100ms, 200ms, 300ms, 300ms, 300ms};
    bool any_shorter = false;
    for (std::size_t i = 0; i != 5; ++i) {
        const duration d = w.attempts[i + 1].when - w.attempts[i].when;
        CAPTURE(i, d.count());
        CHECK(d >= longest[i] / 2);
        CHECK(d <= longest[i]);
        any_shorter = any_shorter || d < longest[i];
    }
    CHECK(any_shorter);
}

TEST_CASE("redelivery: a serial endpoint stands still meanwhile, its order is kept") {
    testing::no_frames_left frames;
    world w(serial.at_least_once(quick()), any_seed());
    w.failures = {{1, 3}, {2, 1}};
    for (int n = 0; n != 4; ++n) CHECK(w.to_pay().send(0, n));
    w.sim.advance(10s);
    CHECK(w.done == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("redelivery: in a keyed endpoint the key stands still, the others go on") {
    testing::no_frames_left frames;
    world w(by_rider.at_least_once(quick()), any_seed());
    w.failures = {{1, 3}};
    for (const int n : {1, 3, 5}) CHECK(w.to_pay().send(7, n));
    for (const int n : {11, 13}) CHECK(w.to_pay().send(8, n));
    w.sim.advance(1ms);
    CHECK(w.done == std::vector<int>{11, 13});
    w.sim.advance(10s);
    CHECK(w.done == std::vector<int>{11, 13, 1, 3, 5});
}

TEST_CASE("redelivery: a parallel lane waits for the first repeats, then goes on with others") {
    testing::no_frames_left frames;
    world w(parallel(1).at_least_once(quick()), any_seed());
    w.failures = {{1, 3}};
    CHECK(w.to_pay().send(0, 1));
    w.sim.advance(1ms);
    CHECK(w.to_pay().send(0, 3));
    w.sim.advance(40ms);
    CHECK(w.done.empty());  // its only lane waits
    w.sim.advance(60ms);    // the second attempt has failed, too
    CHECK(w.done == std::vector<int>{3});
    CHECK(w.counts().left == 1);  // while nothing is queued or handled
    w.sim.advance(10s);
    CHECK(w.done == std::vector<int>{3, 1});
}

TEST_CASE("redelivery: after the last attempt it is a dead letter, with all that is known of it") {
    testing::no_frames_left frames;
    world w(serial.at_least_once({.attempts = 3, .delay = 1ms, .max_delay = 1ms}), any_seed());
    w.failures = {{1, 9}};
    w.sim.advance(1s);
    CHECK(w.to_pay().send(0, 1));
    w.sim.advance(1s);
    CHECK(w.attempts.size() == 3);
    CHECK(w.counts().failed == 1);
    CHECK(w.counts().redelivered == 2);
    CHECK(w.counts().adds_up());
    REQUIRE(w.app.dead_letters().size() == 1);
    w.app.dead_letters().for_each([](const dead_letter& l) {
        CHECK(l.endpoint() == "pay");
        CHECK(l.attempts() == 3);
        CHECK(l.reason().message() == "handler failed at pay: failure 3");
        REQUIRE(l.last_error());
        CHECK(l.last_error()->message() == "handler failed at pay: failure 3");
        CHECK(l.first_seen() == time_point(1s));
        CHECK(l.since() > l.first_seen());
        REQUIRE(l.get<pay>());
        CHECK(l.get<pay>()->n == 1);
    });
}

TEST_CASE("redelivery: what can never succeed is a dead letter at once") {
    testing::no_frames_left frames;
    const code why = GENERATE(code::rejected, code::undecodable);
    simulation sim;
    bus app(sim);
    app.handle<note>("log", parallel(2).at_least_once(),
                     [&](const note&) { return result<void>(failure(why)); });
    CHECK(app.client<note>("log").send("x"));
    sim.advance(1h);
    CHECK(app.counts("log").redelivered == 0);
    CHECK(app.counts("log").failed == 1);
    CHECK(app.dead_letters().total() == 1);
}

TEST_CASE("redelivery: a failure that says when to ask again is heeded") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<duration> when;
    app.handle<note>("log", serial.at_least_once({.attempts = 2}), [&](const note&) {
        when.push_back(sim.elapsed());
        return result<void>(failure(code::unavailable).retry_after(1min));
    });
    CHECK(app.client<note>("log").send("x"));
    sim.advance(1h);
    CHECK(when == std::vector<duration>{0s, 1min});
}

TEST_CASE("redelivery: a handler that takes its message by value gets a copy each time") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<std::string> got;
    app.handle<note>("log", serial.at_least_once(), [&](note n, context& ctx) -> task<> {
        got.push_back(std::move(n.text));
        co_await sleep_for(1ms);
        if (ctx.attempt() < 3) throw 1;
    });
    const std::string text = "a text that is too long for its place";
    CHECK(app.client<note>("log").send(text));
    sim.advance(1h);
    CHECK(got == std::vector<std::string>(3, text));
}

TEST_CASE("redelivery: a call is not repeated, its caller is told") {
    testing::no_frames_left frames;
    world w(serial.at_least_once(quick()), any_seed());
    w.failures = {{1, 9}};
    const auto r =
        w.app.run([&]() -> task<result<void>> { co_return co_await w.to_pay().call(1, 1); });
    CHECK(outcome(r) == "handler failed, complete");
    CHECK(w.attempts.size() == 1);
    CHECK(w.counts().failed == 1);
    CHECK(w.counts().redelivered == 0);
}

TEST_CASE("redelivery: what waits keeps its place in the queue, so senders are held back") {
    testing::no_frames_left frames;
    const redelivery slow{.attempts = 3, .in_place = 0, .delay = 1h, .max_delay = 1h};
    const auto count = [&](const auto& mode) {
        world w(mode.capacity(5).at_least_once(slow), any_seed());
        int accepted = 0;
        for (int i = 0; i != 50; ++i) {
            w.failures[2 * i + 1] = 9;
            accepted += w.to_pay().send(i, 2 * i + 1).has_value();
            w.sim.advance(1ms);
        }
        CHECK(w.counts().left == static_cast<std::uint64_t>(accepted));
        return accepted;
    };
    CHECK(count(parallel(2)) == 5);
    CHECK(count(by_rider) == 5);
    CHECK(count(serial) == 5);
}

TEST_CASE("redelivery: who waits for room gets it as soon as one is delivered again") {
    testing::no_frames_left frames;
    world w(serial.capacity(1).full(when_full::wait).at_least_once(quick()), any_seed());
    w.failures = {{1, 1}};
    CHECK(w.to_pay().send(1, 1));
    w.sim.advance(1ms);
    CHECK_FALSE(w.to_pay().send(1, 3));
    const auto patient = [](client<pay> c) -> task<result<void>> {
        co_return co_await c.send_when_room(1, 5);
    };
    launched<result<void>> sender(w.sim, patient(w.to_pay()));
    w.sim.advance(1ms);
    CHECK_FALSE(sender.done());
    w.sim.advance(1s);
    CHECK(outcome(sender.value()) == "value");
    CHECK(w.done == std::vector<int>{1, 5});
}

TEST_CASE("redelivery: a send that waited for room is delivered again, too") {
    testing::no_frames_left frames;
    world w(serial.capacity(1).full(when_full::wait).at_least_once(quick()), any_seed());
    w.failures = {{2, 2}, {4, 9}};
    const auto send_all = [](client<pay> c) -> task<int> {
        int accepted = 0;
        for (const int n : {2, 4, 6}) {
            const auto ok = co_await c.send_when_room(1, n);
            accepted += ok.has_value();
        }
        co_return accepted;
    };
    launched<int> sender(w.sim, send_all(w.to_pay()));
    w.sim.advance(1min);
    CHECK(sender.value() == 3);
    CHECK(w.done == std::vector<int>{2, 6});
    CHECK(w.app.dead_letters().total() == 1);
    CHECK(w.counts().adds_up());
}

namespace {
template <typename Mode>
void drain_gives_up(const Mode& mode) {
    testing::no_frames_left frames;
    world w(mode.at_least_once({.attempts = 9, .in_place = 0, .delay = 1h, .max_delay = 1h}),
            any_seed());
    w.failures = {{1, 9}, {3, 9}};
    CHECK(w.to_pay().send(1, 1));
    CHECK(w.to_pay().send(3, 3));
    const auto drained = w.app.drain(1s);
    CHECK_FALSE(drained->in_time);
    CHECK(w.sim.elapsed() >= 1s);
    CHECK(w.sim.elapsed() < 2s);
    CHECK(drained->total.left == 2);
    CHECK(drained->total.adds_up());
    CHECK(w.app.dead_letters().total() == 2);
    w.app.dead_letters().for_each([](const dead_letter& l) {
        CHECK(l.reason().code() == code::closed);
        if (l.attempts() == 1) return;  // behind the first one, it was never started
        CHECK(l.reason().effect() == effect::complete);
        REQUIRE(l.last_error());
        CHECK(l.last_error()->message() == "handler failed at pay: failure 1");
        CHECK(l.get<pay>());
    });
}
}  // namespace

TEST_CASE("redelivery: what still waits at the end of the grace is left, and a dead letter") {
    drain_gives_up(serial);
    drain_gives_up(parallel(2));
    drain_gives_up(by_rider);
}

TEST_CASE("redelivery: a drain waits for what is delivered again within its grace") {
    testing::no_frames_left frames;
    world w(parallel(2).at_least_once(quick()), any_seed());
    w.failures = {{1, 3}};
    CHECK(w.to_pay().send(1, 1));
    const auto drained = w.app.drain(10s);
    CHECK(drained->in_time);
    CHECK(drained->total.handled == 1);
    CHECK(drained->total.redelivered == 3);
    CHECK(w.sim.elapsed() < 2s);
}

TEST_CASE("redelivery: an endpoint that cannot be is refused, and says why") {
    simulation sim;
    bus app(sim);
    const auto refusal = [&](const auto& mode) {
        const auto r = app.try_handle<pay>("pay", mode, [](const pay&) {});
        return r ? std::string() : r.error().message();
    };
    CHECK(refusal(serial.at_least_once({.attempts = 0})) ==
          "rejected: at_least_once: attempts must be 1 to 1,000");
    CHECK(refusal(serial.at_least_once({.attempts = 1001})) ==
          "rejected: at_least_once: attempts must be 1 to 1,000");
    CHECK(refusal(serial.at_least_once({.in_place = 1001})) ==
          "rejected: at_least_once: in_place must be 0 to 1,000");
    CHECK(refusal(serial.at_least_once({.delay = 0ns})) ==
          "rejected: at_least_once: delay must be more than 0");
    CHECK(refusal(serial.at_least_once({.delay = -1s})) ==
          "rejected: at_least_once: delay must be more than 0");
    CHECK(refusal(serial.at_least_once({.delay = 2s, .max_delay = 1s})) ==
          "rejected: at_least_once: max_delay must be `delay` or more");
    CHECK(refusal(parallel(0).at_least_once()) == "rejected: parallel(n): n must be 1 to 65536");
    CHECK(refusal(serial.at_least_once().capacity(0)) == "rejected: capacity must be 1 or more");
    for (const when_full policy : {when_full::drop_oldest, when_full::drop_newest}) {
        CHECK(refusal(serial.at_least_once().full(policy)) ==
              "rejected: at_least_once: full must be reject or wait; what is dropped is not "
              "delivered");
    }
    CHECK(refusal(
              serial.at_least_once(
                  {.attempts = 1000, .in_place = 1000, .delay = 1ns, .max_delay = duration::max()}))
              .empty());
}
