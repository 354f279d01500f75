#include <posthaste/serve/dead_letters.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
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
