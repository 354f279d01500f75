// What is answered at once is as what goes through the queue: contract 1, 2, 4, 6 and 9.
#include <posthaste/serve/direct_call.hpp>

#include "../support/conversation.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct ask {
    using reply = int;
    int n;
};
struct again {  // may be called so
    using reply = int;
    static constexpr bool idempotent = true;
    int n;
};
struct note {
    int n;
};
struct parcel {
    using reply = std::unique_ptr<int>;
    std::unique_ptr<int> what;
};
struct large {
    using reply = std::size_t;
    std::array<char, 1024> bytes;
};
static_assert(sizeof(call_operation<large>) < sizeof(large), "no part of its caller's frame");
struct moody {  // throws when it is made of 0
    using reply = int;
    int n;
    explicit moody(int i) : n(i) {
        if (i == 0) throw std::invalid_argument("0");
    }
};

constexpr int by_plain(ask a) { return a.n; }

template <typename M, typename... Args>
auto call(bus& app, const char* name, Args... args) {
    return app.run([&]() -> task<result<reply_t<M>>> {
        co_return co_await app.client<M>(name).call(std::move(args)...);
    });
}

template <typename H, typename M>
bool at_once(H h) {
    const detail::handler_of<H, M> made(std::move(h));
    return static_cast<const handler&>(made).entries()->at_once != nullptr;
}

}  // namespace

TEST_CASE("direct_call: at once is for handlers that take nothing but a message of their own") {
    CHECK(at_once<decltype(&by_plain), ask>(&by_plain));
    CHECK(at_once<int (*)(const ask&), ask>([](const ask& a) { return a.n; }));
    CHECK(at_once<result<int> (*)(ask), ask>([](ask) -> result<int> { return 1; }));
    CHECK(at_once<void (*)(note), note>([](note) {}));
    CHECK_FALSE(at_once<int (*)(ask, context&), ask>([](ask a, context&) { return a.n; }));
    CHECK_FALSE(at_once<int (*)(ask, outbox&), ask>([](ask a, outbox&) { return a.n; }));
    CHECK_FALSE(at_once<task<int> (*)(ask), ask>([](ask a) -> task<int> { co_return a.n; }));
}

TEST_CASE("direct_call: whatever the message and the reply are") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<ask>("plain", by_plain);
    app.handle<note>("note", [](note) {});
    app.handle<parcel>("parcel", [](parcel p) { return std::move(p.what); });
    app.handle<large>("large", [](const large& l) { return l.bytes.size(); });
    app.handle<moody>("moody", [](moody m) { return m.n; });
    CHECK(*call<ask>(app, "plain", 7) == 7);
    CHECK(call<note>(app, "note", 7));
    CHECK(**call<parcel>(app, "parcel", std::make_unique<int>(7)) == 7);
    CHECK(*call<large>(app, "large", std::array<char, 1024>{}) == 1024);
    CHECK(*call<moody>(app, "moody", 7) == 7);
    CHECK(outcome(call<moody>(app, "moody", 0)) == "overloaded, none");
    CHECK(app.counts("moody").accepted == 1);
}

TEST_CASE("direct_call: a failure has the path, and says that the handler ran") {
    simulation sim;
    bus app(sim);
    app.handle<ask>("refuses",
                    [](ask) -> result<int> { return failure(code::rejected, effect::none, "no"); });
    app.handle<ask>("unsure",
                    [](ask) -> result<int> { return failure(code::unavailable, effect::unknown); });
    app.handle<ask>("throws", [](ask) -> int { throw std::out_of_range("no such"); });

    auto refused = call<ask>(app, "refuses", 1);
    CHECK(outcome(refused) == "rejected, complete");
    CHECK(refused.error().message() == "rejected at refuses: no");
    CHECK(outcome(call<ask>(app, "unsure", 1)) == "unavailable, unknown");
    auto thrown = call<ask>(app, "throws", 1);
    CHECK(outcome(thrown) == "handler failed, complete");
    CHECK(thrown.error().message() == "handler failed at throws: no such");
    CHECK_THROWS_AS(std::move(thrown).or_throw(), std::out_of_range);
    CHECK(app.counts("throws").failed == 1);
    CHECK(app.counts("throws").accepted == 1);
}

TEST_CASE("direct_call: a failure on a pool is the same") {
    bus_options one;
    one.threads = 1;
    bus app(one);
    app.handle<ask>("throws", [](ask) -> int { throw std::out_of_range("no such"); });
    auto thrown = call<ask>(app, "throws", 1);
    CHECK(outcome(thrown) == "handler failed, complete");
    CHECK(thrown.error().message() == "handler failed at throws: no such");
    CHECK(app.counts("throws").failed == 1);
}

TEST_CASE("direct_call: a handler that can stand still ends the same whether it did or not") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const bool waits = GENERATE(false, true);
    const auto pause = [waits]() -> task<> {
        if (waits) static_cast<void>(co_await sleep_for(1ms));
    };
    app.handle<ask>("value", [&](ask a) -> task<int> {
        co_await pause();
        co_return a.n;
    });
    app.handle<note>("note", [&](note) -> task<> { co_await pause(); });
    app.handle<parcel>("parcel", [&](parcel p) -> task<std::unique_ptr<int>> {
        co_await pause();
        co_return std::move(p.what);
    });
    app.handle<large>("large", [&](const large& l) -> task<std::size_t> {
        co_await pause();
        co_return l.bytes.size();
    });
    app.handle<ask>("refuses", [&](ask) -> task<result<int>> {
        co_await pause();
        co_return failure(code::rejected, effect::none, "no");
    });
    app.handle<ask>("throws", [&](ask) -> task<int> {
        co_await pause();
        throw std::out_of_range("no such");
    });
    app.handle<ask>("no_task", [&](ask) { return task<int>(); });
    app.handle<ask>("throws_first", [&](ask) -> task<int> { throw std::out_of_range("no task"); });
    app.handle<ask>("with_context",
                    [&](ask a, context& c) { return a.n + static_cast<int>(c.attempt()); });
    for (int i = 0; i != 2; ++i) {
        CHECK(*call<ask>(app, "value", 7) == 7);
        CHECK(call<note>(app, "note", 7));
        CHECK(**call<parcel>(app, "parcel", std::make_unique<int>(7)) == 7);
        CHECK(*call<large>(app, "large", std::array<char, 1024>{}) == 1024);
        auto refused = call<ask>(app, "refuses", 1);
        CHECK(outcome(refused) == "rejected, complete");
        CHECK(refused.error().message() == "rejected at refuses: no");
        auto thrown = call<ask>(app, "throws", 1);
        CHECK(thrown.error().message() == "handler failed at throws: no such");
        CHECK_THROWS_AS(std::move(thrown).or_throw(), std::out_of_range);
        CHECK(outcome(call<ask>(app, "no_task", 1)) == "no reply, complete");
        auto at_first = call<ask>(app, "throws_first", 1);
        CHECK(at_first.error().message() == "handler failed at throws_first: no task");
        CHECK(*call<ask>(app, "with_context", 7) == 8);
    }
    for (const char* name : {"value", "note", "parcel", "large", "with_context"}) {
        CHECK(app.counts(name).accepted == 2);
        CHECK(app.counts(name).handled == 2);
    }
    for (const char* name : {"refuses", "throws", "no_task", "throws_first"}) {
        CHECK(app.counts(name).accepted == 2);
        CHECK(app.counts(name).failed == 2);
        CHECK(app.counts(name).left == 0);
    }
}

TEST_CASE("direct_call: what fails at once is known by the same when it is called again") {
    simulation sim;
    bus app(sim);
    std::vector<message_id> known;
    app.handle<again>("late", [&](again a, context& c) -> task<result<int>> {
        known.push_back(c.message_id());
        if (known.size() < 3) co_return failure(code::unavailable, effect::none);
        co_return a.n;
    });
    const auto to = app.client<again>("late", retry());
    CHECK(*app.run([&]() -> task<result<int>> { co_return co_await to.call(7); }) == 7);
    REQUIRE(known.size() == 3);
    CHECK(known[0]);
    CHECK(known[1] == known[0]);
    CHECK(known[2] == known[0]);
}

TEST_CASE(
    "direct_call: a handler is asked to stop at the end of the grace though it began at once") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    bool asked = false;
    app.handle<ask>("waits", [&](ask a, context& c) -> task<int> {
        const auto slept = co_await sleep_for(1h);
        asked = !slept && c.stop_requested();
        co_return a.n;
    });
    launched caller(sim, [](bus& b) -> task<result<int>> {
        co_return co_await b.client<ask>("waits", deadline(forever)).call(1);
    }(app));
    sim.advance(1ms);
    CHECK(app.counts("waits").left == 1);
    static_cast<void>(app.drain(10ms));
    sim.advance(1s);
    CHECK(asked);
    CHECK(caller.done());
    CHECK(app.counts("waits").left == 0);
}

TEST_CASE("direct_call: counted as any other, and under way while the handler runs") {
    simulation sim;
    bus app(sim);
    account within;
    const auto mode = GENERATE(0, 1);
    const auto handler = [&](ask a) {
        within = app.counts("plain");
        return a.n;
    };
    if (mode == 0) app.handle<ask>("plain", handler);
    else app.handle<ask>("plain", parallel(2), handler);
    CHECK(*call<ask>(app, "plain", 7) == 7);
    CHECK(within.accepted == 1);
    CHECK(within.left == 1);
    CHECK(within.handled == 0);
    const account after = app.counts("plain");
    CHECK(after.accepted == 1);
    CHECK(after.left == 0);
    CHECK(after.handled == 1);
}

TEST_CASE("direct_call: what its handler sends to its own endpoint is handled next") {
    simulation sim;
    bus app(sim);
    std::vector<int> seen;
    const auto mode = GENERATE(0, 1, 2);
    const auto handler = [&](ask a) {
        seen.push_back(a.n);
        if (a.n < 3) CHECK(app.client<ask>("plain").send(a.n + 1));
        return a.n;
    };
    if (mode == 0) app.handle<ask>("plain", handler);
    if (mode == 1) app.handle<ask>("plain", serial.full(when_full::drop_oldest), handler);
    if (mode == 2) app.handle<ask>("plain", parallel(1), handler);
    CHECK(*call<ask>(app, "plain", 1) == 1);
    sim.advance(1s);
    CHECK(seen == std::vector{1, 2, 3});
    CHECK(app.counts("plain").handled == 3);
}

TEST_CASE("direct_call: not before what was sent before") {
    simulation sim;
    bus app(sim);
    std::vector<int> seen;
    app.handle<ask>("plain", [&](ask a) { return seen.push_back(a.n), a.n; });
    const auto to = app.client<ask>("plain");
    app.run([&]() -> task<> {
        static_cast<void>(to.send(1));
        const auto answer = co_await to.call(2);
        CHECK(*answer == 2);
    });
    CHECK(seen == std::vector{1, 2});
}

TEST_CASE("direct_call: neither when it is too late nor when the caller is asked to stop") {
    simulation sim;
    bus app(sim);
    int handled = 0;
    app.handle<ask>("plain", [&](ask a) { return ++handled, a.n; });

    const auto no_time = app.client<ask>("plain", deadline(0ms));
    CHECK(outcome(app.run([&]() -> task<result<int>> { co_return co_await no_time.call(1); })) ==
          "deadline exceeded, none");

    app.handle<ask>("late", [&](ask a) -> task<result<int>> {
        co_await testing::sleep_soundly(20ms);
        co_return co_await app.client<ask>("plain").call(a.n);
    });
    const auto late = app.client<ask>("late", deadline(10ms));
    CHECK(outcome(app.run([&]() -> task<result<int>> { co_return co_await late.call(1); })) ==
          "deadline exceeded, unknown");
    sim.advance(1s);

    launched stopped(sim, [](bus& b) -> task<result<int>> {
        co_await testing::sleep_soundly(10ms);
        co_return co_await b.client<ask>("plain").call(1);
    }(app));
    sim.advance(1ms);
    stopped.stop();
    sim.advance(1s);
    CHECK(outcome(stopped.value()) == "cancelled, none");
    CHECK(handled == 0);
}

TEST_CASE("direct_call: may be moved, and dropped, before it is begun") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int handled = 0;
    app.handle<parcel>("parcel", [&](parcel p) { return ++handled, std::move(p.what); });
    app.handle<large>("large", [&](large l) { return ++handled, l.bytes.size(); });
    const auto parcels = app.client<parcel>("parcel");
    const auto larges = app.client<large>("large");
    app.run([&]() -> task<> {
        auto dropped = parcels.call(std::make_unique<int>(1));
        auto dropped_too = larges.call(std::array<char, 1024>{});
        auto first = parcels.call(std::make_unique<int>(2));
        auto moved = std::move(first);
        const auto two = co_await moved;
        CHECK(**two == 2);
        auto one = larges.call(std::array<char, 1024>{});
        auto other = std::move(one);
        const auto size = co_await other;
        CHECK(*size == 1024);
    });
    CHECK(handled == 2);
}

TEST_CASE("direct_call: to another executor's endpoint it goes through the queue") {
    run_loop loop;
    thread_pool pool(1);
    bus app(pool);
    std::thread::id by;
    app.handle<ask>("plain", [&](ask a) { return by = std::this_thread::get_id(), a.n; });
    const auto to = app.client<ask>("plain");
    const auto r = sync_wait(
        loop, [](client<ask> c) -> task<result<int>> { co_return co_await c.call(7); }(to));
    CHECK(*r == 7);
    CHECK(by != std::this_thread::get_id());
}

TEST_CASE(
    "direct_call: a handler that blocks its thread keeps neither its caller nor what it holds") {
    testing::no_frames_left frames;
    bus_options two;
    two.threads = 2;
    std::atomic<bool> go_on = false;
    const auto mode = GENERATE(0, 1);
    const bool guarded = GENERATE(false, true);
    {
        bus app(two);
        const auto handler = [&](parcel p) {
            while (!go_on.load()) std::this_thread::yield();
            return std::move(p.what);
        };
        if (mode == 0) app.handle<parcel>("plain", handler);
        else app.handle<parcel>("plain", parallel(2), handler);
        const auto few = limit(1);
        const auto to = guarded ? app.client<parcel>("plain", deadline(20ms) | few)
                                : app.client<parcel>("plain", deadline(20ms));
        auto r = app.run([&]() -> task<result<std::unique_ptr<int>>> {
            co_return co_await to.call(std::make_unique<int>(7));
        });
        CHECK(outcome(r) == "deadline exceeded, unknown");
        CHECK(r.error().message() == "deadline exceeded at plain: the handler was running");
        CHECK(few.in_flight() == 0);
        CHECK(app.counts("plain").late == 0);
        go_on = true;
        const auto all = app.drain(5s);
        REQUIRE(all);
        CHECK(all->total.late == 1);
        CHECK(all->total.late_by > 0ms);
        CHECK(all->total.handled == 1);
    }
}
