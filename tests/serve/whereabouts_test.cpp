#include <posthaste/serve/whereabouts.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

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

std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

task<result<int>> call(client<ask> c, int n) { co_return co_await c.call(n); }

std::string told(launched<result<int>>& call) {
    const auto r = call.value();
    return r ? "value" : r.error().message();
}

/// An endpoint whose handler takes so long.
template <typename Mode>
void takes(bus& app, const char* name, const Mode& mode, duration d) {
    app.handle<ask>(name, mode, [d](ask a) -> task<int> {
        co_await sleep_soundly(d);
        co_return a.n;
    });
}
/// An endpoint whose handler asks another one.
void asks(bus& app, const char* name, const char* whom) {
    app.handle<ask>(name, [c = app.client<ask>(whom)](ask a) -> task<result<int>> {
        co_return co_await c.call(a.n);
    });
}

}  // namespace

TEST_CASE("whereabouts: says what it knows, and no more") {
    whereabouts w;
    CHECK(w.text() == "queued");
    w.since = 300ms;
    CHECK(w.text() == "queued for 300 ms");
    w.ahead = 0;
    CHECK(w.text() == "queued for 300 ms, none ahead");
    w.ahead = 12;
    w.handler.known = true;
    CHECK(w.text() == "queued for 300 ms, 12 ahead; its handler is running");
    w.handler.running = 280ms;
    CHECK(w.text() == "queued for 300 ms, 12 ahead; its handler has been running for 280 ms");
    w.handler.reply_from = "warehouse";
    CHECK(w.text() ==
          "queued for 300 ms, 12 ahead; its handler has been running for 280 ms and waits for a "
          "reply from warehouse");
    w.handler.running = forever;
    CHECK(w.text() == "queued for 300 ms, 12 ahead; its handler waits for a reply from warehouse");
    w.handler.waiting = 9999us;
    w.handler.one_of_many = true;
    CHECK(w.text() ==
          "queued for 300 ms, 12 ahead; one of its handlers has waited for a reply from warehouse "
          "for 9999 us");
    w.at = whereabouts::place::handler;
    CHECK(w.text() == "running for 300 ms, waiting for a reply from warehouse");
    w.since = forever;
    w.handler.reply_from = "";
    CHECK(w.text() == "the handler was running");
    w.at = whereabouts::place::room;
    CHECK(w.text() == "waiting for room");
    for (const auto& [d, words] : {std::pair<duration, const char*>(9999ns, "9999 ns"),
                                   {10us, "10 us"},
                                   {9999ms, "9999 ms"},
                                   {10s, "10 s"},
                                   {0s, "0 ns"}}) {
        w.since = d;
        CHECK(w.text() == "waiting for room for " + std::string(words));
    }
}

TEST_CASE("whereabouts: a call that expires says that its handler runs, and for whom it waits") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    takes(app, "warehouse", serial, 1s);
    asks(app, "inventory", "warehouse");
    launched<result<int>> c(sim, call(app.client<ask>("inventory", deadline(300ms)), 1));
    sim.advance(400ms);
    CHECK(told(c) ==
          "deadline exceeded at inventory: running for 300 ms, waiting for a reply from warehouse");
    sim.advance(2s);
    launched<result<int>> other(sim, call(app.client<ask>("warehouse", deadline(300ms)), 1));
    sim.advance(400ms);
    CHECK(told(other) == "deadline exceeded at warehouse: running for 300 ms");
}

TEST_CASE("whereabouts: a queued call says how many are ahead, and what their handler does") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    takes(app, "warehouse", serial, 10s);
    asks(app, "inventory", "warehouse");
    const auto inventory = app.client<ask>("inventory", deadline(300ms));
    launched<result<int>> first(sim, call(app.client<ask>("inventory"), 1));
    sim.advance(20ms);
    for (int i = 0; i != 12; ++i) CHECK(app.client<ask>("inventory").send(i));
    launched<result<int>> queued(sim, call(inventory, 2));
    sim.advance(300ms);
    CHECK(told(queued) ==
          "deadline exceeded at inventory: queued for 300 ms, 12 ahead; its handler has waited for "
          "a reply from warehouse for 320 ms");
    launched<result<int>> cancelled(sim, call(inventory, 3));
    sim.advance(7ms);
    cancelled.stop();
    sim.advance(0ms);
    CHECK(told(cancelled) == "cancelled at inventory: it was still queued");  // takes no memory
}

TEST_CASE("whereabouts: nobody is ahead in a place that was only taken ahead") {
    testing::no_frames_left frames;
    simulation sim(any_seed()), elsewhere;
    bus app(sim);
    takes(app, "inventory", serial, 10s);
    launched<result<int>> first(sim, call(app.client<ask>("inventory"), 1));
    sim.advance(1ms);
    launched<result<int>> second(sim, call(app.client<ask>("inventory"), 2));
    sim.advance(1ms);
    CHECK(app.client<ask>("inventory").send(3));  // from elsewhere, too
    launched<result<int>> c(elsewhere, call(app.client<ask>("inventory", deadline(300ms)), 4));
    elsewhere.advance(300ms);
    CHECK(told(c).find(", 2 ahead; its handler is running") != std::string::npos);
}

TEST_CASE("whereabouts: the time of a handler that began from the queue is known") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    takes(app, "warehouse", serial, 10s);
    app.handle<ask>("inventory", [c = app.client<ask>("warehouse")](ask a) -> task<result<int>> {
        co_await sleep_soundly(10ms);
        if (a.n == 0) co_return 0;
        const auto r = co_await c.call(a.n);  // it expires as its own caller does
        co_await sleep_soundly(10ms);
        co_return r;
    });
    launched<result<int>> first(sim, call(app.client<ask>("inventory"), 0));
    sim.advance(1ms);
    launched<result<int>> second(sim, call(app.client<ask>("inventory", deadline(50ms)), 1));
    sim.advance(1ms);
    launched<result<int>> third(sim, call(app.client<ask>("inventory", deadline(40ms)), 0));
    sim.advance(50ms);
    CHECK(told(third) ==
          "deadline exceeded at inventory: queued for 40 ms, none ahead; its handler has been "
          "running for 32 ms and waits for a reply from warehouse");
    CHECK(told(second) ==
          "deadline exceeded at inventory: running for 41 ms, waiting for a reply from warehouse");
}

TEST_CASE("whereabouts: what a handler waited for before is forgotten") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    takes(app, "warehouse", serial, 10ms);
    app.handle<ask>("inventory", [c = app.client<ask>("warehouse")](ask a) -> task<result<int>> {
        const auto r = co_await c.call(a.n);
        co_await sleep_soundly(1s);
        co_return r;
    });
    launched<result<int>> c(sim, call(app.client<ask>("inventory", deadline(300ms)), 1));
    sim.advance(400ms);
    CHECK(told(c) == "deadline exceeded at inventory: running for 300 ms");
}

TEST_CASE("whereabouts: of many handlers it tells of one that waits for somebody") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    takes(app, "warehouse", parallel(9), 10s);
    const auto handle =
        [c = app.client<ask>("warehouse", deadline(forever))](ask a) -> task<result<int>> {
        if (a.n != 1) co_await sleep_soundly(10s);
        co_return co_await c.call(a.n);
    };
    const bool by_key = GENERATE(false, true);
    if (by_key) app.handle<ask>("inventory", keyed([](const ask& a) { return a.n % 2; }), handle);
    else app.handle<ask>("inventory", parallel(2), handle);
    const auto patient = app.client<ask>("inventory", deadline(forever));
    launched<result<int>> a(sim, call(patient, 2)), b(sim, call(patient, 1));
    sim.advance(1ms);
    launched<result<int>> c(sim, call(app.client<ask>("inventory", deadline(300ms)), 3));
    sim.advance(400ms);
    CHECK(told(c) ==
          "deadline exceeded at inventory: queued for 300 ms, none ahead; one of its handlers "
          "waits for a reply from warehouse");
    CHECK(app.drain(1ms));
}

TEST_CASE("whereabouts: expired work that is found when its turn comes was queued, no more") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    takes(app, "inventory", serial, 10ms);
    launched<result<int>> first(sim, call(app.client<ask>("inventory"), 1));
    sim.advance(1ms);
    launched<result<int>> c(sim, call(app.client<ask>("inventory", deadline(9ms)), 1));
    sim.advance(10ms);
    const std::string why = told(c);
    CHECK((why == "deadline exceeded at inventory: queued for 9 ms" ||
           why == "deadline exceeded at inventory: queued for 9 ms, none ahead; its handler is "
                  "running"));
}

TEST_CASE("whereabouts: who waits for room says so") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    takes(app, "inventory", serial.capacity(1).full(when_full::wait), 1s);
    launched<result<int>> first(sim, call(app.client<ask>("inventory"), 1));
    sim.advance(1ms);
    CHECK(app.client<ask>("inventory").send(2));
    launched<result<int>> c(sim, call(app.client<ask>("inventory", deadline(9ms)), 1));
    sim.advance(10ms);
    CHECK(told(c) == "deadline exceeded at inventory: waiting for room for 9 ms");
}
