#include <posthaste/serve/subscriber_handler.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct note {
    int n;
};
struct question {
    using reply = int;
    int n;
};
int heard = 0;
void plain(const note& m) { heard += m.n; }

struct counts {  // an object with state
    int sum = 0;
    void operator()(const note& m) { heard += sum += m.n; }
};

}  // namespace

TEST_CASE("subscriber_handler: takes the message by reference or value, with or without context") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<subscription> all;
    const auto listen = [&](auto fn) { all.push_back(app.subscribe<note>("t", std::move(fn))); };
    heard = 0;
    listen(plain);
    listen(counts{});
    listen([](note m) { heard += m.n; });
    listen([](const note& m, context& ctx) { heard += m.n * (ctx.deadline() == never); });
    listen([](note m, context&) -> task<> {
        co_await yield();
        heard += m.n;
    });
    listen([](const auto& m) -> task<> {
        co_await sleep_for(1ms);
        heard += m.n;
    });
    listen([](const note& m) -> task<result<void>> {
        heard += m.n;
        co_return result<void>();
    });
    CHECK(app.publish<note>("t", 1).accepted == 7);
    sim.advance(1ms);
    CHECK(heard == 7);
    CHECK(app.publish<note>("t", 1).accepted == 7);
    sim.advance(1ms);
    CHECK(heard == 7 + 8);
}

TEST_CASE(
    "subscriber_handler: one that throws has failed, and goes on with the next in its order") {
    simulation sim;
    bus app(sim);
    std::vector<int> seen;
    const auto s = app.subscribe<note>("t", [&](const note& m) {
        seen.push_back(m.n);
        if (m.n % 2) throw m.n;
    });
    for (int n = 0; n != 150; ++n) app.publish<note>("t", n);
    sim.drive_ready();
    REQUIRE(seen.size() == 150);
    for (int n = 0; n != 150; ++n) CHECK(seen[static_cast<std::size_t>(n)] == n);
    const account a = s.counts();
    CHECK(a.accepted == 150);
    CHECK(a.handled == 75);
    CHECK(a.failed == 75);
    CHECK(a.adds_up());
    CHECK(app.dead_letters().total() == 75);
}

TEST_CASE("subscriber_handler: those that come again are among the others") {
    simulation sim;
    bus app(sim);
    int odd = 0, even = 0;
    const auto s = app.subscribe<note>("t", [&](const note& m) {
        ++(m.n % 2 ? odd : even);
        if (m.n % 2 && odd <= 3) throw m.n;
    });
    for (int n = 0; n != 6; ++n) app.publish<note>("t", n);
    sim.drive_ready();
    CHECK(app.dead_letters().requeue_if([](const dead_letter&) { return true; }) == 3);
    for (int n = 0; n != 6; ++n) app.publish<note>("t", n);
    sim.drive_ready();
    CHECK(even == 6);
    CHECK(odd == 3 + 3 + 3);
    CHECK(s.counts().handled == 6 + 3 + 3);
    CHECK(s.counts().failed == 3);
    CHECK(app.dead_letters().size() == 0);
}

TEST_CASE("subscriber_handler: one that fails is delivered again in its place") {
    simulation sim;
    bus app(sim);
    std::vector<int> seen;
    const auto s =
        app.subscribe<note>("t", serial.at_least_once({.attempts = 5}), [&](const note& m) {
            seen.push_back(m.n);
            if (m.n == 1 && seen.size() < 4) throw m.n;
        });
    for (int n = 0; n != 3; ++n) app.publish<note>("t", n);
    sim.advance(1h);
    CHECK(seen == std::vector<int>{0, 1, 1, 1, 2});
    CHECK(s.counts().handled == 3);
    CHECK(s.counts().redelivered == 2);
}

TEST_CASE("subscriber_handler: one that ends its subscription hears no more") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<int> seen;
    subscription s;
    s = app.subscribe<note>("t", [&](const note& m) {
        seen.push_back(m.n);
        if (m.n == 1) CHECK(s.unsubscribe());
    });
    for (int n = 0; n != 5; ++n) app.publish<note>("t", n);
    sim.drive_ready();
    CHECK(seen == std::vector<int>{0, 1});
    CHECK(s.counts().handled == 2);
    CHECK(s.counts().left == 3);
    CHECK(app.dead_letters().total() == 3);
}

TEST_CASE("subscriber_handler: many messages leave others their turn") {
    simulation sim;
    bus app(sim);
    std::vector<int> turns;  // who handles, without repetition
    const auto note_turn = [&](int who) {
        if (turns.empty() || turns.back() != who) turns.push_back(who);
    };
    const auto a = app.subscribe<note>("t", [&](const note&) { note_turn(1); });
    const auto b = app.subscribe<note>("t", [&](const note&) { note_turn(2); });
    for (int n = 0; n != 200; ++n) app.publish<note>("t", n);
    sim.drive_ready();
    CHECK(turns.size() >= 4);
    CHECK(a.counts().handled + b.counts().handled == 400);
}

TEST_CASE("subscriber_handler: the reply of a message that has one is dropped, a failure counted") {
    simulation sim;
    bus app(sim);
    const auto answers = app.subscribe<question>(topics("t").named("answers"),
                                                 [](const question& q) { return q.n; });
    const auto fails =
        app.subscribe<question>(topics("t").named("fails"), [](const question&) -> result<int> {
            return failure(code::unavailable, effect::none, "not today");
        });
    app.publish<question>("t", 5);
    sim.drive_ready();
    CHECK(app.counts("answers").handled == 1);
    CHECK(app.counts("fails").failed == 1);
    app.dead_letters().for_each([](const dead_letter& l) {
        CHECK(l.reason().code() == code::unavailable);
        REQUIRE(l.get<question>());
        CHECK(l.get<question>()->n == 5);
    });
    CHECK(app.dead_letters().total() == 1);
}
