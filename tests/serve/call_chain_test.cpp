#include <posthaste/serve/call_chain.hpp>

#include "../support/conversation.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;
using posthaste::testing::sleep_soundly;

namespace {

struct ask {
    using reply = int;
    int n;
};
struct other_ask {
    using reply = int;
    int n;
};

std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

task<result<int>> call(client<ask> c, int n) { co_return co_await c.call(n); }

/// Passes each call on to `next`, after a while; the last of them, where n is 0, answers.
template <typename Mode>
void pass_on(bus& app, const char* name, const Mode& mode, const char* next, duration after = {}) {
    app.handle<ask>(name, mode, [c = app.client<ask>(next), after](ask a) -> task<result<int>> {
        if (a.n == 0) co_return 0;
        if (after > duration::zero()) co_await sleep_for(after);
        co_return co_await c.call(a.n - 1);
    });
}
void pass_on(bus& app, const char* name, const char* next, duration after = {}) {
    pass_on(app, name, serial, next, after);
}

}  // namespace

TEST_CASE("call_chain: keeps all links in order, however many, and those of one bus apart") {
    struct alignas(64) stand_in {
        char nothing;
    };
    std::array<stand_in, 64> stands_for{};
    const auto lane_at = [&](std::size_t i) { return reinterpret_cast<lane*>(&stands_for[i]); };
    const auto endpoint_at = [&](std::size_t i) {
        return reinterpret_cast<endpoint_core*>(&stands_for[i % 3]);
    };
    const int bus_a = 0, bus_b = 0;
    std::array<call_chain, 10> chains;
    CHECK(chains[0].empty());
    for (std::size_t i = 0; i != chains.size(); ++i) {
        chains[i].follow(i ? &chains[i - 1] : nullptr, {lane_at(i), endpoint_at(i)}, &bus_a);
        REQUIRE(std::size_t(chains[i].end() - chains[i].begin()) == i + 1);
        for (std::size_t k = 0; k <= i; ++k) CHECK(chains[i].begin()[k].by == lane_at(k));
        CHECK(chains[i].has(*lane_at(i)));
        CHECK_FALSE(chains[i].has(*lane_at(i + 1)));
        CHECK(chains[i].within(&bus_a));
        CHECK_FALSE(chains[i].within(&bus_b));
    }
    CHECK(chains[9].count(*endpoint_at(0)) == 4);
    call_chain across, on;
    across.follow(&chains[1], {lane_at(20), endpoint_at(0)}, &bus_b);
    on.follow(&across, {lane_at(21), endpoint_at(0)}, &bus_b);
    CHECK(across.end() - across.begin() == 3);
    for (const call_chain* c : {&across, &on}) {
        CHECK_FALSE(c->within(&bus_a));
        CHECK_FALSE(c->within(&bus_b));
    }
}

TEST_CASE("call_chain: an endpoint that calls itself is refused at once") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    pass_on(app, "A", "A", GENERATE(as<duration>(), 0ms, 1ms));
    const auto r = app.run([&] { return call(app.client<ask>("A", deadline(forever)), 1); });
    CHECK(outcome(r) == "would deadlock, complete");  // to the outer caller: A has run
    CHECK(r.error().path() == "A -> A");
    CHECK(r.error().detail() == "it would wait for itself: A -> A");
    CHECK(sim.elapsed() <= 1ms);
    const account a = app.counts("A");
    CHECK(a.accepted == 1);
    CHECK(a.failed == 1);
    CHECK(a.refused == 1);
    CHECK(a.adds_up());
}

TEST_CASE("call_chain: the refusal's effect is none, and says the way round") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::optional<failure> heard;
    app.handle<ask>("A", [c = app.client<ask>("B")](ask a) -> task<result<int>> {
        co_return co_await c.call(a.n);
    });
    app.handle<ask>("B", [&, c = app.client<ask>("A")](ask a) -> task<int> {
        auto r = co_await c.call(a.n);
        REQUIRE_FALSE(r);
        heard = r.error();
        co_return 7;  // it can do without
    });
    pass_on(app, "root", "A");
    const auto r = app.run([&] { return call(app.client<ask>("root", deadline(forever)), 1); });
    CHECK(*r == 7);
    REQUIRE(heard);
    CHECK(heard->code() == code::would_deadlock);
    CHECK(heard->effect() == effect::none);
    CHECK(heard->message() == "would deadlock at A: it would wait for itself: A -> B -> A");
    CHECK(sim.elapsed() == 0s);
}

TEST_CASE("call_chain: circles of any length, also where each handler has stood still before") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    const int length = GENERATE(2, 3, 4, 5, 9);
    const duration after = GENERATE(as<duration>(), 0ms, 1ms);
    std::string way = "0";
    for (int i = 0; i != length; ++i) {
        const std::string next = std::to_string((i + 1) % length);
        pass_on(app, std::to_string(i).c_str(), next.c_str(), after);
        way += " -> " + next;
    }
    const auto r = app.run([&] { return call(app.client<ask>("0", deadline(forever)), 100); });
    CHECK(outcome(r) == "would deadlock, complete");
    CHECK(r.error().path() == way);
    CHECK(r.error().detail() == "it would wait for itself: " + way);
    CHECK(sim.elapsed() == length * after);
}

TEST_CASE("call_chain: it starts anew with a message that was sent") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::optional<failure> heard;
    int calls = 0;
    app.handle<ask>("A", [&, b = app.client<ask>("B")](ask a) -> task<int> {
        ++calls;
        if (a.n == 1) b.send(1);  // not waited for: B may call A
        co_return 0;
    });
    app.handle<ask>("B",
                    [&, a = app.client<ask>("A"), self = app.client<ask>("B")](ask) -> task<int> {
                        const auto ok = co_await a.call(2);
                        CHECK(ok);
                        auto r = co_await self.call(3);
                        if (!r) heard = r.error();
                        co_return 0;
                    });
    CHECK(app.run([&] { return call(app.client<ask>("A"), 1); }));
    CHECK(app.drain(1s)->total.adds_up());
    CHECK(calls == 2);
    REQUIRE(heard);
    CHECK(heard->detail() == "it would wait for itself: B -> B");
}

TEST_CASE("call_chain: also through a scope, through gather, and through tasks") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    const int through = GENERATE(0, 1, 2);
    std::vector<failure> heard;
    app.handle<ask>("A", [&, c = app.client<ask>("B", deadline(forever))](ask) -> task<int> {
        const auto inner = [](client<ask> b) -> task<> {
            const auto ok = co_await b.call(1);
            CHECK(ok);
        };
        if (through == 0) {
            scope s(co_await this_context);
            s.spawn(inner, c);
            s.spawn(inner, c);
            co_await s.join();
        } else if (through == 1) {
            auto both = co_await gather(c.call(1), c.call(1));
            CHECK(std::get<0>(both));
            CHECK(std::get<1>(both));
        } else {
            co_await inner(c);
            co_await inner(c);
        }
        co_return 0;
    });
    app.handle<ask>("B", [&, c = app.client<ask>("A", deadline(forever))](ask) -> task<int> {
        co_await sleep_for(1ms);
        auto r = co_await c.call(1);
        if (!r) heard.push_back(r.error());
        co_return 0;
    });
    CHECK(app.run([&] { return call(app.client<ask>("A", deadline(forever)), 1); }));
    REQUIRE(heard.size() == 2);
    for (const failure& f : heard) CHECK(f.detail() == "it would wait for itself: A -> B -> A");
    CHECK(sim.elapsed() == 2ms);
}

TEST_CASE("call_chain: a parallel endpoint is held when all its lanes wait") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    pass_on(app, "three", parallel(3), "three");
    const auto c = app.client<ask>("three", deadline(forever));
    CHECK(app.run([&] { return call(c, 2); }));  // 3 lanes
    const auto r = app.run([&] { return call(c, 3); });
    CHECK(outcome(r) == "would deadlock, complete");
    CHECK(r.error().detail() == "it would wait for itself: three -> three -> three -> three");
}

TEST_CASE("call_chain: of a keyed endpoint only the same key's handler is waited for") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::optional<failure> heard;
    app.handle<ask>("keys", keyed([](const ask& a) { return a.n % 2; }),
                    [&, c = app.client<ask>("keys", deadline(forever))](ask a) -> task<int> {
                        if (a.n == 0) co_return 0;
                        co_await sleep_for(1ms);
                        auto r = co_await c.call(a.n == 3 ? 1 : a.n - 1);
                        if (!r) heard = r.error();
                        co_return 1;
                    });
    const auto c = app.client<ask>("keys", deadline(forever));
    CHECK(app.run([&] { return call(c, 1); }));  // 1 -> 0: another key
    CHECK_FALSE(heard);
    CHECK(app.run([&] { return call(c, 3); }));  // 3 -> 1: the same
    REQUIRE(heard);
    CHECK(heard->code() == code::would_deadlock);
    CHECK(heard->effect() == effect::none);
    CHECK(heard->detail() == "it would wait for itself: keys -> keys");
    CHECK(sim.elapsed() == 2ms);
    const account a = app.counts("keys");
    CHECK(a.accepted == 4);
    CHECK(a.handled == 3);
    CHECK(a.dropped == 1);
    CHECK(a.adds_up());
}

TEST_CASE("call_chain: a handler whose caller has given up is no part of it") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::optional<result<int>> heard;
    app.handle<ask>("A", [&, b = app.client<ask>("B", deadline(1ms))](ask a) -> task<int> {
        if (a.n == 1) {
            const auto r = co_await b.call(1);
            CHECK(outcome(r) == "deadline exceeded, unknown");
        }
        if (a.n == 2) co_await sleep_for(10ms);
        co_return a.n;
    });
    app.handle<ask>("B", [&, a = app.client<ask>("A")](ask) -> task<int> {
        co_await sleep_soundly(5ms);
        auto r = co_await a.call(3);
        heard = std::move(r);
        co_return 0;
    });
    const auto a = app.client<ask>("A");
    launched<result<int>> first(sim, call(a, 1));
    launched<result<int>> second(sim, call(a, 2));
    sim.drive_ready();
    sim.advance(1s);
    CHECK(first.value());
    CHECK(second.value());
    REQUIRE(heard);
    CHECK(outcome(*heard) == "cancelled, none");  // it was asked to stop, and A is busy again
}

TEST_CASE("call_chain: by way of another bus it says where it starts and ends") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus one(sim), two(sim);
    pass_on(two, "far", "unused");
    one.handle<ask>("near", [c = two.client<ask>("far")](ask a) -> task<result<int>> {
        co_return co_await c.call(a.n);
    });
    two.handle<other_ask>("back", [c = one.client<ask>("near")](other_ask a) -> task<result<int>> {
        co_return co_await c.call(a.n);
    });
    two.handle<ask>("unused", [c = two.client<other_ask>("back")](ask a) -> task<result<int>> {
        co_return co_await c.call(a.n);
    });
    const auto r = one.run([&] { return call(one.client<ask>("near", deadline(forever)), 2); });
    CHECK(outcome(r) == "would deadlock, complete");
    CHECK(r.error().detail() == "it would wait for itself: near -> ... -> near");
}

TEST_CASE("call_chain: who waits for room that only itself can make is refused") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<std::string> heard;
    app.handle<ask>("A", serial.capacity(1).full(when_full::wait),
                    [&, c = app.client<ask>("A", deadline(forever))](ask a) -> task<int> {
                        if (a.n != 1) co_return 0;
                        for (int i = 0; i != 2; ++i) {
                            auto r = co_await c.send_when_room(0);
                            heard.push_back(r ? "accepted" : r.error().message());
                        }
                        co_return 1;
                    });
    CHECK(app.run([&] { return call(app.client<ask>("A", deadline(forever)), 1); }));
    CHECK(heard == std::vector<std::string>{
                       "accepted", "would deadlock at A: it would wait for itself: A -> A"});
    CHECK(app.drain(1s)->total.adds_up());
    CHECK(app.counts("A").handled == 2);
    CHECK(app.counts("A").refused == 1);
}
