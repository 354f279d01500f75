#include <posthaste/serve/lane.hpp>

#include "../support/by_hand.hpp"
#include "../support/conversation.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;
using posthaste::testing::sleep_soundly;
using posthaste::testing::stand_still;

namespace {

struct job {
    using reply = int;
    int n;
};
task<result<int>> call(client<job> c, int n) { co_return co_await c.call(n); }

}  // namespace

TEST_CASE("lane: after some messages it lets others of the executor have their turn") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int handled = 0, most_at_once = 0, last = 0;
    app.handle<job>("jobs", [&](job) { return ++handled; });
    const auto c = app.client<job>("jobs");
    for (int i = 0; i != 1000; ++i) CHECK(c.send(i));
    const auto other = [&]() -> task<int> {
        while (handled < 1000) {
            most_at_once = std::max(most_at_once, handled - last);
            last = handled;
            co_await yield();
        }
        co_return 0;
    };
    // Two are ready at any time; by chance one of them may be chosen some times in a row.
    launched<int> looker(sim, other());
    sim.drive_ready();
    CHECK(looker.done());
    CHECK(handled == 1000);
    CHECK(most_at_once >= 64);
    CHECK(most_at_once < 1000);
}

TEST_CASE("lane: where senders wait for room, quick messages have longer turns") {
    testing::no_frames_left frames;
    struct one_turn_at_a_time : testing::by_hand {
        time_point now() const noexcept override { return ++looks, time; }
        time_point time;
        mutable int looks = 0;
    } here;
    const auto full = GENERATE(when_full::wait, when_full::reject, when_full::drop_oldest);
    bus app(here);
    int handled = 0;
    app.handle<job>("jobs", serial.capacity(4096).full(full), [&](job) {
        if (++handled >= 2500) here.time += 40ns;
        return 0;
    });
    const auto c = app.client<job>("jobs");
    for (int i = 0; i != 3000; ++i) CHECK(c.send(i));
    here.looks = 0;
    std::vector<int> turns;
    for (work_list next = here.posted(); work* lane = next.take(); next = here.posted()) {
        const int before = handled;
        lane->run(*lane);
        turns.push_back(handled - before);
    }
    CHECK(std::accumulate(turns.begin(), turns.end(), 0) == 3000);
    if (full == when_full::wait) {
        // That 64 have taken 2 us and more is known behind them.
        CHECK(turns == std::vector{64, 1024, 1024, 448, 64, 64, 64, 64, 64, 64, 56});
    } else {
        CHECK(*std::max_element(turns.begin(), turns.end()) == 64);
        CHECK(here.looks == 0);
    }
}

TEST_CASE("lane: who comes when its turn was just long enough finds it at rest") {
    testing::no_frames_left frames;
    const int more = GENERATE(0, 1);  // than in one turn
    run_loop loop;
    bus app(loop);
    app.handle<job>("jobs", [](job j) { return j.n; });
    const auto c = app.client<job>("jobs");
    for (int i = 0; i != 64 + more; ++i) CHECK(c.send(i));
    launched<result<int>> caller(loop, call(c, 1));
    bool at_once = false;
    struct look : work {
        const launched<result<int>>& at;
        bool& seen;
        look(const launched<result<int>>& l, bool& s) : at(l), seen(s) {
            run = [](work& w) noexcept {
                static_cast<look&>(w).seen = static_cast<look&>(w).at.done();
            };
        }
    } behind(caller, at_once);
    loop.post(behind);
    loop.drive_ready();
    CHECK(caller.done());
    CHECK(at_once == (more == 0));
}

TEST_CASE("lane: since when it handles a message is not told of the one after that") {
    testing::no_frames_left frames;
    simulation sim;
    dead_letters dead;
    endpoint_core* at = nullptr;
    std::vector<duration> told;
    const auto look = [&](job j) {
        whereabouts w;
        at->lane_number(0)->tell(w, sim.now());
        told.push_back(w.handler.running);
        return j.n;
    };
    serial_endpoint jobs("jobs", sim, dead,
                         std::make_unique<detail::handler_of<decltype(look), job>>(look), serial);
    at = &jobs;
    const auto put = [&](envelope* e) {
        REQUIRE(e);
        e->how = jobs.find(detail::type_of<job>);
        CHECK(jobs.put(*e, false) == endpoint_core::admission::accepted);
    };
    put(detail::make_or_not<detail::sent<job>>(1));
    auto* const asked = detail::make_or_not<detail::called<job>>(2);
    asked->deadline = sim.now() + 1s;
    put(asked);
    put(detail::make_or_not<detail::sent<job>>(3));
    sim.drive_ready();
    CHECK(told == std::vector<duration>{forever, 0s, forever});
    if (asked->cell.caller_leaves()) asked->destroy();
}

TEST_CASE("lane: calls among what is sent to a plain handler end, and count, each in its own way") {
    testing::no_frames_left frames;
    run_loop loop;  // in order
    bus app(loop);
    launched<result<int>>* to_stop = nullptr;
    std::vector<int> handled;
    app.handle<job>("jobs", [&](job j) -> result<int> {
        handled.push_back(j.n);
        if (j.n == 3) return failure(code::rejected, effect::none, "three");
        if (j.n == 4) throw std::runtime_error("four");
        if (j.n == 5) to_stop->stop();
        return 10 * j.n;
    });
    const auto c = app.client<job>("jobs", deadline(forever));
    const auto behind_a_send = [](client<job> to, int n) -> task<result<int>> {
        CHECK(to.send(1));
        co_return co_await to.call(n);
    };
    const auto stop = [](launched<result<int>>& whom) -> task<int> {
        whom.stop();
        co_return 0;
    };
    launched<result<int>> value(loop, behind_a_send(c, 2)), fails(loop, call(c, 3)),
        throws(loop, call(c, 4)), late(loop, behind_a_send(c, 5)), gone(loop, call(c, 6)),
        last(loop, call(c, 7));
    launched<int> stopper(loop, stop(gone));
    to_stop = &late;
    loop.drive_ready();
    CHECK(handled == std::vector<int>{1, 2, 3, 4, 1, 5, 7});
    CHECK(*value.value() == 20);
    const result<int> refused = fails.value();
    CHECK(outcome(refused) == "rejected, complete");
    CHECK(refused.error().path() == "jobs");
    CHECK(outcome(throws.value()) == "handler failed, complete");
    CHECK(outcome(late.value()) == "cancelled, unknown");
    CHECK(outcome(gone.value()) == "cancelled, none");
    CHECK(*last.value() == 70);
    const account a = app.counts("jobs");
    CHECK(a.accepted == 8);
    CHECK(a.handled == 5);
    CHECK(a.failed == 2);
    CHECK(a.dropped == 1);
    CHECK(a.late == 1);
    CHECK(a.left == 0);
}

TEST_CASE("lane: a handler that is cancelled hears of it, once it runs") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    std::vector<std::string> heard;
    app.handle<job>("jobs", [&](job j, context& c) -> task<int> {
        const stop_callback told(c.stop(),
                                 [&] { heard.push_back("callback " + std::to_string(j.n)); });
        const auto slept = co_await sleep_for(1h);
        heard.push_back(std::string(slept ? "slept " : "woken ") + std::to_string(j.n));
        CHECK(c.stop_requested() == !slept.has_value());
        co_return j.n;
    });
    const auto c = app.client<job>("jobs", deadline(forever));
    launched<result<int>> first(sim, call(c, 1));
    sim.advance(1ms);
    launched<result<int>> second(sim, call(c, 2));
    sim.advance(1ms);
    first.stop();
    sim.advance(1ms);
    CHECK(heard == std::vector<std::string>{"callback 1", "woken 1"});
    CHECK_FALSE(second.done());  // the next one on this lane is not asked to stop
    second.stop();
    sim.advance(1ms);
    CHECK(heard.size() == 4);
    CHECK(outcome(first.value()) == "cancelled, unknown");
    CHECK(outcome(second.value()) == "cancelled, unknown");
}

TEST_CASE("lane: a caller that has gone cannot cancel the message that came after its own") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        simulation sim(seed);
        bus app(sim);
        bool disturbed = false;
        app.handle<job>("jobs", [&](job j, context& c) -> task<int> {
            co_await sleep_for(j.n == 1 ? 10ms : 50ms);
            if (j.n == 2) disturbed = disturbed || c.stop_requested();
            co_return j.n;
        });
        const auto hasty = app.client<job>("jobs", deadline(10ms));  // as long as the handler
        launched<result<int>> first(sim, call(hasty, 1));
        sim.advance(1ms);
        launched<result<int>> second(sim, call(app.client<job>("jobs"), 2));
        sim.advance(1s);
        CHECK(*second.value() == 2);
        CHECK_FALSE(disturbed);
        const std::string how = outcome(first.value());
        CHECK((how == "value" || how == "deadline exceeded, unknown"));
        CHECK(app.counts("jobs").handled == 2);
    }
}

TEST_CASE("lane: a handler that ends in the step that cancels it ends once") {
    testing::no_frames_left frames;
    int values = 0, cancelled = 0;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        simulation sim(seed);
        bus app(sim);
        app.handle<job>("jobs", [](job j) -> task<int> {
            co_await sleep_for(10ms);
            co_return j.n;
        });
        launched<result<int>> caller(sim, call(app.client<job>("jobs"), 1));
        const auto stop = [](launched<result<int>>& whom) -> task<int> {
            co_await sleep_for(10ms);
            whom.stop();
            co_return 0;
        };
        launched<int> stopper(sim, stop(caller));
        sim.advance(1s);
        REQUIRE(stopper.done());
        const std::string how = outcome(caller.value());
        if (how == "value") ++values;
        else if (how == "cancelled, unknown") ++cancelled;
        const account a = app.counts("jobs");
        CHECK(a.handled == 1);
        CHECK(a.late == (how == "value" ? 0u : 1u));
    }
    CHECK(values + cancelled == 200);
    CHECK(values > 0);
    CHECK(cancelled > 0);
}

TEST_CASE("lane: a handler destroyed where it stands frees what it holds, and reads on") {
    testing::no_frames_left frames;
    auto held = std::make_shared<int>(1);
    simulation sim;
    {
        bus_options options;
        options.grace = 0ms;
        bus app(sim, options);
        app.handle<job>("jobs", parallel(2), [&](job j) -> task<int> {
            const auto mine = held;
            co_await stand_still();
            co_return j.n;
        });
        for (int i = 0; i != 5; ++i) CHECK(app.client<job>("jobs").send(i));
        sim.advance(1ms);
        CHECK(held.use_count() == 3);
    }
    CHECK(held.use_count() == 1);
}

TEST_CASE("lane: handlers that end one after the other at once use no stack for it") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const auto deep = [](auto& self, int n) -> task<int> {
        if (n == 0) co_return 0;
        co_return co_await self(self, n - 1) + 1;
    };
    app.handle<job>("jobs", [&](job j) -> task<int> { co_return co_await deep(deep, j.n); });
    CHECK(*app.run([&] { return call(app.client<job>("jobs"), 3000); }) == 3000);
    for (int i = 0; i != 1000; ++i) CHECK(app.client<job>("jobs").send(1));
    sim.drive_ready();
    CHECK(app.counts("jobs").handled == 1001);
}
