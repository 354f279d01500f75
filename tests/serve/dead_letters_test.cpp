#include <posthaste/serve/dead_letters.hpp>

#include "../support/conversation.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct note {
    std::string text;
};
struct other {
    int n;
};
struct held {
    std::shared_ptr<int> p;
};

std::vector<std::string> texts(const dead_letters& d) {
    std::vector<std::string> all;
    d.for_each([&](const dead_letter& l) {
        const note* n = l.get<note>();
        all.push_back(n ? n->text : "?");
    });
    return all;
}

}  // namespace

TEST_CASE("dead_letters: a failed send ends there, with all that is known of it") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 4))));
    bus app(sim);
    app.handle<note>("log", [](const note&) -> task<> {
        co_await sleep_for(3ms);
        throw std::runtime_error("disk full");
    });
    CHECK(app.client<note>("log").send("hello"));
    sim.advance(10ms);
    REQUIRE(app.dead_letters().size() == 1);
    CHECK(app.dead_letters().total() == 1);
    app.dead_letters().for_each([](const dead_letter& l) {
        CHECK(l.endpoint() == "log");
        CHECK_THAT(std::string(l.type()), Catch::Matchers::ContainsSubstring("note"));
        CHECK(l.reason().message() == "handler failed at log: disk full");
        CHECK(l.reason().effect() == effect::complete);
        CHECK(l.reason().exception() != nullptr);
        CHECK(l.attempts() == 1);
        CHECK(l.since() == time_point(3ms));
        REQUIRE(l.get<note>());
        CHECK(l.get<note>()->text == "hello");
        CHECK(l.get<other>() == nullptr);
    });
}

TEST_CASE("dead_letters: what was moved into a handler that failed is not shown") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("log", [](note) { throw 1; });
    CHECK(app.client<note>("log").send("hello"));
    sim.advance(1ms);
    CHECK(texts(app.dead_letters()) == std::vector<std::string>{"?"});
}

TEST_CASE("dead_letters: what was dropped from a full queue is there, unstarted and intact") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("oldest", serial.capacity(2).full(when_full::drop_oldest), [](note) {});
    app.handle<note>("newest", serial.capacity(2).full(when_full::drop_newest), [](note) {});
    const auto oldest = app.client<note>("oldest"), newest = app.client<note>("newest");
    for (const char* text : {"1", "2", "3"}) CHECK(oldest.send(text));
    CHECK(texts(app.dead_letters()) == std::vector<std::string>{"1"});
    for (const char* text : {"4", "5", "6"}) CHECK(newest.send(text));
    CHECK(texts(app.dead_letters()) == std::vector<std::string>{"1", "6"});
    std::vector<std::string> reasons;
    app.dead_letters().for_each(
        [&](const dead_letter& l) { reasons.push_back(l.reason().message()); });
    CHECK(reasons == std::vector<std::string>{"overloaded at oldest: it gave way to a newer one",
                                              "overloaded at newest: the queue is full"});
    sim.advance(1ms);
}

TEST_CASE("dead_letters: what a drain gives up is there, intact") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("slow", [](note) -> task<> { co_await sleep_for(1h); });
    const auto c = app.client<note>("slow");
    for (const char* text : {"1", "2", "3"}) CHECK(c.send(text));
    const auto account = app.drain(10ms);
    CHECK(account->total.left == 2);
    CHECK(texts(app.dead_letters()) == std::vector<std::string>{"2", "3"});
}

TEST_CASE("dead_letters: a call's failure is its caller's, no dead letter") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("log", [](note) { throw 1; });
    const auto r = app.run(
        [&]() -> task<result<void>> { co_return co_await app.client<note>("log").call("hello"); });
    CHECK(outcome(r) == "handler failed, complete");
    CHECK(app.dead_letters().total() == 0);
}

TEST_CASE("dead_letters: a send that waited for room ends there with its message, too") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 8))));
    bus app(sim);
    app.handle<note>("log", serial.capacity(1).full(when_full::wait), [](const note&) -> task<> {
        co_await sleep_for(1ms);
        throw 1;
    });
    const auto c = app.client<note>("log");
    const auto send_all = [](client<note> to) -> task<int> {
        int accepted = 0;
        for (int i = 0; i != 5; ++i) {
            const auto ok = co_await to.send_when_room("a text that is too long for its place");
            accepted += ok.has_value();
        }
        co_return accepted;
    };
    launched<int> sender(sim, send_all(c));
    sim.advance(1s);
    CHECK(sender.value() == 5);
    CHECK(app.dead_letters().total() == 5);
    CHECK(texts(app.dead_letters()) ==
          std::vector<std::string>(5, "a text that is too long for its place"));
}

TEST_CASE("dead_letters: the latest are kept, all are counted") {
    testing::no_frames_left frames;
    simulation sim;
    const auto capacity = static_cast<std::size_t>(GENERATE(0, 1, 3));
    bus_options options;
    options.dead_letters = capacity;
    bus app(sim, options);
    int told = 0;
    app.dead_letters().on_letter([&](const dead_letter&) { ++told; });
    app.handle<note>("log", [](const note&) { throw 1; });
    const auto c = app.client<note>("log");
    for (const char* text : {"1", "2", "3", "4", "5"}) {
        CHECK(c.send(text));
        sim.advance(1ms);
    }
    CHECK(app.dead_letters().total() == 5);
    CHECK(told == 5);
    const std::vector<std::string> all{"1", "2", "3", "4", "5"};
    const auto first = all.end() - static_cast<std::ptrdiff_t>(capacity);
    CHECK(texts(app.dead_letters()) == std::vector<std::string>(first, all.end()));
    app.dead_letters().clear();
    CHECK(app.dead_letters().size() == 0);
    CHECK(app.dead_letters().total() == 5);
}

TEST_CASE("dead_letters: what the hook throws is counted, and the letter is kept") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.dead_letters().on_letter([](const dead_letter&) { throw std::runtime_error("mine"); });
    app.handle<note>("log", [](const note&) { throw 1; });
    CHECK(app.client<note>("log").send("hello"));
    sim.advance(1ms);
    CHECK(app.dead_letters().hook_failures() == 1);
    CHECK(texts(app.dead_letters()) == std::vector<std::string>{"hello"});
    CHECK(app.counts("log").failed == 1);
    app.dead_letters().on_letter(nullptr);
    CHECK(app.client<note>("log").send("again"));
    sim.advance(1ms);
    CHECK(app.dead_letters().hook_failures() == 1);
}

TEST_CASE("dead_letters: hook and visitor may use the bus and the dead letters themselves") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<std::string> alarms;
    app.handle<other>("alarm", [&](other o) { alarms.push_back(std::to_string(o.n)); });
    app.handle<note>("log", [](const note&) { throw 1; });
    auto& dead = app.dead_letters();
    dead.on_letter([&, alarm = app.client<other>("alarm")](const dead_letter& l) {
        alarm.send(static_cast<int>(l.get<note>()->text.size()));
        CHECK(dead.size() == 0);  // it is told before it is kept
    });
    CHECK(app.client<note>("log").send("four"));
    sim.advance(1ms);
    CHECK(alarms == std::vector<std::string>{"4"});
    dead.for_each([&](const dead_letter& l) {
        CHECK(dead.total() == 1);
        dead.clear();
        CHECK(l.get<note>()->text == "four");  // it stays while it is looked at
    });
    CHECK(dead.size() == 0);
}

TEST_CASE("dead_letters: messages go with their letters, and letters with the bus") {
    testing::no_frames_left frames;
    auto p = std::make_shared<int>(1);
    auto hooked = std::make_shared<int>(2);
    simulation sim;
    std::unique_ptr<client<held>> outlives;
    {
        bus app(sim);
        app.dead_letters().on_letter([hooked](const dead_letter&) {});
        app.handle<held>("log", [](const held&) { throw 1; });
        outlives = std::make_unique<client<held>>(app.client<held>("log"));
        CHECK(outlives->send(p));
        sim.advance(1ms);
        CHECK(p.use_count() == 2);
    }
    CHECK(p.use_count() == 1);
    CHECK(hooked.use_count() == 1);
}

namespace {

/// A bus whose handler of notes fails as long as `down`.
struct shop {
    simulation sim;
    bus app{sim};
    bool down = true;
    std::vector<std::string> handled;
    template <typename Mode>
    explicit shop(const Mode& mode) {
        app.handle<note>("log", mode, [this](const note& n, context& ctx) {
            if (down) throw std::runtime_error("down");
            handled.push_back(n.text + " " + std::to_string(ctx.attempt()));
        });
    }
    dead_letters& dead() { return app.dead_letters(); }
    void send(std::initializer_list<const char*> all) {
        for (const char* text : all) {
            CHECK(app.client<note>("log").send(text));
            sim.advance(1min);
        }
    }
    std::uint64_t number_of(const std::string& text) {
        std::uint64_t n = 0;
        dead().for_each([&](const dead_letter& l) {
            if (l.get<note>()->text == text) n = l.number();
        });
        return n;
    }
};

}  // namespace

TEST_CASE("dead_letters: requeued one by one, a message is handled as a new one") {
    testing::no_frames_left frames;
    shop s(serial.at_least_once({.attempts = 2}));
    s.send({"a", "b"});
    s.down = false;
    REQUIRE(s.dead().size() == 2);
    CHECK(s.dead().requeue(s.number_of("b")));
    CHECK(texts(s.dead()) == std::vector<std::string>{"a"});
    s.sim.advance(1min);
    CHECK(s.handled == std::vector<std::string>{"b 1"});
    const account a = s.app.counts("log");
    CHECK(a.accepted == 3);
    CHECK(a.handled == 1);
    CHECK(a.failed == 2);
    CHECK(a.adds_up());
}

TEST_CASE("dead_letters: requeued from inside a look at them, the letter stays, its message goes") {
    testing::no_frames_left frames;
    shop s(parallel(2));
    s.send({"a", "b"});
    s.down = false;
    s.dead().for_each([&](const dead_letter& l) {
        CHECK(s.dead().requeue(l));
        CHECK(l.get<note>() == nullptr);
        CHECK(l.endpoint() == "log");
        CHECK(s.dead().requeue(l).error().message() ==
              "rejected: that letter is not kept any more");
    });
    CHECK(s.dead().size() == 0);
    s.sim.advance(1min);
    CHECK(s.handled.size() == 2);
}

TEST_CASE("dead_letters: requeued by a filter") {
    testing::no_frames_left frames;
    shop s(serial);
    s.send({"a", "b", "a"});
    s.down = false;
    const auto is_a = [](const dead_letter& l) { return l.get<note>()->text == "a"; };
    CHECK(s.dead().requeue_if(is_a) == 2);
    CHECK(s.dead().requeue_if(is_a) == 0);
    s.sim.advance(1min);
    CHECK(s.handled == std::vector<std::string>{"a 1", "a 1"});
    CHECK(texts(s.dead()) == std::vector<std::string>{"b"});
}

TEST_CASE("dead_letters: one that fails again is as old as it was, and a letter anew") {
    testing::no_frames_left frames;
    const bool at_least_once = GENERATE(false, true);
    shop s(serial.at_least_once({.attempts = at_least_once ? 3u : 1u}));
    s.sim.advance(1h);
    s.send({"a"});
    s.sim.advance(1h);
    CHECK(s.dead().requeue(1));
    s.sim.advance(1min);
    REQUIRE(s.dead().size() == 1);
    CHECK(s.dead().total() == 2);
    s.dead().for_each([&](const dead_letter& l) {
        CHECK(l.number() == 2);
        CHECK(l.first_seen() == time_point(1h));
        CHECK(l.since() >= time_point(2h));
        CHECK(l.attempts() == (at_least_once ? 3 : 1));
    });
}

TEST_CASE(
    "dead_letters: of an endpoint that delivers once, too, and what is dropped then has run") {
    testing::no_frames_left frames;
    shop s(serial.capacity(1).full(when_full::drop_newest));
    s.send({"a"});
    const time_point first = s.sim.now() - 1min;
    CHECK(s.app.client<note>("log").send("b"));  // fills the queue
    CHECK(s.dead().requeue(1));                  // accepted, and dropped
    s.dead().for_each([&](const dead_letter& l) {
        CHECK(l.reason().code() == code::overloaded);
        CHECK(l.reason().effect() == effect::complete);
        CHECK(l.first_seen() == first);
        CHECK(l.last_error()->message() == "handler failed at log: down");
    });
    s.sim.advance(1min);
}

TEST_CASE("dead_letters: a requeue that cannot be says why, and the letter stays") {
    testing::no_frames_left frames;
    shop s(serial.capacity(1));
    s.send({"a"});
    CHECK(s.dead().requeue(7).error().message() == "rejected: that letter is not kept any more");
    CHECK(s.dead().requeue(0).error().code() == code::rejected);
    CHECK(s.app.client<note>("log").send("b"));
    CHECK(s.dead().requeue(1).error().message() == "overloaded at log: the queue is full");
    CHECK(texts(s.dead()) == std::vector<std::string>{"a"});
    s.sim.advance(1min);
    static_cast<void>(s.app.drain(1s));
    CHECK(s.dead().requeue(1).error().message() == "closed at log");
    CHECK(texts(s.dead()) == std::vector<std::string>{"a", "b"});
    s.dead().clear();
    CHECK(s.dead().requeue(1).error().code() == code::rejected);
}

TEST_CASE("dead_letters: what was moved into a handler cannot be requeued") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("log", [](note) { throw 1; });
    CHECK(app.client<note>("log").send("hello"));
    sim.advance(1ms);
    CHECK_THAT(app.dead_letters().requeue(1).error().message(),
               Catch::Matchers::ContainsSubstring("takes const M& leaves it whole"));
    CHECK(app.dead_letters().size() == 1);
}

TEST_CASE("dead_letters: a send that waited for room may be requeued, too") {
    testing::no_frames_left frames;
    shop s(serial.capacity(1).full(when_full::wait));
    launched<result<void>> sender(s.sim, [](client<note> c) -> task<result<void>> {
        co_return co_await c.send_when_room("x");
    }(s.app.client<note>("log")));
    s.sim.advance(1min);
    s.down = false;
    CHECK(s.dead().requeue(1));
    s.sim.advance(1min);
    CHECK(s.handled == std::vector<std::string>{"x 1"});
}

TEST_CASE("dead_letters: a hook that is called by a sender may wait for the end of the bus") {
    testing::no_frames_left frames;
    const bool destroys = GENERATE(false, true);
    const auto mode = serial.capacity(1).full(GENERATE(when_full::drop_oldest,  //
                                                       when_full::drop_newest));
    std::binary_semaphore running(0), goes_on(0);
    std::atomic<int> handled = 0;
    auto app = std::make_unique<bus>();
    app->handle<other>("log", mode, [&](other o) {
        if (o.n == 1) {
            running.release();
            CHECK(goes_on.try_acquire_for(10s));
        }
        ++handled;
    });
    bool in_time = false, once = true;
    app->dead_letters().on_letter([&](const dead_letter&) {
        if (!std::exchange(once, false)) return;
        goes_on.release();
        const auto end = app->drain(10s);
        in_time = end && end->in_time;
        if (destroys) app.reset();
    });
    const auto log = app->client<other>("log");
    CHECK(log.send(1));
    REQUIRE(running.try_acquire_for(10s));  // it has left the queue
    CHECK(log.send(2));
    static_cast<void>(log.send(3));
    CHECK(in_time);
    CHECK(handled == (mode.full() == when_full::drop_newest ? 2 : 1));
}

TEST_CASE("dead_letters: a subscriber may end while a letter of its own is requeued") {
    testing::no_frames_left frames;
    std::binary_semaphore running(0), goes_on(0), gone(0);
    bus app;
    struct tells {
        std::binary_semaphore& gone;
        ~tells() { gone.release(); }
    };
    auto held = std::make_shared<tells>(gone);
    std::optional<subscription> s =
        app.subscribe<other>("t", serial.capacity(1).full(when_full::drop_oldest),
                             [&, held = std::move(held)](const other& o) {
                                 if (o.n == 1) {
                                     running.release();
                                     CHECK(goes_on.try_acquire_for(10s));
                                 }
                             });
    std::optional<publisher<other>> topic = app.publisher<other>("t");
    CHECK(topic->publish(1));
    REQUIRE(running.try_acquire_for(10s));  // it has left the queue
    CHECK(topic->publish(2));
    CHECK(topic->publish(3));
    REQUIRE(app.dead_letters().size() == 1);
    bool once = true;
    app.dead_letters().on_letter([&](const dead_letter&) {
        if (!std::exchange(once, false)) return;
        s.reset(), topic.reset();
        goes_on.release();
        CHECK(gone.try_acquire_for(10s));  // it has come to rest, and its handler is destroyed
    });
    CHECK(outcome(app.dead_letters().requeue(1)) == "closed, none");
    CHECK(!once);
}
