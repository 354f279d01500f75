// Contract 10, 11, 12, and bad input.
#include <posthaste/serve/bus.hpp>

#include "../support/conversation.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
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
struct note {
    int n;
};

task<result<int>> call(client<ask> c, int n) { co_return co_await c.call(n); }
int answer(ask a) { return a.n; }
std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

std::string refusal(const std::function<void()>& f) {
    try {
        f();
        return "";
    } catch (const failed& e) {
        CHECK(e.why().code() == code::rejected);
        return e.what();
    }
}

}  // namespace

TEST_CASE("bus: owns an executor, or works on the one it is given") {
    testing::no_frames_left frames;
    bus own;
    own.handle<ask>("ask", answer);
    CHECK(*own.run([&] { return call(own.client<ask>("ask"), 1); }) == 1);
    CHECK_FALSE(own.home().here());

    run_loop loop;
    bus given(loop);
    CHECK(&given.home() == &loop);
    given.handle<ask>("ask", answer);
    CHECK(*given.run([&] { return call(given.client<ask>("ask"), 2); }) == 2);
}

TEST_CASE("bus: two of them do not know each other, also on one executor") {
    testing::no_frames_left frames;
    simulation sim;
    bus one(sim), other(sim);
    one.handle<ask>("ask", [](ask) { return 1; });
    CHECK(outcome(other.run([&] { return call(other.client<ask>("ask"), 0); })) ==
          "no handler, none");
    other.handle<ask>("ask", [](ask) { return 2; });
    CHECK(*one.run([&] { return call(one.client<ask>("ask"), 0); }) == 1);
    CHECK(*one.run([&] { return call(other.client<ask>("ask"), 0); }) == 2);
    static_cast<void>(one.drain(0s));
    CHECK(*other.run([&] { return call(other.client<ask>("ask"), 0); }) == 2);
}

TEST_CASE("bus: handle refuses bad names, taken names and bad modes, and says why") {
    simulation sim;
    bus app(sim);
    CHECK(refusal([&] { app.handle<ask>("", answer); }) ==
          "rejected: a name must not be empty: \"\"");
    CHECK(refusal([&] { app.handle<ask>("a b", answer); }) ==
          "rejected: a name has no blanks or control characters: \"a b\"");
    CHECK(refusal([&] { app.handle<ask>("a..b", answer); }) ==
          "rejected: a name has no empty token: \"a..b\"");
    CHECK(refusal([&] { app.handle<ask>("a.*", answer); }) ==
          "rejected: a name has no wildcards: \"a.*\"");
    CHECK(refusal([&] { app.handle<ask>(std::string(256, 'x'), answer); }) ==
          "rejected: a name has at most 255 bytes: \"" + std::string(40, 'x') + "...\"");
    CHECK(refusal([&] { static_cast<void>(app.client<ask>("a\n\"\x80")); }) ==
          "rejected: a name has no blanks or control characters: \"a\\x0a\\x22\\x80\"");
    CHECK(refusal([&] { app.handle<ask>("ask", serial.capacity(0), answer); }) ==
          "rejected: capacity must be 1 or more");
    CHECK(refusal([&] { app.handle<ask>("ask", parallel(0), answer); }) ==
          "rejected: parallel(n): n must be 1 to 65536");
    CHECK(refusal([&] { app.handle<ask>("ask", answer); }).empty());
    CHECK(refusal([&] { app.handle<ask>("ask", answer); }) ==
          "rejected at ask: that name has a handler already");
    CHECK(*app.run([&] { return call(app.client<ask>("ask"), 5); }) == 5);  // the first one
}

TEST_CASE("bus: try_handle gives the refusal as a value, and drops the callable") {
    simulation sim;
    bus app(sim);
    const auto held = std::make_shared<int>(1);
    const auto fn = [held](ask a) { return a.n; };
    CHECK(outcome(app.try_handle<ask>("ask", serial, fn)) == "value");
    CHECK(held.use_count() == 3);
    CHECK(outcome(app.try_handle<ask>("ask", serial, fn)) == "rejected, none");
    CHECK(outcome(app.try_handle<ask>("", serial, fn)) == "rejected, none");
    CHECK(held.use_count() == 3);
    static_cast<void>(app.drain(0s));
    CHECK(outcome(app.try_handle<ask>("new", serial, fn)) == "closed, none");
    CHECK(held.use_count() == 3);
}

TEST_CASE("bus: options without threads are refused") {
    bus_options none;
    none.threads = 0;
    CHECK_THROWS_AS(bus(none), std::invalid_argument);
}

TEST_CASE("bus: run gives the task's value, throws what it throws, and keeps the callable") {
    testing::no_frames_left frames;
    bus app;
    CHECK(app.run([text = std::string("kept until the end of the task")]() -> task<std::size_t> {
        co_await yield();
        co_return text.size();
    }) == 30);
    CHECK_THROWS_AS(app.run([]() -> task<> {
        co_await yield();
        throw std::out_of_range("x");
    }),
                    std::out_of_range);
}

TEST_CASE("bus: run and drain from inside are refused: would_deadlock") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::string ran, drained;
    app.handle<ask>("ask", [&](ask a) -> task<int> {
        try {
            app.run([]() -> task<> { co_return; });
        } catch (const failed& e) {
            ran = e.what();
        }
        drained = outcome(app.drain(1s));
        co_return a.n;
    });
    CHECK(*app.run([&] { return call(app.client<ask>("ask"), 1); }) == 1);
    CHECK(ran == "would deadlock: run() inside the bus");
    CHECK(drained == "would deadlock, none");
    CHECK(*app.run([&] { return call(app.client<ask>("ask"), 1); }) == 1);  // it was not drained
}

TEST_CASE("bus: handlers may make endpoints and clients") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<ask>("make", [&](ask a) -> task<int> {
        app.handle<ask>("made", [](ask b) { return 10 * b.n; });
        const auto made = app.client<ask>("made");
        const auto r = co_await made.call(a.n);
        co_return *r;
    });
    CHECK(*app.run([&] { return call(app.client<ask>("make"), 4); }) == 40);
}

TEST_CASE("bus: counts are all zero for a name nobody has") {
    simulation sim;
    bus app(sim);
    CHECK(app.counts("nobody").accepted == 0);
    CHECK(app.counts("").adds_up());
}

TEST_CASE("bus: drain finishes what is queued, takes nothing new, and accounts for each endpoint") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    int handled = 0;
    app.handle<note>("b", [&](note) -> task<> {
        co_await sleep_for(10ms);
        ++handled;
    });
    app.handle<ask>("a", answer);
    const auto b = app.client<note>("b");
    for (int i = 0; i != 5; ++i) CHECK(b.send(i));
    const auto drained = app.drain(1s);
    REQUIRE(drained);
    CHECK(handled == 5);
    CHECK(sim.elapsed() == 50ms);  // it takes no longer than it must
    CHECK(drained->in_time);
    REQUIRE(drained->endpoints.size() == 2);
    CHECK(drained->endpoints[0].endpoint == "a");
    CHECK(drained->endpoints[0].messages.accepted == 0);
    CHECK(drained->endpoints[1].endpoint == "b");
    CHECK(drained->endpoints[1].messages.accepted == 5);
    CHECK(drained->endpoints[1].messages.handled == 5);
    CHECK(drained->total.handled == 5);
    CHECK(drained->total.adds_up());
    CHECK(outcome(b.send(1)) == "closed, none");
}

TEST_CASE("bus: while it drains, handlers may still send and call, others may not") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    simulation elsewhere;
    std::vector<std::string> seen;
    app.handle<ask>("second", [&](ask a) -> task<int> {
        co_await sleep_for(5ms);
        seen.push_back("second " + std::to_string(a.n));
        co_return a.n;
    });
    const auto outside = [](client<ask> second) -> task<std::string> {
        const auto sent = second.send(7);
        const auto room = co_await second.send_when_room(8);
        const auto called = co_await second.call(9);
        co_return outcome(sent) + "; " + outcome(room) + "; " + outcome(called);
    };
    app.handle<note>("first", [&, second = app.client<ask>("second")](note n) -> task<> {
        co_await sleep_for(5ms);
        CHECK(second.send(n.n));
        const auto r = co_await second.call(n.n + 1);
        CHECK(r.has_value());
        launched<std::string> other(elsewhere, outside(second));
        elsewhere.drive_ready();
        CHECK(other.done());
        if (other.done()) seen.push_back(other.value());
    });
    CHECK(app.client<note>("first").send(1));
    const auto drained = app.drain(1s);
    CHECK(drained->in_time);
    CHECK(drained->total.handled == 3);
    CHECK(seen == std::vector<std::string>{"second 1", "second 2",
                                           "closed, none; closed, none; closed, none"});
}

TEST_CASE("bus: what expires in the queue while it drains is not started, and its caller told") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<int> started;
    app.handle<ask>("one", [&](ask a) -> task<int> {
        started.push_back(a.n);
        co_await sleep_for(50ms);
        co_return a.n;
    });
    launched<result<int>> first(sim, call(app.client<ask>("one"), 1));
    sim.advance(1ms);
    launched<result<int>> hasty(sim, call(app.client<ask>("one", deadline(20ms)), 2));
    launched<result<int>> last(sim, call(app.client<ask>("one"), 3));
    sim.advance(1ms);
    const auto drained = app.drain(1s);
    CHECK(drained->in_time);
    CHECK(sim.elapsed() == 100ms);
    sim.drive_ready();
    CHECK(outcome(first.value()) == "value");
    CHECK(outcome(hasty.value()) == "deadline exceeded, none");
    CHECK(outcome(last.value()) == "value");
    CHECK(started == std::vector<int>{1, 3});
    CHECK(drained->total.expired == 1);
    CHECK(drained->total.handled == 2);
    CHECK(drained->total.adds_up());
}

TEST_CASE("bus: a second drain gives the first one's account") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("n", [](note) -> task<> { co_await sleep_for(1s); });
    CHECK(app.client<note>("n").send(1));
    CHECK(app.client<note>("n").send(2));
    const auto first = app.drain(10ms);
    const auto second = app.drain(1h);
    CHECK_FALSE(first->in_time);
    CHECK_FALSE(second->in_time);
    CHECK(second->total.left == first->total.left);
    CHECK(second->total.handled == first->total.handled);
    CHECK(sim.elapsed() < 200ms);
}

TEST_CASE(
    "bus: at the end of the grace handlers are asked to stop, and the rest is left, counted") {
    testing::no_frames_left frames;
    simulation sim(any_seed());
    bus app(sim);
    std::vector<std::string> seen;
    app.handle<note>("n", [&](note n, context& c) -> task<> {
        const auto slept = co_await sleep_for(1h);
        seen.push_back(std::to_string(n.n) + (slept ? " slept" : " cut short"));
        CHECK(c.stop_requested());
    });
    app.handle<note>("deaf", [](note) -> task<> { co_await stand_still(); });
    for (int i = 0; i != 4; ++i) CHECK(app.client<note>("n").send(i));
    CHECK(app.client<note>("deaf").send(1));
    CHECK(app.client<note>("deaf").send(2));
    const auto drained = app.drain(20ms);
    CHECK(sim.elapsed() >= 20ms);
    CHECK(sim.elapsed() <= 120ms);
    CHECK_FALSE(drained->in_time);
    CHECK(seen == std::vector<std::string>{"0 cut short"});
    const account& deaf = drained->endpoints[0].messages;
    const account& n = drained->endpoints[1].messages;
    CHECK(n.handled == 1);
    CHECK(n.left == 3);
    CHECK(deaf.handled == 0);
    CHECK(deaf.left == 2);
    CHECK(drained->total.adds_up());
    CHECK(app.dead_letters().total() == 3);  // 1, 2, 3; 'deaf' still stands before its second
}

TEST_CASE("bus: any grace will do") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("n", [](note) -> task<> { co_await sleep_for(1h); });
    CHECK(app.client<note>("n").send(1));
    switch (GENERATE(0, 1, 2)) {
        case 0: CHECK_FALSE(app.drain(-1s)->in_time); break;
        case 1: CHECK_FALSE(app.drain(std::chrono::duration<double>(1e-3))->in_time); break;
        default: CHECK(app.drain(std::chrono::hours::max())->in_time); CHECK(sim.elapsed() == 1h);
    }
}

TEST_CASE("bus: destroying it drains with the options' grace") {
    testing::no_frames_left frames;
    simulation sim;
    int done = 0;
    const auto use = [&](duration grace) {
        bus_options options;
        options.grace = grace;
        bus app(sim, options);
        app.handle<note>("n", [&](note) -> task<> {
            const auto slept = co_await sleep_for(10ms);
            done += slept.has_value();
        });
        CHECK(app.client<note>("n").send(1));
    };
    use(5ms);
    CHECK(done == 0);
    use(15ms);
    CHECK(done == 1);
}

TEST_CASE("bus: destroying it with everything in flight leaves no frame and nobody waiting") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        simulation sim(seed);
        auto app = std::make_unique<bus>(sim);
        const auto deep = app->client<ask>("deep"), deaf = app->client<ask>("deaf");
        app->handle<ask>("deep", parallel(3).capacity(2).full(when_full::wait),
                         [deaf](ask a) -> task<int> {
                             const auto r = co_await deaf.call(a.n);
                             co_await sleep_soundly(1ms);
                             co_return r ? *r : -1;
                         });
        app->handle<ask>("deaf", parallel(2).capacity(2), [](ask a) -> task<int> {
            if (a.n % 3 == 0) co_await stand_still();
            co_await sleep_for(std::chrono::milliseconds(a.n));
            co_return a.n;
        });
        app->handle<note>("noted", keyed(&note::n), [](note) -> task<> { co_await sleep_for(1h); });
        std::vector<std::unique_ptr<launched<result<int>>>> callers;
        for (int i = 0; i != 12; ++i) {
            callers.push_back(std::make_unique<launched<result<int>>>(sim, call(deep, i)));
            app->client<note>("noted").send(i % 4);
        }
        sim.advance(std::chrono::milliseconds(seed % 7));
        app.reset();
        for (auto& c : callers) REQUIRE(c->done());
        CHECK(outcome(deep.send(1)) == "closed, none");
    }
}

TEST_CASE("bus: time is its executor's: an hour passes in a moment") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<ask>("ask", [](ask a) -> task<int> {
        co_await sleep_for(1h);
        co_return a.n;
    });
    const auto c = app.client<ask>("ask", deadline(2h)),
               hasty = app.client<ask>("ask", deadline(7s));
    const auto before = std::chrono::steady_clock::now();
    CHECK(*app.run([&] { return call(c, 1); }) == 1);
    CHECK(sim.elapsed() == 1h);
    CHECK(outcome(app.run([&] { return call(hasty, 1); })) == "deadline exceeded, unknown");
    CHECK(sim.elapsed() == 1h + 7s);
    CHECK(std::chrono::steady_clock::now() - before < 1h);
}

TEST_CASE("bus: may be used from several threads at once, and drained from two") {
    testing::no_frames_left frames;
    bus app;
    std::atomic<long> sum = 0;
    app.handle<ask>("ask", keyed(&ask::n), [&](ask a) -> task<int> {
        co_await yield();
        sum += a.n;
        co_return a.n;
    });
    std::atomic<long> sent = 0, right = 0;
    {
        std::vector<std::thread> threads;
        for (int t = 0; t != 4; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i != 1000; ++i)  // names of its own, among those of the others
                    static_cast<void>(app.client<ask>("from." + std::to_string(4 * i + t)));
                const auto mine = app.client<ask>("ask");
                for (int i = 0; i != 200; ++i) {
                    const std::string name = std::to_string(t) + "." + std::to_string(i);
                    app.handle<ask>(name, answer);
                    const auto made = app.client<ask>(name);
                    const auto own = app.run([&] { return call(made, i); });
                    right += own && *own == i;
                    if (mine.send(t)) sent += t;
                    const auto r = app.run([&] { return call(mine, t); });
                    if (r) sent += t;
                }
            });
        }
        for (auto& t : threads) t.join();
    }
    std::uint64_t first = 0;
    std::thread other([&] { first = app.drain(10s)->total.handled; });
    const auto drained = app.drain(10s);
    other.join();
    CHECK(drained->total.handled == first);
    CHECK(drained->total.adds_up());
    CHECK(sum == sent);
    CHECK(right == 800);
    CHECK(drained->endpoints.size() == 801);
}

TEST_CASE("bus: a drain from what a drain calls is refused") {
    testing::no_frames_left frames;
    std::vector<std::string> heard;
    event begun;
    thread_pool pool(1);
    bus app(pool);
    const auto drain = [&] { heard.push_back(outcome(app.drain(1s))); };
    app.dead_letters().on_letter([&](const dead_letter&) { drain(); });
    app.handle<note>("work", [&](note, context& ctx) -> task<> {
        const stop_callback on_stop(ctx.stop(), drain);
        begun.set();
        static_cast<void>(co_await sleep_for(1h));
    });
    const auto work = app.client<note>("work");
    CHECK(work.send_after(1h, 1));
    CHECK(work.send(2));
    app.run([&]() -> task<> { static_cast<void>(co_await begun.wait()); });
    const auto all = app.drain(1ms);
    REQUIRE(all);
    CHECK_FALSE(all->in_time);
    CHECK(all->scheduled == 1);
    CHECK(heard == std::vector<std::string>(2, "would deadlock, none"));
}
