#include <posthaste/serve/outbox.hpp>

#include "../support/conversation.hpp"

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

namespace {

struct order {
    int id;
};
struct ask {
    using reply = int;
    int n;
};
struct pay {
    int order;
};
struct note {
    int n;
};
struct placed {
    int order;
};
struct counting {
    using reply = stream<int>;
    int up_to;
};

/// How a handler ends.
enum class end : unsigned char { returns, refuses, throws };
result<void> ends(end how) {
    if (how == end::throws) throw std::runtime_error("no");
    if (how == end::refuses) return failure(code::unavailable);
    return {};
}

/// A bus, what its endpoint "log" and its listener to all topics have heard, and clients.
struct world {
    simulation sim;
    bus app;
    std::vector<int> logged, heard;
    client<note> log;
    publisher<placed> tell;

    explicit world(std::uint64_t seed = 1)
        : sim(seed),
          app(sim),
          log(app.client<note>("log")),
          tell(app.publisher<placed>("orders.placed")) {
        app.handle<note>("log", serial.capacity(64), [this](note n) { logged.push_back(n.n); });
        app.subscribe<placed>("orders.>", [this](const placed& p) { heard.push_back(p.order); })
            .keep();
    }
    account counts(const char* name) const { return app.counts(name); }
};

std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

template <typename Mode>
void held_until_the_end(const Mode& mode, end how) {
    testing::no_frames_left frames;
    world w(any_seed());
    std::vector<std::string> answers;
    w.app.handle<order>("orders", mode, [&](const order& o, outbox& out) -> task<result<void>> {
        answers.push_back(outcome(out.send(w.log, o.id)));
        answers.push_back(outcome(out.publish(w.tell, o.id)));
        answers.push_back(outcome(out.publish<placed>(w.app, "orders.somewhere.else", 100 + o.id)));
        answers.push_back(outcome(out.send_after(w.log, 5ms, 200 + o.id)));
        answers.push_back(outcome(out.send_at(w.log, time_point(7ms), 300 + o.id)));
        co_await sleep_for(1ms);
        co_return ends(how);
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(1ms - 1ns);
    CHECK(w.logged.empty());
    CHECK(w.heard.empty());
    CHECK(w.counts("log").accepted == 0);
    w.sim.advance(1ns);
    CHECK(answers == std::vector<std::string>(5, "value"));
    const bool well = how == end::returns;
    CHECK(w.logged == (well ? std::vector{1} : std::vector<int>{}));
    CHECK(w.heard == (well ? std::vector{1, 101} : std::vector<int>{}));
    w.sim.advance(1s);
    CHECK(w.logged == (well ? std::vector{1, 201, 301} : std::vector<int>{}));
    CHECK(w.counts("log").accepted == (well ? 3 : 0));
    CHECK(w.counts("log").left == 0);
    CHECK(w.counts("orders").adds_up());
}

}  // namespace

TEST_CASE("outbox: what a handler sends and publishes is held until it has succeeded") {
    held_until_the_end(serial, end::returns);
    held_until_the_end(parallel(2), end::returns);
    held_until_the_end(keyed(&order::id), end::returns);
}

TEST_CASE("outbox: if the handler fails, all of it vanishes") {
    const end how = GENERATE(end::refuses, end::throws);
    held_until_the_end(serial, how);
    held_until_the_end(parallel(2), how);
    held_until_the_end(keyed(&order::id), how);
}

TEST_CASE("outbox: a plain function may have one, too") {
    testing::no_frames_left frames;
    world w;
    const end how = GENERATE(end::returns, end::refuses, end::throws);
    bool was_there = true;
    w.app.handle<order>("orders", [&](order o, outbox& out) {
        CHECK(out.send(w.log, o.id));
        was_there = w.counts("log").accepted != 0;
        return ends(how);
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(1ms);
    CHECK_FALSE(was_there);
    CHECK(w.logged.size() == (how == end::returns ? 1 : 0));
}

TEST_CASE("outbox: it has the handler's context") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<unsigned> attempts;
    bool stopped = false;
    app.handle<order>("orders", serial.at_least_once(), [&](const order&, outbox& out) {
        attempts.push_back(out.context().attempt());
        return out.context().attempt() < 3 ? result<void>(delivery::retry(1ms)) : result<void>();
    });
    CHECK(app.client<order>("orders").send(1));
    sim.advance(1min);
    CHECK(attempts == std::vector<unsigned>{1, 2, 3});
    app.handle<ask>("ask", [&](ask, outbox& out) -> task<int> {
        co_await sleep_for(1h);
        stopped = out.context().stop_requested();
        co_return 1;
    });
    app.run([&]() -> task<> {
        const auto ask_it = app.client<ask>("ask", deadline(1ms));
        const auto r = co_await ask_it.call(1);
        CHECK(outcome(r) == "deadline exceeded, unknown");
        co_await sleep_for(1ms);
    });
    CHECK(stopped);
}

TEST_CASE("outbox: a handler with one leaves its message whole, and may be asked to stop") {
    testing::no_frames_left frames;
    world w;
    const auto fails = [](const order&, outbox&) { return result<void>(failure(code::rejected)); };
    w.app.handle<order>("orders", fails);
    w.app.handle<pay>("payments", serial.at_least_once(),
                      [](const pay&, outbox&) -> task<> { throw std::runtime_error("no"); });
    CHECK(w.app.client<order>("orders").send(7));
    CHECK(w.app.client<pay>("payments").send(8));
    w.sim.advance(1h);
    std::vector<int> whole;
    w.app.dead_letters().for_each([&](const dead_letter& l) {
        if (const auto* o = l.get<order>()) whole.push_back(o->id);
        if (const auto* p = l.get<pay>()) whole.push_back(p->order);
    });
    CHECK(whole == std::vector{7, 8});
    CHECK(detail::handling<decltype(fails), order>::hears_stop);
}

namespace {
template <typename Mode>
void sent_once(const Mode& mode) {
    testing::no_frames_left frames;
    world w(any_seed());
    int attempts = 0;
    w.app.handle<order>("orders", mode.at_least_once({.attempts = 4}),
                        [&](const order& o, outbox& out) -> task<result<void>> {
                            ++attempts;
                            CHECK(out.send(w.log, o.id));
                            CHECK(out.publish(w.tell, o.id));
                            CHECK(out.send_after(w.log, 1s, 100 + o.id));
                            co_await sleep_for(1ms);
                            if (o.id == 2 || out.context().attempt() < 3)
                                throw std::runtime_error("not now");
                            co_return {};
                        });
    CHECK(w.app.client<order>("orders").send(1));
    CHECK(w.app.client<order>("orders").send(2));
    w.sim.advance(1h);
    CHECK(attempts == 3 + 4);
    CHECK(w.logged == std::vector{1, 101});
    CHECK(w.heard == std::vector{1});
    CHECK(w.app.dead_letters().total() == 1);  // the second order, and nothing that it sent
    CHECK(w.counts("log").adds_up());
}
}  // namespace

TEST_CASE("outbox: a message delivered again sends once, with the attempt that succeeds") {
    sent_once(serial);
    sent_once(parallel(2));
    sent_once(keyed(&order::id));
}

TEST_CASE("outbox: what is sent goes in the handler's order, and a plain send overtakes it") {
    testing::no_frames_left frames;
    world w(any_seed());
    w.app.handle<order>("orders", [&](order o, outbox& out) -> task<> {
        for (int i = 0; i != 20; ++i) {
            CHECK(out.send(w.log, 100 * o.id + i));
            CHECK(out.publish(w.tell, 100 * o.id + i));
            if (i % 7 == 0) co_await yield();
        }
        CHECK(w.log.send(100 * o.id + 99));
    });
    CHECK(w.app.client<order>("orders").send(1));
    CHECK(w.app.client<order>("orders").send(2));
    w.sim.advance(1s);
    std::vector<int> expected, published;
    for (const int id : {1, 2}) {
        expected.push_back(100 * id + 99);
        for (int i = 0; i != 20; ++i) expected.push_back(100 * id + i);
        for (int i = 0; i != 20; ++i) published.push_back(100 * id + i);
    }
    CHECK(w.logged == expected);
    CHECK(w.heard == published);
}

TEST_CASE("outbox: all is sent before the handler's caller goes on") {
    testing::no_frames_left frames;
    world w(any_seed());
    w.app.handle<ask>("ask", [&](ask a, outbox& out) -> task<int> {
        CHECK(out.send(w.log, a.n));
        co_await sleep_for(a.n % 2 * 1ms);
        co_return a.n;
    });
    w.app.run([&]() -> task<> {
        for (const int n : {1, 2}) {
            const auto r = co_await w.app.client<ask>("ask").call(n);
            CHECK(r.has_value());
            CHECK(w.log.send(100 + n));
        }
    });
    w.sim.advance(1ms);
    CHECK(w.logged == std::vector{1, 101, 2, 102});
}

TEST_CASE("outbox: a handler that succeeds has succeeded, also when its caller has given up") {
    testing::no_frames_left frames;
    world w;
    w.app.handle<ask>("ask", [&](ask a, outbox& out) -> task<int> {
        CHECK(out.send(w.log, a.n));
        co_await sleep_soundly(1s);
        co_return a.n;
    });
    w.app.run([&]() -> task<> {
        const auto ask_it = w.app.client<ask>("ask", deadline(1ms));
        const auto r = co_await ask_it.call(1);
        CHECK(outcome(r) == "deadline exceeded, unknown");
        CHECK(w.logged.empty());
        co_await sleep_for(1s);
    });
    CHECK(w.logged == std::vector{1});
}

TEST_CASE("outbox: a handler that is asked to stop, and fails for that, sends nothing") {
    testing::no_frames_left frames;
    world w;
    w.app.handle<ask>("ask", [&](ask a, outbox& out) -> task<result<int>> {
        CHECK(out.send(w.log, a.n));
        auto slept = co_await sleep_for(1s);
        if (!slept) co_return std::move(slept).error();
        co_return a.n;
    });
    w.app.run([&]() -> task<> {
        const auto ask_it = w.app.client<ask>("ask", deadline(1ms));
        const auto r = co_await ask_it.call(1);
        CHECK(outcome(r) == "deadline exceeded, unknown");
        co_await sleep_for(2s);
    });
    CHECK(w.logged.empty());
    CHECK(w.counts("ask").failed == 1);
}

TEST_CASE("outbox: calls go out at once, and a callee's outbox is its own") {
    testing::no_frames_left frames;
    world w;
    w.app.handle<ask>("inner", [&](ask a, outbox& out) {
        CHECK(out.send(w.log, a.n));
        return a.n;
    });
    w.app.handle<order>("outer", [&](order o, outbox& out) -> task<> {
        CHECK(out.send(w.log, 100 + o.id));
        const auto r = co_await w.app.client<ask>("inner").call(o.id);
        CHECK(r.has_value());
        throw std::runtime_error("after all");
    });
    CHECK(w.app.client<order>("outer").send(1));
    w.sim.advance(1s);
    CHECK(w.logged == std::vector{1});
}

TEST_CASE("outbox: a full queue refuses at once, and nothing is held") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const auto full = GENERATE(when_full::reject, when_full::wait);
    std::vector<int> seen;
    event open;
    app.handle<note>("log", serial.capacity(2).full(full), [&](note n) -> task<> {
        static_cast<void>(co_await open.wait());
        seen.push_back(n.n);
    });
    const auto log = app.client<note>("log");
    std::vector<std::string> answers;
    app.handle<order>("orders", [&](order, outbox& out) {
        for (const int n : {1, 2, 3}) answers.push_back(outcome(out.send(log, n)));
    });
    CHECK(app.client<order>("orders").send(1));
    sim.advance(1ms);
    CHECK(answers == std::vector<std::string>{"value", "value", "overloaded, none"});
    open.set();
    sim.advance(1ms);
    CHECK(seen == std::vector{1, 2});
    CHECK(app.counts("log").accepted == 2);
    CHECK(app.counts("log").refused == 1);
    CHECK(app.counts("log").adds_up());
}

TEST_CASE("outbox: what was accepted finds its place, however full the queue is by then") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    event open;
    std::vector<int> seen;
    app.handle<note>("log", serial.capacity(2), [&](note n) -> task<> {
        static_cast<void>(co_await open.wait());
        seen.push_back(n.n);
    });
    const auto log = app.client<note>("log");
    app.handle<order>("orders", [&](order, outbox& out) -> task<> {
        CHECK(out.send(log, 1));
        co_await sleep_for(1ms);
    });
    CHECK(app.client<order>("orders").send(1));
    sim.advance(1us);
    CHECK(app.counts("log").accepted == 0);  // a place is no message
    CHECK(app.counts("log").left == 0);
    CHECK(log.send(2));
    sim.advance(1us);
    CHECK(outcome(log.send(3)) == "value");  // 2 is being handled
    CHECK(outcome(log.send(4)) == "overloaded, none");
    sim.advance(1ms);
    open.set();
    sim.advance(1ms);
    CHECK(seen == std::vector{2, 3, 1});
    CHECK(app.counts("log").adds_up());
}

TEST_CASE("outbox: a handler that fails gives its places to those who wait for room") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<int> seen;
    app.handle<note>("log", serial.capacity(1).full(when_full::wait),
                     [&](note n) { seen.push_back(n.n); });
    const auto log = app.client<note>("log");
    app.handle<order>("orders", [&](order, outbox& out) -> task<> {
        CHECK(out.send(log, 1));
        co_await sleep_for(1ms);
        throw std::runtime_error("no");
    });
    CHECK(app.client<order>("orders").send(1));
    launched<result<void>> waits(sim, [](client<note> c) -> task<result<void>> {
        co_await sleep_for(1us);
        co_return co_await c.send_when_room(2);
    }(log));
    sim.advance(1ms - 1us);
    CHECK_FALSE(waits.done());
    sim.advance(1ms);
    CHECK(outcome(waits.value()) == "value");
    CHECK(seen == std::vector{2});
    CHECK(app.counts("log").accepted == 1);
    CHECK(app.counts("log").adds_up());
}

TEST_CASE("outbox: a handler may wait for room, and sends into the place that it got") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    const bool fails = GENERATE(false, true);
    event open;
    std::vector<int> seen;
    app.handle<note>("log", serial.capacity(1).full(when_full::wait), [&](note n) -> task<> {
        static_cast<void>(co_await open.wait());
        seen.push_back(n.n);
    });
    const auto log = app.client<note>("log");
    bool held = false;
    app.handle<order>("orders", [&](order, outbox& out) -> task<result<void>> {
        auto place = co_await log.reserve();
        REQUIRE(place);
        CHECK(out.send(*place, 3));
        CHECK_FALSE(*place);
        CHECK(outcome(out.send(*place, 4)) == "rejected, none");
        held = true;
        co_await sleep_for(1ms);
        if (fails) co_return failure(code::unavailable);
        co_return {};
    });
    CHECK(log.send(1));
    sim.advance(1us);
    CHECK(log.send(2));
    CHECK(app.client<order>("orders").send(1));
    sim.advance(1ms);
    CHECK_FALSE(held);
    open.set();
    sim.advance(1us);
    CHECK(held);
    CHECK_FALSE(log.send(5));  // the only place is kept
    sim.advance(1ms);
    CHECK(seen == (fails ? std::vector{1, 2} : std::vector{1, 2, 3}));
    CHECK(log.send(6));
    sim.advance(1ms);
    CHECK(app.counts("log").accepted == (fails ? 3 : 4));
    CHECK(app.counts("log").left == 0);
    CHECK(app.counts("log").adds_up());
}

TEST_CASE("outbox: a place in a queue that drops is given back at once, and the message dropped") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    event open;
    std::vector<int> seen;
    app.handle<note>("log", serial.capacity(1).full(when_full::drop_newest), [&](note n) -> task<> {
        static_cast<void>(co_await open.wait());
        seen.push_back(n.n);
    });
    const auto log = app.client<note>("log");
    app.handle<order>("orders", [&](order, outbox& out) -> task<> {
        auto place = co_await log.reserve();
        REQUIRE(place);
        CHECK(out.send(*place, 3));
        CHECK(log.send(1));
        co_await sleep_for(1ms);
        CHECK(log.send(2));
    });
    CHECK(app.client<order>("orders").send(1));
    sim.advance(1s);
    open.set();
    sim.advance(1s);
    CHECK(seen == std::vector{1, 2});
    CHECK(app.counts("log").accepted == 3);
    CHECK(app.counts("log").dropped == 1);
    CHECK(app.counts("log").left == 0);
    CHECK(app.counts("log").adds_up());
}

TEST_CASE("outbox: a queue that drops never refuses, and drops when the message comes") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const auto full = GENERATE(when_full::drop_oldest, when_full::drop_newest);
    event open;
    std::vector<int> seen;
    app.handle<note>("log", serial.capacity(2).full(full), [&](note n) -> task<> {
        static_cast<void>(co_await open.wait());
        seen.push_back(n.n);
    });
    const auto log = app.client<note>("log");
    app.handle<order>("orders", [&](order o, outbox& out) -> task<result<void>> {
        for (const int n : {1, 2, 3}) CHECK(out.send(log, n));
        co_await sleep_for(1ms);
        if (o.id == 1) co_return failure(code::unavailable);
        co_return {};
    });
    CHECK(app.client<order>("orders").send(1));
    CHECK(app.client<order>("orders").send(2));
    sim.advance(1ms);
    CHECK(log.send(8));
    sim.advance(1us);
    CHECK(log.send(9));
    CHECK(app.dead_letters().total() == 1);  // the first order
    sim.advance(1ms);
    open.set();
    sim.advance(1ms);
    CHECK(seen == (full == when_full::drop_oldest ? std::vector{8, 2, 3} : std::vector{8, 9, 1}));
    CHECK(app.counts("log").accepted == 5);
    CHECK(app.counts("log").dropped == 2);
    CHECK(app.counts("log").adds_up());
    CHECK(app.dead_letters().total() == 3);
}

TEST_CASE("outbox: a delivery that is sure begins when the message was accepted") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("log", serial.at_least_once(),
                     [](const note&) { return result<void>(delivery::reject("no")); });
    const auto log = app.client<note>("log");
    app.handle<order>("orders", [&](order, outbox& out) -> task<> {
        CHECK(out.send(log, 1));
        co_await sleep_for(1s);
    });
    sim.advance(1s);
    CHECK(app.client<order>("orders").send(1));
    sim.advance(1min);
    REQUIRE(app.dead_letters().size() == 1);
    app.dead_letters().for_each([](const dead_letter& l) {
        CHECK(l.first_seen() == time_point(1s));
        CHECK(l.since() == time_point(2s));
    });
}

TEST_CASE("outbox: a delay counts from the send, and what is due by the end goes at once") {
    testing::no_frames_left frames;
    world w;
    w.app.handle<order>("orders", [&](order, outbox& out) -> task<> {
        CHECK(out.send_after(w.log, 1ms, 1));
        CHECK(out.send_after(w.log, 3ms, 3));
        CHECK(out.send_after(w.log, 0ms, 0));
        CHECK(out.send_at(w.log, time_point(), 10));
        CHECK(outcome(out.send_after(w.log, duration::max(), 5)) == "rejected, none");
        CHECK(outcome(out.send_after(w.log, forever, 5)) == "rejected, none");
        CHECK(outcome(out.send_at(w.log, never, 5)) == "rejected, none");
        co_await sleep_for(2ms);
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(2ms);
    CHECK(w.logged == std::vector{0, 10, 1});
    w.sim.advance(1ms);
    CHECK(w.logged == std::vector{0, 10, 1, 3});
}

TEST_CASE("outbox: who subscribes before the handler's end hears it, and gets the latest later") {
    testing::no_frames_left frames;
    world w;
    const auto latest = w.app.publisher<placed>("orders.placed", keep_latest);
    w.app.handle<order>("orders", [&](order o, outbox& out) -> task<> {
        CHECK(out.publish(latest, o.id));
        co_await sleep_for(1ms);
        if (o.id == 2) throw std::runtime_error("no");
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(1us);
    std::vector<int> between, after;
    const auto first = w.app.subscribe<placed>(
        "orders.placed", [&](const placed& p) { between.push_back(p.order); });
    w.sim.advance(1ms);
    CHECK(between == std::vector{1});
    CHECK(w.app.client<order>("orders").send(2));
    w.sim.advance(1s);
    const auto second = w.app.subscribe<placed>(topics("orders.placed").latest(),
                                                [&](const placed& p) { after.push_back(p.order); });
    w.sim.advance(1ms);
    CHECK(after == std::vector{1});
}

TEST_CASE("outbox: a subscriber whose queue is full is counted as refused, others hear it") {
    testing::no_frames_left frames;
    event open;
    world w;
    const auto slow = w.app.subscribe<placed>(
        topics("orders.placed").named("slow"), serial.capacity(1),
        [&](const placed&) -> task<> { static_cast<void>(co_await open.wait()); });
    w.app.handle<order>("orders", [&](order, outbox& out) {
        for (int i = 0; i != 3; ++i) CHECK(out.publish(w.tell, i));
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(1ms);
    CHECK(w.heard == std::vector{0, 1, 2});
    CHECK(w.counts("slow").accepted == 1);
    CHECK(w.counts("slow").refused == 2);
    open.set();
}

TEST_CASE("outbox: what cannot be sent is refused at once, and says why") {
    testing::no_frames_left frames;
    struct picky {
        int n;
        explicit picky(int i) : n(i) {
            if (i == 0) throw std::runtime_error("no");
        }
    };
    std::vector<std::string> answers;
    world w;
    w.app.handle<picky>("picky", [](const picky&) {});
    std::optional<client<note>> elsewhere;
    std::optional<publisher<placed>> topic_elsewhere;
    {
        bus other(w.sim);
        elsewhere.emplace(other.client<note>("log"));
        topic_elsewhere.emplace(other.publisher<placed>("orders.placed"));
    }
    w.app.handle<order>("orders", [&](order, outbox& out) {
        const auto nobody = w.app.client<note>("nobody");
        const auto other_type = w.app.client<pay>("log");
        const auto to_picky = w.app.client<picky>("picky");
        answers.push_back(outcome(out.send(nobody, 1)));
        answers.push_back(outcome(out.send_after(nobody, 1s, 1)));
        answers.push_back(outcome(out.send(other_type, 1)));
        answers.push_back(outcome(out.send(*elsewhere, 1)));
        answers.push_back(outcome(out.send_after(*elsewhere, 1s, 1)));
        answers.push_back(outcome(out.publish(*topic_elsewhere, 1)));
        answers.push_back(outcome(out.publish<placed>(w.app, "orders..placed", 1)));
        answers.push_back(outcome(out.publish<placed>(w.app, "orders.*", 1)));
        CHECK(out.publish<placed>(w.app, "a..b", 1).error().message() ==
              "rejected: a name has no empty token: \"a..b\"");
        CHECK(out.send(to_picky, 0).error().message() ==
              "overloaded at picky: no memory for the message");
        answers.push_back(outcome(out.send(to_picky, 0)));
        answers.push_back(outcome(out.send_after(to_picky, 1s, 0)));
        answers.push_back(outcome(out.publish<picky>(w.app, "picky", 0)));
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(1min);
    CHECK(answers == std::vector<std::string>{
                         "no handler, none", "no handler, none", "no handler, none", "closed, none",
                         "closed, none", "closed, none", "rejected, none", "rejected, none",
                         "overloaded, none", "overloaded, none", "overloaded, none"});
    CHECK(w.counts("picky").accepted == 0);
    CHECK(w.counts("orders").handled == 1);
}

TEST_CASE("outbox: a queue that is shut refuses at once, also what has a place there") {
    testing::no_frames_left frames;
    std::vector<std::string> answers;
    world w;
    w.app.handle<order>("orders", [&](order, outbox& out) -> task<> {
        auto place = co_await w.log.reserve();
        REQUIRE(place);
        static_cast<void>(co_await sleep_for(1h));
        answers.push_back(outcome(out.send(w.log, 1)));
        answers.push_back(outcome(out.send(*place, 1)));
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(1ms);
    const auto drained = w.app.drain(1s);
    CHECK_FALSE(drained->in_time);
    CHECK(answers == std::vector<std::string>(2, "closed, none"));
    CHECK(drained->total.adds_up());
    CHECK(w.app.dead_letters().size() == 0);
}

TEST_CASE("outbox: what was due by its handler's end is sent, though the bus drains") {
    testing::no_frames_left frames;
    world w;
    w.app.handle<order>("orders", [&](order, outbox& out) -> task<> {
        CHECK(out.send_after(w.log, 1ms, 1));
        CHECK(out.send_after(w.log, 1h, 2));
        static_cast<void>(co_await sleep_for(5ms));
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(3ms);
    const auto drained = w.app.drain(1s);
    CHECK(drained->in_time);
    CHECK(drained->scheduled == 1);
    CHECK(w.counts("log").handled == 1);
    CHECK(w.app.dead_letters().size() == 1);
    w.app.dead_letters().clear();
}

TEST_CASE("outbox: of a client with several messages one says which") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    struct account_of {
        std::vector<int>& seen;
        void operator()(const pay& p) { seen.push_back(p.order); }
        void operator()(const note& n) { seen.push_back(100 + n.n); }
    };
    std::vector<int> seen;
    app.handle<pay, note>("both", account_of{seen});
    const auto both = app.client<pay, note>("both");
    app.handle<order>("orders", [&](order, outbox& out) {
        const note named{2};
        CHECK(out.send<pay>(both, 1));
        CHECK(out.send(both, named));
        CHECK(out.send_after<note>(both, 1ms, 3));
        CHECK(out.send_at(both, time_point(2ms), pay{4}));
    });
    CHECK(app.client<order>("orders").send(1));
    sim.advance(1s);
    CHECK(seen == std::vector{1, 102, 103, 4});
}

TEST_CASE("outbox: tasks that the handler waits for may use it, at once") {
    testing::no_frames_left frames;
    world w(any_seed());
    const bool fails = GENERATE(false, true);
    w.app.handle<order>("orders", [&](order, outbox& out) -> task<> {
        scope s(co_await this_context);
        for (int i = 0; i != 5; ++i) {
            s.spawn(
                [&w](outbox* o, int n) -> task<> {
                    co_await yield();
                    CHECK(o->send(w.log, n));
                    if (n == 0) CHECK(w.log.send(100));  // this goes at once
                },
                &out, i);
        }
        co_await s.join();
        CHECK(w.counts("log").accepted == 1);
        if (fails) throw std::runtime_error("no");
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(1s);
    CHECK(w.logged.size() == (fails ? 1 : 6));
    CHECK(w.logged.front() == 100);
}

TEST_CASE("outbox: a stream's handler sends when its stream is over") {
    testing::no_frames_left frames;
    world w;
    w.app.handle<counting>("count", [&](counting c, outbox& out) -> stream<int> {
        for (int i = 0; i != c.up_to; ++i) {
            CHECK(out.send(w.log, i));
            co_yield i;
            co_await sleep_for(1ms);
        }
        if (c.up_to == 2) throw std::runtime_error("no");
    });
    w.app.run([&]() -> task<> {
        for (const int up_to : {3, 2}) {
            auto all = co_await w.app.client<counting>("count").call(up_to);
            REQUIRE(all);
            for (int i = 0; i != up_to; ++i) {
                auto one = co_await all->next();
                REQUIRE(one);
                CHECK(w.logged.size() == (up_to == 3 ? 0 : 3));
            }
            static_cast<void>(co_await all->next());
            co_await sleep_for(1ms);
            CHECK(w.logged == std::vector{0, 1, 2});
        }
    });
}

TEST_CASE("outbox: a subscriber's handler may have one") {
    testing::no_frames_left frames;
    world w;
    int attempts = 0;
    const auto s = w.app.subscribe<placed>("orders.placed", serial.at_least_once(),
                                           [&](const placed& p, outbox& out) {
                                               CHECK(out.send(w.log, p.order));
                                               if (++attempts < 3) throw std::runtime_error("no");
                                           });
    CHECK(w.tell.publish(1));
    w.sim.advance(1min);
    CHECK(attempts == 3);
    CHECK(w.logged == std::vector{1});
}

TEST_CASE("outbox: with dedup what comes again sends nothing again") {
    testing::no_frames_left frames;
    world w;
    const auto handler = [&](const order& o, outbox& out) { CHECK(out.send(w.log, o.id)); };
    w.app.handle<order>("orders", dedup(1min, &order::id)(handler));
    const auto coroutine = [&](order o, outbox& out) -> task<> {
        CHECK(out.send(w.log, 100 + o.id));
        co_await yield();
    };
    w.app.handle<order>("tasks", parallel(3), dedup(1min, &order::id)(coroutine));
    for (const int id : {1, 1, 2, 1, 2}) {
        CHECK(w.app.client<order>("orders").send(id));
        CHECK(w.app.client<order>("tasks").send(id));
    }
    w.sim.advance(1s);
    std::sort(w.logged.begin(), w.logged.end());
    CHECK(w.logged == std::vector{1, 2, 101, 102});
}

TEST_CASE("outbox: a drain waits for what it holds, and for what comes of that") {
    testing::no_frames_left frames;
    world w(any_seed());
    w.app.handle<order>("orders", [&](order o, outbox& out) -> task<> {
        CHECK(out.send(w.log, o.id));
        CHECK(out.publish(w.tell, o.id));
        co_await sleep_for(1ms);
        CHECK(out.send(w.log, 100 + o.id));  // it runs on the bus, so it may
    });
    CHECK(w.app.client<order>("orders").send(1));
    const auto all = w.app.drain(1s);
    REQUIRE(all);
    CHECK(all->in_time);
    CHECK(w.logged == std::vector{1, 101});
    CHECK(w.heard == std::vector{1});
    CHECK(all->total.accepted == 4);
    CHECK(all->total.handled == 4);
}

TEST_CASE("outbox: what finds its queue shut is a dead letter, and the account says so") {
    testing::no_frames_left frames;
    world w(any_seed());
    w.app.handle<order>("orders", [&](order o, outbox& out) -> task<> {
        CHECK(out.send(w.log, o.id));
        co_await sleep_soundly(1s + 10ms);
    });
    CHECK(w.app.client<order>("orders").send(1));
    w.sim.advance(1us);
    const auto all = w.app.drain(1s);  // which shuts them before the handler has ended
    REQUIRE(all);
    CHECK_FALSE(all->in_time);
    CHECK(w.logged.empty());
    CHECK(w.counts("orders").handled == 1);
    CHECK(w.counts("log").accepted == 0);
    CHECK(w.counts("log").refused == 1);
    CHECK(w.counts("log").left == 0);
    REQUIRE(w.app.dead_letters().size() == 1);
    w.app.dead_letters().for_each([](const dead_letter& l) {
        CHECK(l.endpoint() == "log");
        CHECK(l.reason().code() == code::closed);
        CHECK(l.reason().effect() == effect::none);
        REQUIRE(l.get<note>());
        CHECK(l.get<note>()->n == 1);
    });
}

TEST_CASE("outbox: what was to be sent later, and the bus drains: refused, or a dead letter") {
    testing::no_frames_left frames;
    world w;
    std::string meanwhile;
    w.app.handle<order>("orders", [&](order o, outbox& out) -> task<> {
        CHECK(out.send_after(w.log, 1min, o.id));
        co_await sleep_for(1ms);
        meanwhile = outcome(out.send_after(w.log, 1min, o.id));
    });
    CHECK(w.app.client<order>("orders").send(7));
    w.sim.advance(1us);
    const auto all = w.app.drain(1s);
    REQUIRE(all);
    CHECK(all->in_time);
    CHECK(all->scheduled == 1);
    CHECK(meanwhile == "closed, none");
    REQUIRE(w.app.dead_letters().size() == 1);
    w.app.dead_letters().for_each([](const dead_letter& l) {
        CHECK(l.endpoint() == "log");
        CHECK(l.reason().code() == code::closed);
        CHECK(l.get<note>()->n == 7);
    });
}

TEST_CASE("outbox: a bus that dies destroys what stands still, and what that held") {
    testing::no_frames_left frames;
    const auto counted = std::make_shared<int>(0);
    struct held {
        std::shared_ptr<int> p;
    };
    {
        simulation sim;
        bus app(sim);
        app.handle<held>("held", [](const held&) { FAIL("it was never sent"); });
        app.handle<order>("orders", [&](order, outbox& out) -> task<> {
            CHECK(out.send(app.client<held>("held"), counted));
            CHECK(out.send_after(app.client<held>("held"), 1h, counted));
            CHECK(out.publish(app.publisher<held>("held"), counted));
            CHECK(out.publish<held>(app, "held", counted));
            CHECK(counted.use_count() == 5);
            co_await testing::stand_still();
        });
        CHECK(app.client<order>("orders").send(1));
        sim.advance(1ms);
    }
    CHECK(counted.use_count() == 1);
}

TEST_CASE("outbox: another bus may go meanwhile, with what was for it") {
    testing::no_frames_left frames;
    const auto counted = std::make_shared<int>(0);
    struct held {
        std::shared_ptr<int> p;
        std::optional<client<note>> and_client;  // of the bus that it is for
    };
    simulation sim;
    bus app(sim);
    auto world_of_other = std::make_unique<simulation>();
    auto other = std::make_unique<bus>(*world_of_other);
    std::vector<std::string> answers;
    int came = 0;
    other->handle<held>("held", [&](const held&) { ++came; });
    other->subscribe<held>("held", [&](const held&) { ++came; }).keep();
    app.handle<order>("orders", [&](order, outbox& out) -> task<> {
        const auto back = other->client<note>("log");
        CHECK(out.send(other->client<held>("held"), counted, back));
        CHECK(out.send_after(other->client<held>("held"), 1h, counted, back));
        CHECK(out.publish(other->publisher<held>("held", keep_latest), counted, back));
        CHECK(out.publish<held>(*other, "held", counted, back));
        const auto notes = other->client<note>("log");
        auto place = co_await notes.reserve();
        auto another = co_await notes.reserve();
        CHECK(place);
        CHECK(another);
        static_cast<void>(co_await sleep_for(1ms));
        answers.push_back(outcome(out.send(notes, 1)));
        answers.push_back(outcome(out.send_after(notes, 1h, 1)));
        answers.push_back(outcome(out.send(*place, 1)));
        answers.push_back(outcome(another->send(1)));
        CHECK_FALSE(*place);
        CHECK_FALSE(*another);
    });
    other->handle<note>("log", serial.at_least_once(), [](const note&) {});
    CHECK(app.client<order>("orders").send(1));
    sim.advance(1us);
    CHECK(counted.use_count() == 5);
    other.reset();
    world_of_other.reset();
    sim.advance(1s);
    CHECK(app.counts("orders").handled == 1);
    CHECK(came == 0);
    CHECK(answers == std::vector<std::string>(4, "closed, none"));
    CHECK(counted.use_count() == 1);
}
