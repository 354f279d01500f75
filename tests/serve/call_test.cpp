// Contract 1, 2, 5, 6 and 7: how calls end.
#include <posthaste/serve/call.hpp>

#include "../support/by_hand.hpp"
#include "../support/conversation.hpp"
#include "../support/started.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;
using posthaste::testing::sleep_soundly;
using posthaste::testing::stand_still;

namespace {

struct ask {
    using reply = int;
    int n;
};
struct work_for {
    using reply = int;
    std::chrono::milliseconds time;
};
struct note {
    int n;
};

task<result<int>> call(client<ask> c, int n) { co_return co_await c.call(n); }
task<result<int>> call(client<work_for> c, std::chrono::milliseconds t) {
    co_return co_await c.call(t);
}

/// At each exact look at its clock it is one millisecond later.
class ticking : public testing::by_hand {
public:
    time_point now() const noexcept override { return time_point(1ms * ++looks); }
    time_point coarse_now() const noexcept override { return time_point(1ms * looks); }
    mutable int looks = 0;
};
/// Coarse looks are a tick behind; exact ones are counted.
class behind_the_time : public testing::by_hand {
public:
    time_point now() const noexcept override { return ++exact, time; }
    time_point coarse_now() const noexcept override { return time - 15ms; }
    time_point soon() const noexcept override { return time + 5ms; }
    time_point time{1h};
    mutable int exact = 0;
};
class set_by_hand : public testing::by_hand {
public:
    time_point now() const noexcept override { return time; }
    time_point coarse_now() const noexcept override { return time; }
    time_point time;
};

std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

}  // namespace

TEST_CASE("call: ends with the handler's value") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    app.handle<ask>("plain", [](ask a) { return a.n + 1; });
    app.handle<ask>("task", [](ask a) -> task<int> {
        co_await sleep_for(1ms);
        co_return a.n + 1;
    });
    CHECK(*app.run([&] { return call(app.client<ask>("plain"), 1); }) == 2);
    CHECK(*app.run([&] { return call(app.client<ask>("task"), 2); }) == 3);
}

TEST_CASE("call: a handler that throws gives handler_failed, complete, and the exception itself") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    app.handle<ask>("plain", [](ask a) -> int {
        if (a.n == 0) throw std::out_of_range("no such user");
        throw 42;
    });
    app.handle<ask>("task", [](ask a) -> task<int> {
        co_await sleep_for(1ms);
        if (a.n == 0) throw std::out_of_range("no such user");
        throw 42;
    });
    for (const char* name : {"plain", "task"}) {
        auto r = app.run([&] { return call(app.client<ask>(name), 0); });
        REQUIRE(outcome(r) == "handler failed, complete");
        CHECK(r.error().message() == "handler failed at " + std::string(name) + ": no such user");
        CHECK_THROWS_AS(std::move(r).or_throw(), std::out_of_range);

        auto no_std = app.run([&] { return call(app.client<ask>(name), 1); });
        REQUIRE(outcome(no_std) == "handler failed, complete");
        CHECK(no_std.error().detail() == "an exception that is no std::exception");
        CHECK_THROWS_AS(std::move(no_std).or_throw(), int);
        CHECK(app.counts(name).failed == 2);
    }
}

TEST_CASE("call: a failure that the handler returns comes with the way it came, and complete") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<ask>("stock", [](ask) -> result<int> {
        return failure(code::rejected, effect::none, "sold out").retry_after(2s);
    });
    app.handle<ask>("shop", [stock = app.client<ask>("stock")](ask a) -> task<result<int>> {
        co_return co_await stock.call(a.n);
    });
    const auto r = app.run([&] { return call(app.client<ask>("shop"), 1); });
    REQUIRE(outcome(r) == "rejected, complete");  // the handlers wrote none, but have run
    CHECK(r.error().path() == "shop -> stock");
    CHECK(r.error().detail() == "sold out");
    CHECK(r.error().retry_after() == 2s);
}

TEST_CASE("call: of a failure that a handler passes on, the effect stays unknown") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    app.handle<ask>("stock", [](ask) -> task<int> {
        co_await sleep_for(1h);
        co_return 1;
    });
    app.handle<ask>("shop",
                    [stock = app.client<ask>("stock", deadline(1s))](ask a) -> task<result<int>> {
                        co_return co_await stock.call(a.n);
                    });
    const auto r = app.run([&] { return call(app.client<ask>("shop"), 1); });
    CHECK(outcome(r) == "deadline exceeded, unknown");
}

TEST_CASE("call: a handler that never answers costs its caller the deadline, and no more") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    app.handle<ask>("never", [](ask) -> task<int> {
        co_await stand_still();
        co_return 1;
    });
    const auto r = app.run([&] { return call(app.client<ask>("never"), 1); });
    CHECK(outcome(r) == "deadline exceeded, unknown");
    CHECK(r.error().detail() == "running for 5 s");
    CHECK(sim.elapsed() == 5s);  // the default
}

TEST_CASE("call: the default deadline is the bus's option") {
    testing::no_frames_left frames;
    simulation sim;
    bus_options options;
    options.deadline = 70ms;
    bus app(sim, options);
    app.handle<work_for>("work", [](work_for w) -> task<int> {
        co_await sleep_for(w.time);
        co_return 1;
    });
    CHECK(outcome(app.run([&] { return call(app.client<work_for>("work"), 69ms); })) == "value");
    CHECK(outcome(app.run([&] { return call(app.client<work_for>("work"), 71ms); })) ==
          "deadline exceeded, unknown");
}

TEST_CASE("call: a deadline that has passed before is found out before queueing") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    int ran = 0;
    app.handle<ask>("ask", [&](ask) { return ++ran; });
    for (const auto d : {0ms, -1ms}) {
        const auto c = app.client<ask>("ask", deadline(d));
        CHECK(outcome(app.run([&] { return call(c, 1); })) == "deadline exceeded, none");
    }
    CHECK(ran == 0);
    CHECK(app.counts("ask").accepted == 0);
    CHECK(sim.elapsed() == 0s);
}

TEST_CASE("call: a nested one is not queued when its caller's own deadline has passed") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    simulation elsewhere;  // the outer caller's, whose clock stands still: it has not given up yet
    bus app(sim);
    int ran = 0;
    std::string inner;
    app.handle<ask>("inner", [&](ask) { return ++ran; });
    app.handle<ask>("outer", [&, c = app.client<ask>("inner")](ask a) -> task<int> {
        co_await sleep_soundly(20ms);
        const auto r = co_await c.call(a.n);
        inner = outcome(r);
        co_return 1;
    });
    launched<result<int>> outer(elsewhere, call(app.client<ask>("outer", deadline(10ms)), 1));
    elsewhere.drive_ready();
    sim.advance(1s);
    CHECK(inner == "deadline exceeded, none");
    CHECK(ran == 0);
    CHECK(app.counts("inner").accepted == 0);
    elsewhere.drive_ready();
    CHECK(outer.done());
}

TEST_CASE("call: one that expires in the queue is not started") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<int> started;
    app.handle<ask>("one", [&](ask a) -> task<int> {
        started.push_back(a.n);
        co_await sleep_for(100ms);
        co_return a.n;
    });
    const auto slow = app.client<ask>("one");
    const auto hasty = app.client<ask>("one", deadline(30ms));
    app.run([&]() -> task<> {
        launched<result<int>> first(sim, call(slow, 1));
        co_await sleep_for(1ms);
        const auto r = co_await hasty.call(2);
        CHECK(outcome(r) == "deadline exceeded, none");
        CHECK(r.error().detail() == "queued for 30 ms, none ahead; its handler is running");
        CHECK(sim.elapsed() == 31ms);
        co_await sleep_for(200ms);
        CHECK(*first.value() == 1);
    });
    CHECK(started == std::vector<int>{1});
    const account a = app.counts("one");
    CHECK(a.expired == 1);
    CHECK(a.handled == 1);
    CHECK(a.adds_up());
}

TEST_CASE("call: expired work is found at dequeue even if its caller's timer has not fired") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    simulation elsewhere;  // the caller's, whose clock stands still
    bus app(sim);
    int ran = 0;
    app.handle<ask>("ask", [&](ask a) -> task<int> {
        co_await sleep_for(20ms);
        co_return ++ran + a.n;
    });
    const auto c = app.client<ask>("ask", deadline(10ms));
    const auto patient = app.client<ask>("ask");
    launched<result<int>> first(sim, call(patient, 1));
    sim.advance(1ms);
    launched<result<int>> second(elsewhere, call(c, 2));
    elsewhere.drive_ready();  // it has queued its request, for 10 ms
    sim.advance(100ms);
    CHECK(ran == 1);
    CHECK(app.counts("ask").expired == 1);
    elsewhere.drive_ready();
    CHECK(outcome(second.value()) == "deadline exceeded, none");
    CHECK(elsewhere.elapsed() == 0s);
    CHECK(outcome(first.value()) == "value");
}

TEST_CASE("call: one that expired in the queue says so, though the bus has gone since") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    simulation elsewhere;  // the caller's
    auto app = std::make_unique<bus>(sim);
    app->handle<ask>("ask", [&](ask a) -> task<int> {
        co_await sleep_for(20ms);
        co_return a.n;
    });
    std::optional<client<ask>> c = app->client<ask>("ask", deadline(10ms));
    std::optional<client<ask>> patient = app->client<ask>("ask");
    launched<result<int>> first(sim, call(*patient, 1));
    sim.advance(1ms);
    std::string heard;
    const auto body = [&]() -> task<> { heard = outcome(co_await c->call(2)); };
    testing::started second(elsewhere, body());
    elsewhere.drive_ready();
    sim.advance(100ms);  // found at dequeue, or by its timer
    if (GENERATE(false, true)) elsewhere.advance(100ms);
    c.reset(), patient.reset();
    app.reset();
    elsewhere.drive_ready();
    CHECK(heard == "deadline exceeded, none");
    REQUIRE(first.done());
}

TEST_CASE("call: the deadline of a nested call is the earlier of the two") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    app.handle<work_for>("inner", [](work_for w) -> task<int> {
        co_await sleep_for(w.time);
        co_return 1;
    });
    std::vector<std::string> seen;
    std::vector<duration> when;
    const auto outer = [&](duration inner_deadline) {
        const auto inner = app.client<work_for>("inner", deadline(inner_deadline));
        return [&, inner](work_for w) -> task<int> {
            const auto r = co_await inner.call(w.time);
            seen.push_back(outcome(r));
            when.push_back(sim.elapsed());
            co_return 1;
        };
    };
    app.handle<work_for>("wide", outer(1s));
    app.handle<work_for>("narrow", outer(20ms));

    const auto wide = app.client<work_for>("wide", deadline(50ms));
    CHECK(outcome(app.run([&] { return call(wide, 200ms); })) == "deadline exceeded, unknown");
    sim.advance(1s);
    REQUIRE(seen.size() == 1);
    CHECK(seen[0] == "deadline exceeded, unknown");  // by itself: not cancelled with the outer one
    CHECK(when[0] == 50ms);  // the outer one's

    const auto start = sim.elapsed();
    const auto narrow = app.client<work_for>("narrow", deadline(50ms));
    CHECK(outcome(app.run([&] { return call(narrow, 200ms); })) == "value");
    REQUIRE(seen.size() == 2);
    CHECK(seen[1] == "deadline exceeded, unknown");
    CHECK(when[1] == start + 20ms);  // its own
}

TEST_CASE("call: a nested call knows the outer deadline also after the handler has slept") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    const time_point begin = sim.now();
    time_point inner_deadline;
    app.handle<ask>("never", [&](ask, context& c) -> task<int> {
        inner_deadline = c.deadline();
        auto ok = co_await sleep_for(forever);
        co_return ok ? 1 : 2;
    });
    duration ended{}, left = 20ms;
    const bool asks = GENERATE(false, true);
    app.handle<ask>("outer", [&, inner = app.client<ask>("never")](ask a, context& c) -> task<int> {
        co_await sleep_for(30ms);
        if (asks) left = c.time_left();
        const auto r = co_await inner.call(a.n);
        ended = sim.elapsed();
        co_return r ? 1 : 2;
    });
    const auto c = app.client<ask>("outer", deadline(50ms));
    CHECK(outcome(app.run([&] { return call(c, 1); })) == "deadline exceeded, unknown");
    sim.advance(1s);
    CHECK(left == 20ms);
    CHECK(inner_deadline == begin + 50ms);
    CHECK(ended == 50ms);  // not 30 + 50
}

TEST_CASE("call: a handler whose calls are all answered at once has its deadline all the same") {
    testing::no_frames_left frames;
    set_by_hand world;
    {
        bus app(world);
        const bool plain = GENERATE(false, true);
        if (plain) app.handle<ask>("inner", [](ask a) { return a.n; });
        else app.handle<ask>("inner", [](ask a) -> task<int> { co_return a.n; });
        const auto inner = app.client<ask>("inner");
        int calls = 0;
        app.handle<ask>("outer", [&](ask) -> task<int> {
            for (; calls != 500; ++calls) {
                const auto r = co_await inner.call(calls);
                if (!r && r.error().code() == code::deadline_exceeded) co_return calls;
                world.time += 1ms;  // so long it works between two calls
            }
            co_return calls;
        });
        const auto body = [&]() -> task<> {
            const auto r = co_await app.client<ask>("outer", deadline(100ms)).call(7);
            CHECK(outcome(r) == "value");
        };
        testing::started t(world, body());
        testing::by_hand::run(testing::by_hand::posted());
        CHECK(t.ended());
        CHECK(calls == 100);
    }
}

TEST_CASE("call: in a queue it looks at the clock exactly only where its time is short") {
    behind_the_time world;
    int ran = 0;
    {
        bus app(world);
        app.handle<ask>("last", [&ran](ask a) { return ++ran, a.n; });
        const auto told = [&](duration allowed) {
            const auto c = app.client<ask>("last", deadline(allowed));
            std::string how;
            const auto body = [&]() -> task<> {
                CHECK(c.send(1));
                world.exact = 0;
                how = outcome(co_await c.call(7));
            };
            testing::started t(world, body());
            testing::by_hand::run(testing::by_hand::posted());
            CHECK(t.ended());
            return how;
        };
        CHECK(told(1s) == "value");
        CHECK(world.exact == 0);
        CHECK(told(999ms) == "value");
        CHECK(world.exact == 1);
        CHECK(told(forever) == "value");
        CHECK(world.exact == 0);
        CHECK(ran == 6);
    }
}

TEST_CASE("call: what expires in the queue is not begun, however little that is since") {
    behind_the_time world;
    int ran = 0;
    {
        bus app(world);
        // The message before the call takes its time.
        app.handle<ask>("last", [&](ask a) {
            world.time += std::chrono::milliseconds(a.n);
            return ++ran;
        });
        const auto told = [&](duration allowed, int takes) {
            const auto c = app.client<ask>("last", deadline(allowed));
            std::string how;
            const auto body = [&]() -> task<> {
                CHECK(c.send(takes));
                how = outcome(co_await c.call(0));
            };
            testing::started t(world, body());
            testing::by_hand::run(testing::by_hand::posted());
            CHECK(t.ended());
            return how;
        };
        CHECK(told(100ms, 99) == "value");
        CHECK(told(100ms, 100) == "deadline exceeded, none");
        CHECK(told(2s, 2004) == "value");  // a little longer, as it is long
        CHECK(told(2s, 2005) == "deadline exceeded, none");
        CHECK(ran == 6);
    }
}

TEST_CASE("call: each that makes nested ones takes one exact look at the clock for that") {
    testing::no_frames_left frames;
    ticking world;
    const bool stands = GENERATE(false, true), asks_before = GENERATE(false, true);
    const bool outer_asks = GENERATE(false, true);
    std::vector<time_point> deadlines;  // the innermost first
    {
        bus app(world);
        app.handle<ask>("plain", [](ask a) { return a.n; });
        app.handle<ask>("inner", [&](ask a, context& c) -> task<int> {
            if (asks_before) deadlines.push_back(c.deadline());
            if (stands) {
                co_await yield();
                deadlines.push_back(c.deadline());
            }
            co_return a.n;
        });
        const auto pass_on = [&](client<ask> to) {
            return [&deadlines, stands, outer_asks, to](ask a, context& c) -> task<int> {
                const time_point before = outer_asks ? c.deadline() : never;
                const auto r = co_await to.call(a.n);
                if (stands) deadlines.push_back(c.deadline());
                if (outer_asks) CHECK(before == c.deadline());
                co_return *r;
            };
        };
        app.handle<ask>("middle", pass_on(app.client<ask>("inner")));
        app.handle<ask>("outer", pass_on(app.client<ask>("middle")));
        const auto body = [&]() -> task<> {
            auto r = co_await app.client<ask>("outer", deadline(3s)).call(7);
            CHECK(outcome(r) == "value");
            r = co_await app.client<ask>("plain").call(7);
            CHECK(outcome(r) == "value");
            if (!stands && !asks_before && !outer_asks) CHECK(world.looks == 2);
        };
        testing::started t(world, body());
        testing::by_hand::run(testing::by_hand::posted());
        CHECK(t.ended());
    }
    CHECK(std::is_sorted(deadlines.begin(), deadlines.end()));
}

TEST_CASE("call: a send does not inherit the deadline") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<time_point> deadlines;
    app.handle<note>("log", [&](note, context& c) -> task<> {
        co_await sleep_for(1s);
        deadlines.push_back(c.deadline());
    });
    app.handle<ask>("ask", [log = app.client<note>("log")](ask a) -> task<int> {
        log.send(a.n);
        auto ok = co_await log.send_when_room(a.n);
        co_return ok ? 1 : 0;
    });
    const auto c = app.client<ask>("ask", deadline(10ms));
    CHECK(*app.run([&] { return call(c, 1); }) == 1);
    const auto account = app.drain(5s);
    CHECK(deadlines == std::vector<time_point>{never, never});
    CHECK(account->in_time);
}

TEST_CASE("call: no deadline at all only where forever is spelled") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    time_point seen{};
    app.handle<ask>("ask", [&](ask, context& c) -> task<int> {
        co_await sleep_for(1h);
        seen = c.deadline();
        co_return 1;
    });
    CHECK(outcome(app.run([&] { return call(app.client<ask>("ask"), 1); })) ==
          "deadline exceeded, unknown");
    const auto patient = app.client<ask>("ask", deadline(forever));
    CHECK(outcome(app.run([&] { return call(patient, 1); })) == "value");
    CHECK(seen == never);
}

TEST_CASE("call: cancelled before it is made, queued, or running, it says so") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<int> started;
    bool heeded = false;
    app.handle<ask>("one", [&](ask a) -> task<int> {
        started.push_back(a.n);
        auto slept = co_await sleep_for(1s);
        heeded = heeded || !slept;
        co_return a.n;
    });
    const auto c = app.client<ask>("one");
    launched<result<int>> before(sim, call(c, 1));
    before.stop();
    sim.advance(1ms);
    CHECK(outcome(before.value()) == "cancelled, none");
    CHECK(started.empty());

    launched<result<int>> running(sim, call(c, 2));
    sim.advance(1ms);
    launched<result<int>> queued(sim, call(c, 3));
    launched<result<int>> stays(sim, call(c, 4));
    sim.advance(1ms);
    queued.stop();
    CHECK_FALSE(queued.done());  // nothing is resumed from inside a stop callback
    sim.advance(1ms);
    CHECK(outcome(queued.value()) == "cancelled, none");
    CHECK_FALSE(heeded);
    running.stop();
    sim.advance(1ms);
    CHECK(outcome(running.value()) == "cancelled, unknown");
    CHECK(heeded);
    sim.advance(2s);
    CHECK(outcome(stays.value()) == "value");
    CHECK(started == std::vector<int>{2, 4});
    const account a = app.counts("one");
    CHECK(a.dropped == 1);
    CHECK(a.handled == 2);
    CHECK(a.late == 1);
    CHECK(a.adds_up());
}

TEST_CASE("call: a full queue refuses it to its face") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    app.handle<ask>("one", serial.capacity(1), [](ask a) -> task<int> {
        co_await sleep_for(10ms);
        co_return a.n;
    });
    const auto c = app.client<ask>("one");
    launched<result<int>> first(sim, call(c, 1));
    sim.advance(1ms);
    launched<result<int>> second(sim, call(c, 2));
    sim.advance(1ms);
    const auto r = app.run([&] { return call(c, 3); });
    CHECK(outcome(r) == "overloaded, none");
    CHECK(r.error().message() == "overloaded at one: the queue is full");
    CHECK(app.counts("one").refused == 1);
    sim.advance(1s);
    CHECK(*first.value() == 1);
    CHECK(*second.value() == 2);
}

TEST_CASE("call: nobody of that name, or nobody there who takes it, is no_handler") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const auto c = app.client<ask>("ask");
    const auto none = app.run([&] { return call(c, 1); });
    CHECK(outcome(none) == "no handler, none");
    CHECK(none.error().message() == "no handler at ask: nobody has that name");
    app.handle<note>("ask", [](note) {});
    const auto other = app.run([&] { return call(c, 1); });
    CHECK(outcome(other) == "no handler, none");
    CHECK(other.error().message() == "no handler at ask: it does not take this message");
}

TEST_CASE("call: when the bus drains, queued calls hear closed and running ones end in time") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    app.handle<work_for>("work", [](work_for w) -> task<int> {
        auto slept = co_await sleep_for(w.time);
        co_return slept ? 1 : 2;
    });
    const auto c = app.client<work_for>("work", deadline(forever));
    launched<result<int>> running(sim, call(c, 1000ms));
    sim.advance(1ms);
    launched<result<int>> queued(sim, call(c, 1ms));
    sim.advance(1ms);
    const auto drained = app.drain(10ms);
    REQUIRE(drained);
    CHECK_FALSE(drained->in_time);
    sim.drive_ready();
    CHECK(*running.value() == 2);  // it heeded the stop
    CHECK(outcome(queued.value()) == "closed, none");
    CHECK(outcome(app.run([&] { return call(c, 1ms); })) == "closed, none");
    CHECK(drained->total.left == 1);
    CHECK(drained->total.handled == 1);
    CHECK(drained->total.adds_up());
}

TEST_CASE("call: when the bus dies under a handler that stands still, its caller hears no_reply") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    simulation elsewhere(any_seed());
    auto app = std::make_unique<bus>(sim);
    app->handle<ask>("never", [](ask) -> task<int> {
        co_await stand_still();
        co_return 1;
    });
    const auto c = app->client<ask>("never", deadline(forever));
    launched<result<int>> here(sim, call(c, 1));
    launched<result<int>> far(elsewhere, call(c, 2));
    sim.advance(1ms);
    elsewhere.advance(1ms);
    app.reset();
    elsewhere.advance(1ms);
    REQUIRE(here.done());
    REQUIRE(far.done());
    CHECK(outcome(here.value()) == "no reply, unknown");
    CHECK(outcome(far.value()) == "closed, none");  // it never left the queue
}

TEST_CASE("call: from a handler to another bus, it may end after that one has gone") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    simulation elsewhere(any_seed());
    const bool begun = GENERATE(false, true);
    bus app(sim);
    auto other = std::make_unique<bus>(begun ? sim : elsewhere);
    other->handle<ask>("never", [](ask) -> task<int> {
        co_await stand_still();
        co_return 1;
    });
    std::optional<client<ask>> far = other->client<ask>("never");
    std::string heard;
    scope* calls = nullptr;
    app.handle<ask>("front", [&](ask) -> task<int> {
        scope s(co_await this_context);
        calls = &s;
        const auto one = [&]() -> task<> { heard = outcome(co_await far->call(1)); };
        s.spawn(one);
        co_await s.join();
        co_return 1;
    });
    launched<result<int>> front(sim, call(app.client<ask>("front"), 1));
    sim.drive_ready();
    REQUIRE(calls);
    calls->request_stop();
    far.reset();
    other.reset();  // on its own executor the call has not gone on
    sim.drive_ready();
    CHECK(heard == (begun ? "cancelled, unknown" : "cancelled, none"));
    REQUIRE(front.done());
    CHECK(outcome(front.value()) == "value");
}

TEST_CASE("call: a late reply is dropped, and counted with how late it was") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    app.handle<work_for>("work", parallel(8), [](work_for w) -> task<int> {
        co_await sleep_soundly(w.time);
        co_return 7;
    });
    const auto c = app.client<work_for>("work", deadline(10ms));
    CHECK(outcome(app.run([&] { return call(c, 9ms); })) == "value");
    CHECK(app.counts("work").late == 0);
    CHECK(outcome(app.run([&] { return call(c, 15ms); })) == "deadline exceeded, unknown");
    CHECK(outcome(app.run([&] { return call(c, 42ms); })) == "deadline exceeded, unknown");
    CHECK(outcome(app.run([&] { return call(c, 17ms); })) == "deadline exceeded, unknown");
    sim.advance(1s);
    const account a = app.counts("work");
    CHECK(a.late == 3);
    CHECK(a.late_by == 32ms);
    CHECK(a.handled == 4);
    CHECK(a.adds_up());
}

TEST_CASE("call: a late reply to a queued call is counted as well") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    simulation elsewhere(any_seed());
    bus app(sim);
    app.handle<work_for>("work", [](work_for w) -> task<int> {
        co_await sleep_soundly(w.time);
        co_return 7;
    });
    const auto c = app.client<work_for>("work", deadline(10ms));
    launched<result<int>> caller(elsewhere, call(c, 13ms));
    elsewhere.drive_ready();  // on another executor: it goes through the queue
    sim.advance(1ms);
    elsewhere.advance(11ms);
    CHECK(outcome(caller.value()) == "deadline exceeded, unknown");
    sim.advance(1s);
    CHECK(app.counts("work").late == 1);
    CHECK(app.counts("work").late_by == 3ms);
}

TEST_CASE("call: an idle endpoint on the caller's executor runs it at once, before anything else") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<std::string> order;
    app.handle<ask>("ask", [&](ask a) {
        order.push_back("handler");
        return a.n;
    });
    const auto c = app.client<ask>("ask");
    const auto other = [](std::vector<std::string>& o) -> task<int> {
        o.push_back("other");
        co_return 0;
    };
    app.run([&]() -> task<> {
        launched<int> waiting(sim, other(order));  // ready before the call is made
        const std::uint64_t steps = sim.steps();
        const auto r = co_await c.call(1);
        order.push_back("caller");
        CHECK(r.has_value());
        CHECK(sim.steps() == steps);  // nothing went through the executor's queue
        co_await sleep_for(1ms);
        CHECK(waiting.done());
    });
    CHECK(order == std::vector<std::string>{"handler", "caller", "other"});
}

TEST_CASE("call: caller and handler go on at their own homes") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    simulation elsewhere(any_seed());
    bus app(sim);
    std::vector<bool> at_home;
    app.handle<ask>("ask", [&](ask a) -> task<int> {
        at_home.push_back(sim.here());
        co_await yield();
        at_home.push_back(sim.here());
        co_return a.n;
    });
    const auto far = [&](client<ask> c) -> task<int> {
        at_home.push_back(elsewhere.here());
        const auto r = co_await c.call(1);
        at_home.push_back(elsewhere.here());
        co_return *r;
    };
    launched<int> caller(elsewhere, far(app.client<ask>("ask")));
    while (!caller.done()) {
        elsewhere.drive_ready();
        sim.drive_ready();
    }
    CHECK(caller.value() == 1);
    CHECK(at_home == std::vector<bool>(4, true));
}

TEST_CASE("call: to an idle endpoint elsewhere, it comes before what is sent later, and counts") {
    testing::no_frames_left frames;
    simulation sim(any_seed()), elsewhere(any_seed());
    bus app(sim);
    std::vector<int> order;
    app.handle<ask>("ask", [&](ask a) {
        order.push_back(a.n);
        return a.n;
    });
    const auto c = app.client<ask>("ask");
    launched<result<int>> first(elsewhere, call(c, 1));
    elsewhere.drive_ready();
    CHECK(c.send(2));
    const account before = app.counts("ask");
    CHECK(before.accepted == 2);
    CHECK(before.left == 2);
    while (!first.done()) {
        sim.drive_ready();
        elsewhere.drive_ready();
    }
    CHECK(order == std::vector<int>{1, 2});
    const account after = app.counts("ask");
    CHECK(after.handled == 2);
    CHECK(after.adds_up());
}

TEST_CASE("call: to an idle endpoint elsewhere, one that is given up before it began is dropped") {
    testing::no_frames_left frames;
    simulation sim(any_seed()), elsewhere(any_seed());
    bus app(sim);
    int handled = 0;
    app.handle<ask>("ask", [&](ask a) { return ++handled, a.n; });
    const bool destroyed = GENERATE(true, false);
    auto asked = std::make_unique<launched<result<int>>>(
        elsewhere, call(app.client<ask>("ask", deadline(1s)), 1));
    elsewhere.drive_ready();
    if (destroyed) asked.reset();
    else elsewhere.advance(2s);
    CHECK(app.counts("ask").left == 1);
    sim.drive_ready();
    CHECK(handled == 0);
    CHECK(app.counts("ask").adds_up());
    CHECK(app.counts("ask").left == 0);
    if (!destroyed) CHECK(outcome(asked->value()) == "deadline exceeded, none");
}

TEST_CASE("call: to an idle endpoint elsewhere, one under way hears closed when the bus drains") {
    testing::no_frames_left frames;
    simulation sim(any_seed()), elsewhere(any_seed());
    std::optional<bus> app(std::in_place, sim);
    app->handle<ask>("ask", [](ask a) { return a.n; });
    launched<result<int>> asked(elsewhere, call(app->client<ask>("ask"), 1));
    elsewhere.drive_ready();
    app.reset();
    elsewhere.drive_ready();
    CHECK(asked.done());
}

TEST_CASE("call: a caller on the handler's executor goes on before what is queued") {
    testing::no_frames_left frames;
    bus_options options;
    options.threads = 1;
    bus app(options);
    event ready;
    std::vector<std::string> order;  // no lock: there is one thread
    app.handle<ask>("ask", [&](ask a) -> task<int> {
        static_cast<void>(co_await ready.wait());
        order.push_back("handler");
        co_return a.n;
    });
    const auto caller = [&](client<ask> c) -> task<> {
        const auto r = co_await c.call(1);
        order.push_back(r ? "caller" : "failed");
    };
    const auto other = [&]() -> task<> {
        order.push_back("queued");
        co_return;
    };
    app.run([&]() -> task<> {
        scope all(co_await this_context);
        all.spawn(caller, app.client<ask>("ask"));
        co_await yield();
        ready.set();  // the handler is queued, and then
        all.spawn(other);
        co_await all.join();
    });
    CHECK(order == std::vector<std::string>{"handler", "caller", "queued"});
}

TEST_CASE("call: handlers that call one another without end use no more stack than the bound") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    unsigned deepest = 0;
    app.handle<ask>("down", parallel(4096), [&, c = app.client<ask>("down")](ask a) -> task<int> {
        deepest = std::max(deepest, detail::this_thread().depth);
        if (a.n == 0) co_return 0;
        const auto r = co_await c.call(a.n - 1);
        co_return r ? *r + 1 : -1;
    });
    CHECK(*app.run([&] { return call(app.client<ask>("down"), 2000); }) == 2000);
    CHECK(deepest > 1);
    CHECK(deepest <= detail::max_depth);
}

TEST_CASE("call: two serial handlers that call one another at once end by the deadline") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<std::string> inner;
    for (const auto& [name, other] : {std::pair("A", "B"), std::pair("B", "A")}) {
        app.handle<ask>(name, [&, c = app.client<ask>(other)](ask a) -> task<int> {
            co_await sleep_for(1s);
            const auto r = co_await c.call(a.n + 1);
            inner.push_back(outcome(r));
            co_return 1;
        });
    }
    launched<result<int>> a(sim, call(app.client<ask>("A"), 1));
    launched<result<int>> b(sim, call(app.client<ask>("B"), 1));
    sim.advance(5s);
    CHECK(outcome(a.value()) == "deadline exceeded, unknown");
    CHECK(outcome(b.value()) == "deadline exceeded, unknown");
    sim.advance(1s);
    CHECK(inner.size() == 2);
    for (const std::string& r : inner) CHECK(r == "deadline exceeded, none");
}

TEST_CASE("call: one that is dropped unawaited was never made") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    auto message = std::make_shared<int>(1);
    struct shared {
        std::shared_ptr<int> p;
    };
    app.handle<shared>("sink", [](const shared&) {});
    const auto c = app.client<shared>("sink");
    {
        auto never_awaited = c.call(message);
        auto moved = std::move(never_awaited);
        CHECK(message.use_count() == 2);
    }
    CHECK(message.use_count() == 1);
    CHECK(app.counts("sink").accepted == 0);
}

TEST_CASE("call: a caller's frame may be destroyed where it stands") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<int> started;
    bool stopped = false;
    app.handle<ask>("one", serial.capacity(1).full(when_full::wait), [&](ask a) -> task<int> {
        started.push_back(a.n);
        auto slept = co_await sleep_for(1s);
        stopped = stopped || !slept;
        co_return 1;
    });
    const auto c = app.client<ask>("one");
    auto running = std::make_unique<launched<result<int>>>(sim, call(c, 1));
    sim.advance(1ms);
    auto queued = std::make_unique<launched<result<int>>>(sim, call(c, 2));
    sim.advance(1ms);
    auto waiting = std::make_unique<launched<result<int>>>(sim, call(c, 3));
    sim.advance(1ms);
    queued.reset();
    waiting.reset();
    running.reset();
    sim.advance(5s);
    CHECK(stopped);
    CHECK(started == std::vector<int>{1});
    const account a = app.counts("one");
    CHECK(a.accepted == 2);
    CHECK(a.handled == 1);
    CHECK(a.dropped == 1);
    CHECK(a.refused == 1);
}

TEST_CASE(
    "call: one that is given up in the queue is never started, and leaves its place at its turn") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<int> ran;
    app.handle<ask>("work", serial.capacity(2), [&](ask a) -> task<int> {
        ran.push_back(a.n);
        co_await sleep_soundly(10ms);
        co_return a.n;
    });
    const auto c = app.client<ask>("work");
    launched<result<int>> first(sim, call(c, 1));
    sim.advance(1ms);
    launched<result<int>> gives_up(sim, call(c, 2));
    sim.advance(1ms);
    CHECK(c.send(3));
    gives_up.stop();
    sim.advance(1ms);
    CHECK(outcome(gives_up.value()) == "cancelled, none");
    CHECK_FALSE(c.send(4));  // its place is taken still
    CHECK(app.counts("work").left == 3);
    sim.advance(10ms);
    CHECK(app.counts("work").dropped == 1);
    CHECK(c.send(5));
    CHECK(c.send(6));
    sim.advance(1s);
    CHECK(first.value());
    CHECK(ran == std::vector<int>{1, 3, 5, 6});
    CHECK(app.counts("work").adds_up());
}
