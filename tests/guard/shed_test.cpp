#include <posthaste/guard/shed.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
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

task<result<int>> call(client<ask> c, int n) { co_return co_await c.call(n); }

/// Callers that come in even steps, to an endpoint whose handlers take 8 ms each.
struct load {
    simulation sim;
    bus app{sim};
    int answered = 0, refused = 0, late = 0;
    duration longest{};
    explicit load(std::uint64_t seed) : sim(seed) {
        app.handle<ask>("work", parallel(8), [](ask a) -> task<int> {
            co_await sleep_soundly(8ms);
            co_return a.n;
        });
    }
    task<> caller(client<ask> c) {
        const time_point began = sim.now();
        const auto r = co_await c.call(1);
        longest = std::max(longest, sim.now() - began);
        if (r) ++answered;
        else if (r.error().code() == code::overloaded) ++refused;
        else ++late;
    }
    void run(const client<ask>& c, duration between, duration whole) {
        std::vector<std::unique_ptr<launched<void>>> callers;
        for (duration d{}; d < whole; d += between) {
            callers.push_back(std::make_unique<launched<void>>(sim, caller(c)));
            sim.advance(between);
        }
        sim.advance(1s);
    }
};

std::string refusal_of(const std::function<void()>& construct) {
    try {
        construct();
    } catch (const failed& f) {
        CHECK(f.why().code() == code::rejected);
        return std::string(f.why().detail());
    }
    return "";
}

}  // namespace

TEST_CASE("shed: at five times what they can do, handlers work for callers who still wait") {
    testing::no_frames_left frames;
    load with(static_cast<std::uint64_t>(GENERATE(range(1, 4))));
    const shed by;
    // 1,000 a second can be done, 5,000 come, for 2 s
    with.run(with.app.client<ask>("work", deadline(60ms) | by), 200us, 2s);
    CHECK(with.answered >= 1800);
    CHECK(with.refused >= 7000);
    CHECK(with.late <= 200);  // before it is overloaded, and the first of each interval
    CHECK(with.refused == static_cast<int>(by.refused()));
    const account a = with.app.counts("work");
    CHECK(a.adds_up());
    CHECK(a.handled == static_cast<std::uint64_t>(with.answered) + a.late);
    CHECK(a.left == 0);
}

TEST_CASE("shed: without it the queue grows until nobody is answered in time") {
    testing::no_frames_left frames;
    load without(1);
    without.run(without.app.client<ask>("work", deadline(60ms)), 200us, 2s);
    load with(1);
    with.run(with.app.client<ask>("work", deadline(60ms) | shed()), 200us, 2s);
    CHECK(without.late > 10 * with.late);
}

TEST_CASE("shed: refuses nothing while all is well, and recovers after a burst") {
    testing::no_frames_left frames;
    load l(static_cast<std::uint64_t>(GENERATE(range(1, 4))));
    const shed by;
    const auto c = l.app.client<ask>("work", by);
    l.run(c, 1100us, 1s);
    CHECK(l.refused == 0);
    CHECK_FALSE(by.overloaded());
    l.run(c, 100us, 1s);
    CHECK(by.overloaded());
    CHECK(l.refused > 1000);
    const int before = l.refused;
    l.run(c, 1100us, 1s);
    CHECK(l.refused == before);
    CHECK(l.late == 0);
}

TEST_CASE("shed: what it refuses was not begun, and says when to ask again") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    int ran = 0;
    app.handle<ask>("slow", [&](ask a) -> task<int> {
        ++ran;
        co_await sleep_soundly(60ms);
        co_return a.n;
    });
    const shed by;
    const auto c = app.client<ask>("slow", deadline(forever) | by);
    std::vector<std::unique_ptr<launched<result<int>>>> calls;
    for (int i = 0; i != 6; ++i) {
        calls.push_back(std::make_unique<launched<result<int>>>(sim, call(c, i)));
        sim.advance(0ms);
    }
    // 0 at once; 1 after 60 ms begins an interval; 2 after 120 ms; 3 after 180 ms begins another
    sim.advance(200ms);
    CHECK(by.overloaded());
    launched<result<int>> late(sim, call(c, 9));
    sim.advance(300ms);
    CHECK(ran == 4);
    for (std::size_t i = 0; i != calls.size(); ++i) {
        const auto r = calls[i]->value();
        CHECK(outcome(r) == (i < 4 ? "value" : "overloaded, none"));
        if (i >= 4) CHECK(r.error().retry_after() == 40ms);
    }
    CHECK(app.counts("slow").adds_up());
}

TEST_CASE("shed: of two, both refuse") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<ask>("slow", [&](ask a) -> task<int> {
        co_await sleep_soundly(60ms);
        co_return a.n;
    });
    const shed strict, mild({.target = 1h, .interval = 1h});
    const bool inside = GENERATE(false, true);
    const auto c = inside ? app.client<ask>("slow", deadline(forever) | mild | strict)
                          : app.client<ask>("slow", deadline(forever) | strict | mild);
    std::vector<std::unique_ptr<launched<result<int>>>> calls;
    for (int i = 0; i != 6; ++i) {
        calls.push_back(std::make_unique<launched<result<int>>>(sim, call(c, i)));
        sim.advance(0ms);
    }
    sim.advance(200ms);
    launched<result<int>> late(sim, call(c, 9));
    sim.advance(300ms);
    CHECK(strict.refused() == 3);
    CHECK(mild.refused() == 0);
    CHECK(outcome(calls[5]->value()) == "overloaded, none");
    CHECK(outcome(late.value()) == "overloaded, none");
}

TEST_CASE("shed: given twice is as good as once") {
    testing::no_frames_left frames;
    std::uint64_t refused[2];
    for (const bool twice : {false, true}) {
        simulation sim;
        bus app(sim);
        app.handle<ask>("slow", [&](ask a) -> task<int> {
            co_await sleep_soundly(3ms);
            co_return a.n;
        });
        const shed s;
        const auto c = twice ? app.client<ask>("slow", deadline(forever) | s | s)
                             : app.client<ask>("slow", deadline(forever) | s);
        std::vector<std::unique_ptr<launched<result<int>>>> calls;
        for (int burst = 0; burst != 50; ++burst) {
            for (int i = 0; i != 30; ++i)
                calls.push_back(std::make_unique<launched<result<int>>>(sim, call(c, i)));
            sim.advance(70ms);
        }
        sim.advance(10s);
        refused[twice] = s.refused();
    }
    CHECK(refused[0] > 100);
    CHECK(refused[1] == refused[0]);
}

TEST_CASE("shed: never refuses what was sent, nor a call that need not queue") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int ran = 0;
    app.handle<ask>("slow", [&](ask a) -> task<int> {
        ++ran;
        co_await sleep_soundly(60ms);
        co_return a.n;
    });
    const shed by;
    const auto c = app.client<ask>("slow", deadline(forever) | by);
    for (int i = 0; i != 100; ++i) CHECK(c.send(i));
    sim.advance(10s);
    CHECK(ran == 100);
    for (int i = 0; i != 10; ++i) CHECK(app.run([&] { return call(c, i); }));
    CHECK(by.refused() == 0);
}

TEST_CASE("shed: bad parameters are refused, and say which") {
    CHECK(refusal_of([] { shed({0ms, 1ms}); }) == "shed: target must be more than zero");
    CHECK(refusal_of([] { shed({-1ms, 1ms}); }) == "shed: target must be more than zero");
    CHECK(refusal_of([] { shed({2ms, 1ms}); }) == "shed: interval must be target or more");
    CHECK(refusal_of([] { shed({forever, forever}); }).empty());
}
