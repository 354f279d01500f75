#include <posthaste/serve/waiting_room.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct job {
    using reply = int;
    int n;
};

struct standing {
    detail::called<job> e;  // only callers wait
};

/// One endpoint with when_full::wait, room for one and a handler that takes 10 ms.
struct world {
    simulation sim;
    bus app;
    std::vector<int> started;
    client<job> work;
    explicit world(std::uint64_t seed, duration patience = 5s)
        : sim(seed), app(sim), work(app.client<job>("work", deadline(patience))) {
        app.handle<job>("work", serial.capacity(1).full(when_full::wait),
                        [this](job j) -> task<int> {
                            started.push_back(j.n);
                            co_await sleep_for(10ms);
                            co_return j.n;
                        });
        CHECK(work.send(1));
        sim.advance(1ms);
        CHECK(work.send(2));  // now it is full, until 10 ms
    }
};

task<result<int>> call(client<job> c, int n) { co_return co_await c.call(n); }
task<result<void>> send_when_room(client<job> c, int n) { co_return co_await c.send_when_room(n); }

std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

}  // namespace

TEST_CASE("waiting_room: admits first come, first served, as many as there is room for") {
    waiting_room room;
    standing a, b, c;
    const auto full = [] { return false; };
    CHECK(room.stand(a.e, full) == waiting_room::place::standing);
    CHECK(room.stand(b.e, full) == waiting_room::place::standing);
    CHECK(room.stand(c.e, [] { return true; }) == waiting_room::place::standing);  // behind them
    std::vector<envelope*> in;
    int free = 2;
    room.call_in([&] { return free-- > 0; }, [&](envelope& e) { in.push_back(&e); });
    CHECK(in == std::vector<envelope*>{&a.e, &b.e});
    CHECK_FALSE(room.leave(a.e));
    CHECK(room.leave(c.e));
    CHECK_FALSE(room.leave(c.e));
    free = 5;
    room.call_in([&] { return free-- > 0; }, [&](envelope& e) { in.push_back(&e); });
    CHECK(in.size() == 2);
    CHECK(free == 5);  // nobody is there to ask for
}

TEST_CASE("waiting_room: who finds room at the last moment does not stand") {
    waiting_room room;
    standing a;
    CHECK(room.stand(a.e, [] { return true; }) == waiting_room::place::reserved);
    CHECK_FALSE(room.leave(a.e));
}

TEST_CASE("waiting_room: any of those who stand can leave, and the rest keep their order") {
    const auto full = [] { return false; };
    // All subsets of five leave, from the front or from the back; then one more comes.
    const bool from_the_back = GENERATE(false, true);
    for (unsigned leaving = 0; leaving != 32; ++leaving) {
        waiting_room room;
        std::vector<std::unique_ptr<standing>> all;
        std::vector<envelope*> in, expected;
        for (unsigned i = 0; i != 5; ++i) {
            all.push_back(std::make_unique<standing>());
            CHECK(room.stand(all.back()->e, full) == waiting_room::place::standing);
            if ((leaving >> i & 1) == 0) expected.push_back(&all.back()->e);
        }
        for (unsigned n = 0; n != 5; ++n) {
            const unsigned i = from_the_back ? 4 - n : n;
            if (leaving >> i & 1) CHECK(room.leave(all[i]->e));
        }
        standing last;
        CHECK(room.stand(last.e, full) == waiting_room::place::standing);
        expected.push_back(&last.e);
        int free = 2;  // in two turns
        room.call_in([&] { return free-- > 0; }, [&](envelope& e) { in.push_back(&e); });
        if (in.size() < expected.size()) CHECK(room.leave(*expected[in.size()]));
        room.call_in([] { return true; }, [&](envelope& e) { in.push_back(&e); });
        if (expected.size() > 2) expected.erase(expected.begin() + 2);
        CHECK(in == expected);
        CHECK(room.empty());
    }
}

TEST_CASE("waiting_room: once shut it hands out who stands there, and takes nobody in") {
    waiting_room room;
    standing a, b, c;
    room.stand(a.e, [] { return false; });
    room.stand(b.e, [] { return false; });
    std::vector<envelope*> out;
    room.shut([&](envelope& e) { out.push_back(&e); });
    CHECK(out == std::vector<envelope*>{&a.e, &b.e});
    CHECK(room.stand(c.e, [] { return true; }) == waiting_room::place::nowhere);
    CHECK_FALSE(room.leave(a.e));
}

TEST_CASE(
    "waiting_room: a waiter that is cancelled was not accepted, is told so, and loses nothing") {
    testing::no_frames_left frames;
    world w(any_seed());
    launched<result<void>> sender(w.sim, send_when_room(w.work, 3));
    launched<result<int>> caller(w.sim, call(w.work, 4));
    launched<result<void>> stays(w.sim, send_when_room(w.work, 5));
    w.sim.advance(1ms);
    sender.stop();
    caller.stop();
    w.sim.advance(1ms);
    const auto sent = sender.value();
    CHECK(outcome(sent) == "cancelled, none");
    CHECK(sent.error().message() == "cancelled at work: waiting for room");
    CHECK(outcome(caller.value()) == "cancelled, none");
    w.sim.advance(1s);
    CHECK(outcome(stays.value()) == "value");
    CHECK(w.started == std::vector<int>{1, 2, 5});
    const account a = w.app.counts("work");
    CHECK(a.accepted == 3);
    CHECK(a.refused == 2);
    CHECK(a.adds_up());
}

TEST_CASE("waiting_room: a waiter whose deadline passes was not accepted, and is told so") {
    testing::no_frames_left frames;
    world w(any_seed(), 5ms);
    launched<result<void>> sender(w.sim, send_when_room(w.work, 3));
    launched<result<int>> caller(w.sim, call(w.work, 4));
    w.sim.advance(1s);
    CHECK(outcome(sender.value()) == "deadline exceeded, none");
    CHECK(outcome(caller.value()) == "deadline exceeded, none");
    CHECK(w.started == std::vector<int>{1, 2});
    CHECK(w.app.counts("work").accepted == 2);
    CHECK(w.app.counts("work").refused == 2);
}

TEST_CASE(
    "waiting_room: a waiter that is cancelled as it is admitted is accepted or not, and knows") {
    testing::no_frames_left frames;
    int accepted = 0, cancelled = 0;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        world w(seed, forever);
        auto sender = std::make_unique<launched<result<void>>>(w.sim, send_when_room(w.work, 3));
        const auto stop_at_10ms = [](launched<result<void>>& s) -> task<int> {
            co_await sleep_for(9ms);  // at 10 ms the first handler ends, and 2 leaves the queue
            s.stop();
            co_return 0;
        };
        launched<int> stopper(w.sim, stop_at_10ms(*sender));
        w.sim.advance(1s);
        REQUIRE(stopper.done());
        const auto r = sender->value();
        const bool in = w.started == std::vector<int>{1, 2, 3};
        const bool out = w.started == std::vector<int>{1, 2};
        CHECK((in || out));
        CHECK(r.has_value() == in);
        CHECK(w.app.counts("work").accepted == (in ? 3u : 2u));
        CHECK(w.app.counts("work").adds_up());
        ++(in ? accepted : cancelled);
    }
    CHECK(accepted > 0);
    CHECK(cancelled > 0);
}

TEST_CASE("waiting_room: a drain refuses who waits for room") {
    testing::no_frames_left frames;
    world w(any_seed(), forever);
    launched<result<void>> sender(w.sim, send_when_room(w.work, 3));
    launched<result<int>> caller(w.sim, call(w.work, 4));
    w.sim.advance(1ms);
    const auto drained = w.app.drain(0ms);
    w.sim.drive_ready();
    CHECK(outcome(sender.value()) == "closed, none");
    CHECK(outcome(caller.value()) == "closed, none");
    CHECK(drained->total.refused == 2);
    CHECK(drained->total.accepted == 2);
    CHECK(drained->total.adds_up());
}

TEST_CASE("waiting_room: a drain with time enough lets those in who wait") {
    testing::no_frames_left frames;
    world w(any_seed(), forever);
    launched<result<void>> sender(w.sim, send_when_room(w.work, 3));
    w.sim.advance(1ms);
    const auto drained = w.app.drain(1s);
    CHECK(drained->in_time);
    CHECK(outcome(sender.value()) == "value");
    CHECK(w.started == std::vector<int>{1, 2, 3});
}
