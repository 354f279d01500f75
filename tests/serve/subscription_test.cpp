// Who hears what, for how long, and what becomes of the rest. tests/race/publish_race.cpp has the
// threads.
#include <posthaste/serve/subscription.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
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

namespace {

struct placed {
    int id;
    std::string what = {};
};
struct paid {
    int id;
};
using numbers = std::vector<int>;

std::string refusal(const std::function<void()>& f) {
    try {
        f();
        return "";
    } catch (const failed& e) {
        return e.what();
    }
}

}  // namespace

TEST_CASE("subscription: hears what is published to its topics, of its own type") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::map<std::string, numbers> heard;
    std::vector<subscription> all;
    for (const char* pattern : {"orders.placed", "orders.*", "orders.>", ">", "*", "orders.paid"}) {
        all.push_back(app.subscribe<placed>(
            pattern, [&heard, pattern](const placed& p) { heard[pattern].push_back(p.id); }));
    }
    all.push_back(app.subscribe<paid>(">", [&](const paid& p) { heard["paid"].push_back(p.id); }));
    CHECK(app.publish<placed>("orders.placed", 1).accepted == 4);
    CHECK(app.publish<placed>("orders.placed.twice", 2).accepted == 2);
    CHECK(app.publish<placed>("orders", 3).accepted == 2);
    CHECK(app.publish<paid>("orders.paid", 4).accepted == 1);
    sim.drive_ready();
    CHECK(heard == std::map<std::string, numbers>{{"orders.placed", {1}},
                                                  {"orders.*", {1}},
                                                  {"orders.>", {1, 2}},
                                                  {">", {1, 2, 3}},
                                                  {"*", {3}},
                                                  {"paid", {4}}});
}

TEST_CASE("subscription: one that is slow, full or failing slows neither publisher nor others") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    event go_on;
    numbers slow, quick, newest;
    const auto stuck = app.subscribe<placed>(topics("t").named("stuck"), serial.capacity(2),
                                             [&](const placed& p) -> task<> {
                                                 co_await go_on.wait();
                                                 slow.push_back(p.id);
                                             });
    const auto drops = app.subscribe<placed>(topics("t").named("drops"),
                                             serial.capacity(2).full(when_full::drop_oldest),
                                             [&](const placed& p) -> task<> {
                                                 co_await go_on.wait();
                                                 newest.push_back(p.id);
                                             });
    const auto fails = app.subscribe<placed>(topics("t").named("fails"), [](const placed& p) {
        throw std::runtime_error("no " + p.what);
    });
    const auto good = app.subscribe<placed>(topics("t").named("good"),
                                            [&](const placed& p) { quick.push_back(p.id); });
    for (int id = 0; id != 6; ++id) {
        const published p = app.publish<placed>("t", id, "tea");
        CHECK(p);
        CHECK(p.accepted + p.refused == 4);
        sim.drive_ready();
    }
    CHECK(quick == numbers{0, 1, 2, 3, 4, 5});
    CHECK(sim.elapsed() == 0s);
    go_on.set();
    sim.drive_ready();
    CHECK(slow == numbers{0, 1, 2});
    CHECK(newest == numbers{0, 4, 5});
    CHECK(app.counts("stuck").refused == 3);
    CHECK(app.counts("drops").dropped == 3);
    CHECK(app.counts("fails").failed == 6);
    CHECK(app.counts("good").handled == 6);
    std::map<std::string, int> dead;
    app.dead_letters().for_each([&](const dead_letter& l) {
        ++dead[l.endpoint()];
        REQUIRE(l.get<placed>());
        CHECK(l.get<placed>()->what == "tea");
        CHECK(l.get<paid>() == nullptr);
    });
    CHECK(dead == std::map<std::string, int>{{"drops", 3}, {"fails", 6}});
}

TEST_CASE("subscription: unsubscribe() gives up what is queued, and lets the running handler end") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const auto held = std::make_shared<int>(0);
    event go_on;
    numbers begun, ended;
    auto s = app.subscribe<placed>("t", [&, held](const placed& p) -> task<> {
        begun.push_back(p.id);
        co_await go_on.wait();
        ended.push_back(p.id);
    });
    for (int id = 0; id != 3; ++id) app.publish<placed>("t", id);
    sim.drive_ready();
    CHECK(s.unsubscribe());
    CHECK(app.publish<placed>("t", 3).accepted == 0);
    CHECK(s.counts().left == 3);  // one of them is being handled
    CHECK(held.use_count() == 2);
    go_on.set();
    sim.drive_ready();
    CHECK(begun == numbers{0});
    CHECK(ended == numbers{0});
    CHECK(held.use_count() == 1);  // the handler is gone
    CHECK(s.counts().accepted == 3);
    CHECK(s.counts().handled == 1);
    CHECK(s.counts().left == 2);
    CHECK(s.counts().adds_up());
    numbers dead;
    app.dead_letters().for_each([&](const dead_letter& l) {
        CHECK(l.reason().code() == code::closed);
        dead.push_back(l.get<placed>()->id);
    });
    CHECK(dead == numbers{1, 2});
    s = subscription();
    CHECK(app.counts("t").left == 2);  // its account stays
    CHECK(app.counts("t").adds_up());
}

TEST_CASE("subscription: its destructor unsubscribes") {
    simulation sim;
    bus app(sim);
    int heard = 0;
    {
        const auto s = app.subscribe<placed>("t", [&](const placed&) { ++heard; });
        CHECK(app.publish<placed>("t", 1).accepted == 1);
    }
    CHECK(app.publish<placed>("t", 2).accepted == 0);
    sim.drive_ready();
    CHECK(heard == 0);
    CHECK(app.dead_letters().total() == 1);
}

TEST_CASE("subscription: finish() handles what is queued, and says what became of everything") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const auto held = std::make_shared<int>(0);
    numbers handled;
    auto s = app.subscribe<placed>("t", [&, held](const placed& p) -> task<> {
        co_await sleep_for(10ms);
        handled.push_back(p.id);
    });
    for (int id = 0; id != 3; ++id) app.publish<placed>("t", id);
    launched<result<account>> end(sim, s.finish());
    CHECK(app.publish<placed>("t", 3).accepted == 0);
    sim.advance(1s);
    REQUIRE(end.done());
    const auto a = end.value();
    REQUIRE(a);
    CHECK(a->handled == 3);
    CHECK(a->adds_up());
    CHECK(handled == numbers{0, 1, 2});
    CHECK(held.use_count() == 1);
    CHECK(app.dead_letters().total() == 0);
}

TEST_CASE("subscription: a finish() that is cancelled goes on, until the destructor gives it up") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int handled = 0;
    auto s = std::optional(app.subscribe<placed>("t", [&](const placed&) -> task<> {
        co_await sleep_for(10ms);
        ++handled;
    }));
    for (int id = 0; id != 9; ++id) app.publish<placed>("t", id);
    launched<result<account>> end(sim, s->finish());
    sim.advance(15ms);
    end.stop();
    sim.advance(15ms);
    REQUIRE(end.done());
    CHECK(outcome(end.value()) == "cancelled, none");
    CHECK(handled == 3);
    s.reset();
    sim.advance(1s);
    CHECK(handled == 4);
    CHECK(app.counts("t").left == 5);
}

TEST_CASE("subscription: handlers may subscribe and unsubscribe, themselves and others") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    numbers first, second, third;
    const auto held = std::make_shared<int>(0);
    subscription own, other, made;
    other = app.subscribe<placed>("t", [&](const placed& p) { second.push_back(p.id); });
    own = app.subscribe<placed>("t", [&, held](const placed& p) {
        first.push_back(p.id);
        if (p.id == 1) {
            made = app.subscribe<placed>("t", [&](const placed& q) { third.push_back(q.id); });
            CHECK(other.unsubscribe());
        }
        if (p.id == 2) {
            own = subscription();  // it is running: what it holds is still there
            CHECK(held.use_count() == 2);
        }
    });
    for (int id = 0; id != 4; ++id) {
        app.publish<placed>("t", id);
        sim.drive_ready();
    }
    CHECK(first == numbers{0, 1, 2});
    CHECK(third == numbers{2, 3});
    CHECK(second.size() <= 2);
    CHECK(held.use_count() == 1);
    const auto end = app.drain(1s);
    CHECK(end->total.adds_up());
    CHECK(end->total.accepted == 7);
    CHECK(end->total.handled + end->total.left == 7);
}

TEST_CASE("subscription: to unsubscribe twice, or from nothing, is refused") {
    simulation sim;
    std::optional<bus> app(std::in_place, sim);
    auto s = app->subscribe<placed>(topics("t").named("me"), [](const placed&) {});
    auto after = app->subscribe<placed>("t", [](const placed&) {});
    auto kept = app->subscribe<placed>("t", [](const placed&) {});
    CHECK(s.name() == "me");
    CHECK(s.pattern() == "t");
    CHECK(s.unsubscribe());
    const auto twice = s.unsubscribe();
    CHECK(outcome(twice) == "rejected, none");
    CHECK(twice.error().message() == "rejected at me: it has unsubscribed already");
    CHECK(outcome(sync_wait(sim, s.finish())) == "rejected, none");
    subscription moved = std::move(s);
    CHECK(s.unsubscribe().error().message() == "rejected: there is no subscription");
    CHECK(moved.unsubscribe().error().detail() == "it has unsubscribed already");
    kept.keep();
    CHECK(kept.unsubscribe().error().detail() == "there is no subscription");
    CHECK(kept.counts().accepted == 0);
    CHECK(app->publish<placed>("t", 1).accepted == 2);  // kept and after
    app.reset();
    CHECK(outcome(after.unsubscribe()) == "closed, none");
}

TEST_CASE("subscription: bad patterns, names, modes and a bus that drains refuse it") {
    simulation sim;
    bus app(sim);
    const auto held = std::make_shared<int>(0);
    const auto fn = [held](const placed&) {};
    const auto add = [&](const topics& which) {
        return refusal([&] { static_cast<void>(app.subscribe<placed>(which, fn)); });
    };
    CHECK(add("") == "rejected: a pattern must not be empty: \"\"");
    CHECK(add("a..b") == "rejected: a pattern has no empty token: \"a..b\"");
    CHECK(add(">.a") == "rejected: a pattern has > only at its end: \">.a\"");
    CHECK(add("a*") == "rejected: a pattern has * and > only as whole tokens: \"a*\"");
    CHECK(add("a\n") == "rejected: a pattern has no blanks or control characters: \"a\\x0a\"");
    CHECK(add(topics("a.*").named("a b")) ==
          "rejected: a name has no blanks or control characters: \"a b\"");
    CHECK(add(topics("a.*").named("")) == "rejected: a name must not be empty: \"\"");
    CHECK(outcome(app.try_subscribe<placed>("a", serial.capacity(0), fn)) == "rejected, none");
    CHECK(outcome(app.try_subscribe<placed>("a", parallel(0), fn)) == "rejected, none");
    CHECK(app.publish<placed>("a", 1).accepted == 0);
    static_cast<void>(app.drain(0s));
    CHECK(outcome(app.try_subscribe<placed>("a", serial, fn)) == "closed, none");
    CHECK(held.use_count() == 2);  // fn's own
}

TEST_CASE("subscription: what one publishes comes in that order, while others come and go") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        simulation sim(seed);
        bus app(sim);
        std::map<int, numbers> in_turn, by_key;
        const auto one = app.subscribe<placed>("t.*", serial, [&](const placed& p) -> task<> {
            if (p.id % 3 == 0) co_await yield();
            in_turn[p.id / 1000].push_back(p.id % 1000);
        });
        const auto other =
            app.subscribe<placed>("t.*", keyed([](const placed& p) { return p.id / 1000; }),
                                  [&](const placed& p) -> task<> {
                                      if (p.id % 5 == 0) co_await yield();
                                      by_key[p.id / 1000].push_back(p.id % 1000);
                                  });
        const auto publish = [&](int from) -> task<int> {
            const auto to = app.publisher<placed>(from == 0 ? "t.a" : "t.b");
            for (int n = 0; n != 40; ++n) {
                to.publish(1000 * from + n);
                if (n % 3 == 0) co_await yield();
            }
            co_return 0;
        };
        const auto come_and_go = [&](int) -> task<int> {
            for (int n = 0; n != 40; ++n) {
                const auto s = app.subscribe<placed>(n % 2 ? "t.a" : ">", [](const placed&) {});
                co_await yield();
            }
            co_return 0;
        };
        launched<int> first(sim, publish(0)), second(sim, publish(1)), third(sim, come_and_go(0));
        sim.advance(1s);
        numbers expected;
        for (int n = 0; n != 40; ++n) expected.push_back(n);
        const std::map<int, numbers> both{{0, expected}, {1, expected}};
        CHECK(in_turn == both);
        CHECK(by_key == both);
        CHECK(app.drain(1s)->total.adds_up());
    }
}

TEST_CASE("subscription: in every mode its handler goes as soon as nothing of it runs any more") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        simulation sim(seed);
        bus app(sim);
        const auto held = std::make_shared<int>(0);
        const auto fn = [held](const placed& p) -> task<> { co_await sleep_for(1ms * (p.id % 3)); };
        std::vector<subscription> all;
        all.push_back(app.subscribe<placed>("t", serial, fn));
        all.push_back(app.subscribe<placed>("t", serial.full(when_full::drop_oldest), fn));
        all.push_back(app.subscribe<placed>("t", parallel(3), fn));
        all.push_back(app.subscribe<placed>("t", keyed(&placed::id), fn));
        all.push_back(
            app.subscribe<placed>("t", keyed(&placed::id).full(when_full::drop_oldest), fn));
        CHECK(held.use_count() == 7);
        for (int id = 0; id != 10; ++id) app.publish<placed>("t", id);
        if (seed % 2 == 0) sim.advance(3ms);
        all.clear();
        sim.advance(1s);
        CHECK(held.use_count() == 2);
        CHECK(app.counts("t").accepted == 50);
        CHECK(app.counts("t").adds_up());
        const auto end = app.drain(1s);
        CHECK(end->in_time);
        CHECK(end->subscribers.size() == 1);
        CHECK(end->total.handled + end->total.left == 50);
        CHECK(app.dead_letters().total() == end->total.left);
    }
}

TEST_CASE("subscription: the bus that drains finishes what subscribers have, and tells by topic") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<paid>("paid", [&](const paid& p) { app.publish<placed>("b.c", p.id); });
    const auto slow = app.subscribe<placed>(
        topics("b.*").named("slow"), [](const placed&) -> task<> { co_await sleep_for(10ms); });
    const auto plain = app.subscribe<placed>("b.>", [](const placed&) {});
    app.subscribe<placed>("b.>", [](const placed&) {}).keep();
    CHECK(app.publish<placed>("nobody", 1).accepted == 0);
    for (int n = 0; n != 3; ++n) CHECK(app.client<paid>("paid").send(n));
    const auto end = app.drain(1s);
    CHECK(end->in_time);
    CHECK(sim.elapsed() == 30ms);
    REQUIRE(end->endpoints.size() == 1);
    CHECK(end->endpoints[0].endpoint == "paid");
    REQUIRE(end->subscribers.size() == 2);
    CHECK(end->subscribers[0].name == "b.>");
    CHECK(end->subscribers[0].pattern == "b.>");
    CHECK(end->subscribers[0].messages.handled == 6);  // the two of them
    CHECK(end->subscribers[1].name == "slow");
    CHECK(end->subscribers[1].pattern == "b.*");
    CHECK(end->subscribers[1].messages.handled == 3);
    CHECK(end->total.handled == 12);
    CHECK(end->unheard == 1);
    CHECK(app.publish<placed>("b.c", 1).why_not == code::closed);
    CHECK_FALSE(app.publish<placed>("b.c", 1));
}

TEST_CASE("subscription: at the end of the grace it is stopped, and what is queued is left") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int stopped = 0;
    const auto s = app.subscribe<placed>("t", [&](const placed&, context& ctx) -> task<> {
        co_await sleep_for(1h);
        stopped += ctx.stop().stop_requested();
    });
    for (int id = 0; id != 3; ++id) app.publish<placed>("t", id);
    const auto end = app.drain(1s);
    CHECK_FALSE(end->in_time);
    CHECK(stopped == 1);
    CHECK(end->total.left == 2);
    CHECK(end->total.adds_up());
    CHECK(app.dead_letters().total() == 2);
}

TEST_CASE("subscription: outlives the bus, without its handler") {
    testing::no_frames_left frames;
    const auto held = std::make_shared<int>(0);
    simulation sim;
    subscription s;
    std::optional<publisher<placed>> to;
    {
        bus app(sim);
        to = app.publisher<placed>("t", keep_latest);
        s = app.subscribe<placed>(
            "t", [&, held](const placed&) -> task<> { co_await testing::stand_still(); });
        to->publish(1);
        sim.drive_ready();
    }
    CHECK(held.use_count() == 1);
    CHECK(to->publish(2).why_not == code::closed);
    CHECK(s.counts().failed == 1);
    CHECK(outcome(s.unsubscribe()) == "closed, none");
}

TEST_CASE(
    "subscription: one held by its own handler, or by a kept message, does not hold the bus") {
    struct carries_one {
        std::shared_ptr<subscription> s;
    };
    std::weak_ptr<subscription> first, second;
    {
        simulation sim;
        bus app(sim);
        const auto s = std::make_shared<subscription>();
        *s = app.subscribe<placed>("t", [s](const placed&) {});
        first = s;
        const auto t = std::make_shared<subscription>();
        *t = app.subscribe<placed>("t", [](const placed&) {});
        second = t;
        app.publisher<carries_one>("t", keep_latest).publish(t);
    }
    CHECK(first.expired());
    CHECK(second.expired());
}
