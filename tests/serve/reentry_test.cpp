#include <posthaste/serve/reentry.hpp>

#include "../support/conversation.hpp"

#include <algorithm>
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
using posthaste::testing::stand_still;

namespace {

struct ask {
    using reply = int;
    int n;
};

std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

task<result<int>> call(client<ask> c, int n) { co_return co_await c.call(n); }

void pass_on(bus& app, const char* name, const char* next) {
    app.handle<ask>(name,
                    [c = app.client<ask>(next, deadline(forever))](ask a) -> task<result<int>> {
                        co_return co_await c.call(a.n);
                    });
}

}  // namespace

TEST_CASE("reentry: a call that comes back runs at once, beside the handler that stands still") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    int inside = 0, most = 0;
    const duration takes = GENERATE(as<duration>(), 0ms, 1ms);
    app.handle<ask>("A", serial.reentrant(),
                    [&, b = app.client<ask>("B", deadline(forever))](ask a) -> task<result<int>> {
                        most = std::max(most, ++inside);
                        if (takes > duration::zero()) co_await sleep_for(takes);
                        result<int> r = a.n;
                        if (a.n > 0) r = co_await b.call(a.n - 1);
                        --inside;
                        co_return r;
                    });
    pass_on(app, "B", "C");
    app.handle<ask>("C", parallel(4), [a = app.client<ask>("A")](ask m) -> task<result<int>> {
        co_return co_await a.call(m.n);
    });
    const auto a = app.client<ask>("A", deadline(forever));
    CHECK(*app.run([&] { return call(a, 1); }) == 0);
    CHECK(most == 2);
    CHECK(*app.run([&] { return call(a, 0); }) == 0);
    const account all = app.counts("A");
    CHECK(all.accepted == 3);
    CHECK(all.handled == 3);
    CHECK(all.left == 0);
    CHECK(all.adds_up());
    CHECK(app.drain(1s)->in_time);
}

TEST_CASE("reentry: it calls itself as deep as it likes, and other calls wait their turn") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<int> order;
    app.handle<ask>("A", serial.reentrant(),
                    [&, c = app.client<ask>("A", deadline(forever))](ask a) -> task<result<int>> {
                        order.push_back(a.n);
                        co_await sleep_for(1ms);
                        if (a.n > 0 && a.n < 100) co_return co_await c.call(a.n - 1);
                        co_return a.n;
                    });
    const auto a = app.client<ask>("A", deadline(forever));
    launched<result<int>> deep(sim, call(a, 7));
    sim.advance(1us);
    launched<result<int>> stranger(sim, call(a, 100));
    sim.advance(8ms);
    CHECK(*deep.value() == 0);
    CHECK_FALSE(stranger.done());
    sim.advance(1ms);
    CHECK(*stranger.value() == 100);
    CHECK(order == std::vector<int>{7, 6, 5, 4, 3, 2, 1, 0, 100});
    CHECK(app.counts("A").adds_up());
}

TEST_CASE("reentry: from a handler on another executor it is posted, and counted all the same") {
    testing::no_frames_left frames;
    thread_pool near(1), other(1);
    bus app(near), far(other);
    app.handle<ask>("A", serial.reentrant(),
                    [&, b = far.client<ask>("B", deadline(forever))](ask a) -> task<result<int>> {
                        if (!near.here()) co_return failure(code::rejected);
                        if (a.n == 0) co_return 0;
                        co_return co_await b.call(a.n);
                    });
    far.handle<ask>("B", [a = app.client<ask>("A", deadline(forever))](ask) -> task<result<int>> {
        co_return co_await a.call(0);
    });
    CHECK(*app.run([&] { return call(app.client<ask>("A", deadline(forever)), 1); }) == 0);
    const account all = app.counts("A");
    CHECK(all.accepted == 2);
    CHECK(all.handled == 2);
    CHECK(all.adds_up());
}

TEST_CASE("reentry: one that comes back is cancelled with its caller") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    bool heard = false;
    app.handle<ask>("A", serial.reentrant(),
                    [&, b = app.client<ask>("B", deadline(1ms))](ask a) -> task<result<int>> {
                        if (a.n == 1) co_return co_await b.call(0);
                        const auto slept = co_await sleep_for(1h);
                        heard = !slept;
                        co_return 0;
                    });
    pass_on(app, "B", "A");
    const auto r = app.run([&] { return call(app.client<ask>("A", deadline(forever)), 1); });
    CHECK(outcome(r) == "deadline exceeded, unknown");
    sim.advance(1ms);
    CHECK(heard);
    CHECK(sim.elapsed() <= 3ms);
    CHECK(app.counts("A").adds_up());
}

TEST_CASE("reentry: a drain waits for those that came back, and asks them to stop") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    app.handle<ask>("A", serial.reentrant(),
                    [&, b = app.client<ask>("B", deadline(1ms))](ask a) -> task<result<int>> {
                        if (a.n == 1) co_return co_await b.call(a.n + 1);
                        if (a.n == 2) co_await sleep_soundly(5ms);  // its caller is gone by then
                        co_return a.n;
                    });
    pass_on(app, "B", "A");
    CHECK_FALSE(app.run([&] { return call(app.client<ask>("A", deadline(forever)), 1); }));
    CHECK(app.counts("A").left == 1);
    const auto all = app.drain(1s);
    CHECK(all->in_time);
    CHECK(all->total.left == 0);
    CHECK(all->total.adds_up());
    CHECK(app.counts("A").handled == 1);
    CHECK(app.counts("A").failed == 1);
    CHECK(app.counts("A").late == 1);
}

TEST_CASE("reentry: after the grace a call does not come back any more") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::string heard;
    app.handle<ask>("A", serial.reentrant(),
                    [&, a = app.client<ask>("A", deadline(forever))](ask) -> task<int> {
                        co_await sleep_soundly(1s + 1ms);  // intake has ended by then
                        const auto r = co_await a.call(0);
                        heard = outcome(r);
                        co_return 1;
                    });
    launched<result<int>> outer(sim, call(app.client<ask>("A", deadline(forever)), 1));
    sim.advance(1us);
    CHECK(app.drain(1s)->total.adds_up());
    sim.drive_ready();
    CHECK((heard == "closed, none" || heard == "cancelled, none"));
}

TEST_CASE("reentry: a bus that dies destroys what came back and stands still") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    std::optional<launched<result<int>>> outer;
    {
        bus app(sim);
        app.handle<ask>(
            "A", serial.reentrant(),
            [&, b = app.client<ask>("B", deadline(forever))](ask a) -> task<result<int>> {
                if (a.n == 1) co_return co_await b.call(0);
                co_await stand_still();
                co_return 0;
            });
        pass_on(app, "B", "A");
        outer.emplace(sim, call(app.client<ask>("A", deadline(forever)), 1));
        sim.advance(1ms);
    }
    sim.drive_ready();
    REQUIRE(outer->done());
    CHECK_FALSE(outer->value());
}
