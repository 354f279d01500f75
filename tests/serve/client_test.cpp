#include <posthaste/serve/client.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct sum {
    using reply = int;
    int a;
    int b = 10;
};
struct text {
    using reply = std::size_t;
    std::string what;
};
struct note {
    std::string what;
};
struct ask {
    using reply = int;
    int n;
};
struct throws_when_built {
    explicit throws_when_built(int n) {
        if (n < 0) throw std::runtime_error("negative");
    }
};

void make(bus& app) {
    app.handle<sum, text, note>("all", [](const auto& m) {
        using M = std::remove_cvref_t<decltype(m)>;
        if constexpr (std::is_same_v<M, sum>) return m.a + m.b;
        else if constexpr (std::is_same_v<M, text>) return m.what.size();
    });
}

}  // namespace

TEST_CASE("client: builds the message from its members, or takes one") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    make(app);
    const auto only_sum = app.client<sum>("all");
    const auto all = app.client<sum, text, note>("all");
    app.run([&]() -> task<> {
        const auto both = co_await only_sum.call(1, 2);
        CHECK(*both == 3);
        const auto one = co_await only_sum.call(1);
        CHECK(*one == 11);
        const sum named{4, 5};
        const auto whole = co_await only_sum.call(named);
        CHECK(*whole == 9);
        const auto which = co_await all.call<sum>(1, 1);
        CHECK(*which == 2);
        const text t{"four"};
        const auto deduced = co_await all.call(t);
        CHECK(*deduced == 4);
        const auto in_place = co_await all.call<text>("fives");
        CHECK(*in_place == 5);
        const auto none = co_await all.call<note>("x");
        CHECK(none.has_value());
    });
    CHECK(all.send<note>("y"));
    CHECK(all.send<text>("z"));
    CHECK(only_sum.send(1, 2));
    const text t{"lvalue"};
    CHECK(all.send(t));
    sim.advance(1ms);
    CHECK(app.counts("all").handled == 11);
}

TEST_CASE("client: the words of a call end in the result it promises") {
    using sum_client = client<sum, note>;
    STATIC_REQUIRE(std::is_same_v<await_result_t<decltype(std::declval<sum_client>().call<sum>(1))>,
                                  result<int>>);
    STATIC_REQUIRE(
        std::is_same_v<await_result_t<decltype(std::declval<sum_client>().call<note>("x"))>,
                       result<void>>);
    STATIC_REQUIRE(
        std::is_same_v<await_result_t<decltype(std::declval<sum_client>().send_when_room<sum>(1))>,
                       result<void>>);
    STATIC_REQUIRE(noexcept(std::declval<sum_client>().send<note>("x")));
}

TEST_CASE("client: send goes on at once and says whether it was accepted") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int handled = 0;
    app.handle<ask>("ask", serial.capacity(2), [&](ask) { return ++handled; });
    const auto c = app.client<ask>("ask");
    CHECK(c.send(1));
    CHECK(c.send(2));
    CHECK(handled == 0);
    CHECK(outcome(c.send(3)) == "overloaded, none");
    sim.advance(1ms);
    CHECK(handled == 2);
    CHECK(outcome(app.client<ask>("nobody").send(1)) == "no handler, none");
}

TEST_CASE("client: a message that cannot be built is refused, and nothing happens") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int handled = 0;
    app.handle<throws_when_built>("t", [&](throws_when_built) { ++handled; });
    const auto c = app.client<throws_when_built>("t");
    CHECK(outcome(c.send(-1)) == "overloaded, none");
    app.run([&]() -> task<> {
        const auto called = co_await c.call(-1);
        CHECK(outcome(called) == "overloaded, none");
        const auto waited = co_await c.send_when_room(-1);
        CHECK(outcome(waited) == "overloaded, none");
    });
    CHECK(c.send(1));
    sim.advance(1ms);
    CHECK(handled == 1);
    CHECK(app.counts("t").accepted == 1);
}

TEST_CASE("client: outlives the bus, and then answers closed") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 4))));
    std::optional<client<ask>> c, unknown;
    {
        bus app(sim);
        app.handle<ask>("ask", [](ask a) { return a.n; });
        c = app.client<ask>("ask");
        unknown = app.client<ask>("nobody");
    }
    CHECK(c->name() == "ask");
    CHECK(outcome(c->send(1)) == "closed, none");
    CHECK(outcome(unknown->send(1)) == "closed, none");
    const auto use = [](client<ask> of) -> task<std::string> {
        const auto called = co_await of.call(1);
        const auto sent = co_await of.send_when_room(1);
        co_return outcome(called) + "; " + outcome(sent);
    };
    launched<std::string> caller(sim, use(*c)), stranger(sim, use(*unknown));
    sim.advance(1ms);
    CHECK(caller.value() == "closed, none; closed, none");
    CHECK(stranger.value() == "closed, none; closed, none");
}

TEST_CASE("client: may be destroyed by the handler that it calls") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 4))));
    bus app(sim);
    std::unique_ptr<client<ask>> c;
    app.handle<ask>("ask", [&](ask a) -> task<int> {
        c.reset();
        if (a.n == 1) co_await sleep_for(1ms);
        else co_await yield();
        if (a.n == 0) throw std::runtime_error("x");
        co_return a.n;
    });
    const auto call = [&](int n) {
        c = std::make_unique<client<ask>>(app.client<ask>("ask"));
        return app.run([&]() -> task<result<int>> { co_return co_await c->call(n); });
    };
    CHECK(*call(7) == 7);
    CHECK_FALSE(c);
    CHECK(call(0).error().path() == "ask");
    c = std::make_unique<client<ask>>(app.client<ask>("ask", deadline(1ns)));
    const auto late = app.run([&]() -> task<result<int>> {
        app.client<ask>("ask").send(1);  // destroys it while the call is queued
        co_return co_await c->call(2);
    });
    CHECK(late.error().path() == "ask");
}

namespace {
struct carries_it {  // all that keeps its client
    std::shared_ptr<client<carries_it>> by;
};
struct ends_it {
    explicit ends_it(std::unique_ptr<client<ends_it>>& by, bool throws = false) {
        by.reset();
        if (throws) throw std::runtime_error("not built");
    }
};
}  // namespace

TEST_CASE("client: may go with its own message, where that is refused, too") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<carries_it>("full", serial.capacity(1), [](const carries_it&) {});
    std::vector<std::string> answers;
    const auto send = [&](auto by_what) {
        auto c = std::make_shared<client<carries_it>>(app.client<carries_it>("full"));
        const auto& kept = *c;
        answers.push_back(outcome(by_what(kept, std::move(c))));
    };
    const auto at_once = [](const auto& c, auto m) { return c.send(std::move(m)); };
    send(at_once);
    send(at_once);
    app.handle<note>("sender", [&](const note&, outbox& out) {
        send([&](const auto& c, auto m) { return out.send(c, std::move(m)); });
        send([&](const auto& c, auto m) { return out.send_after(c, 1h, std::move(m)); });
    });
    app.run([&]() -> task<> {
        send(at_once), send(at_once);
        auto c = std::make_shared<client<carries_it>>(app.client<carries_it>("full"));
        const auto& kept = *c;
        const auto sent = co_await kept.send_when_room(std::move(c));
        answers.push_back(outcome(sent));
        auto d = std::make_shared<client<carries_it>>(app.client<carries_it>("full"));
        const auto& called = *d;
        const auto answer = co_await called.call(std::move(d));
        answers.push_back(outcome(answer));
        const auto sender = app.client<note>("sender");
        static_cast<void>(co_await sender.call("x"));
    });
    const std::string full = "overloaded, none";
    CHECK(answers ==
          std::vector<std::string>{"value", full, full, full, full, full, full, "value"});
}

TEST_CASE("client: may go while its message is built") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<ends_it>("full", serial.capacity(1), [](const ends_it&) {});
    std::unique_ptr<client<ends_it>> c;
    const auto by = [&]() -> client<ends_it>& {
        c = std::make_unique<client<ends_it>>(app.client<ends_it>("full"));
        return *c;
    };
    CHECK(outcome(by().send(c)) == "value");
    const auto full = by().send(c);
    CHECK(outcome(full) == "overloaded, none");
    CHECK(full.error().path() == "full");
    const auto not_built = by().send(c, true);
    CHECK(outcome(not_built) == "overloaded, none");
    CHECK(not_built.error().path() == "full");
    CHECK(by().send_after(1h, c, true).error().code() == code::overloaded);
    sim.drive_ready();
    CHECK(app.counts("full").handled == 1);
    app.run([&]() -> task<> {
        const auto sent = co_await by().send_when_room(c);
        CHECK(outcome(sent) == "value");
        co_await sleep_for(1us);
        const auto called = co_await by().call(c);
        CHECK(outcome(called) == "value");
        const auto refused = co_await by().call(c, true);
        CHECK(outcome(refused) == "overloaded, none");
    });
    app.handle<note>("sender", [&](const note&, outbox& out) {
        CHECK(outcome(out.send(by(), c, true)) == "overloaded, none");
        CHECK(outcome(out.send_after(by(), 1h, c, true)) == "overloaded, none");
        CHECK(outcome(out.send(by(), c)) == "value");
    });
    CHECK(app.client<note>("sender").send("x"));
    sim.drive_ready();
    CHECK(app.counts("full").handled == 4);
}

TEST_CASE("client: the last one may go with a handler, after the bus") {
    testing::no_frames_left frames;
    const auto alive = std::make_shared<int>(1);
    simulation sim;
    {
        bus app(sim);
        app.handle<ask>("self", [c = app.client<ask>("self"), alive](ask a) { return a.n; });
        CHECK(alive.use_count() == 2);
    }
    CHECK(alive.use_count() == 1);  // a client inside its own bus does not keep it alive
}

TEST_CASE("client: copies are interchangeable") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<ask>("ask", [](ask a) { return a.n; });
    const auto a = app.client<ask>("ask", deadline(0s));
    auto b = a;
    auto c = std::move(b);
    CHECK(outcome(app.run([&]() -> task<result<int>> { co_return co_await c.call(7); })) ==
          "deadline exceeded, none");
    CHECK(c.send(1));  // a send has no deadline
}

TEST_CASE("client: calls and sends from threads of no executor, and of another pool") {
    testing::no_frames_left frames;
    bus app;
    std::atomic<int> handled = 0, at_home = 0;
    app.handle<ask>("ask", [&](ask a) {
        ++handled;
        at_home += app.home().here();
        return a.n;
    });
    const auto c = app.client<ask>("ask");
    std::atomic<int> right = 0;
    const auto use = [](client<ask> of, std::atomic<int>& count) -> task<> {
        for (int i = 0; i != 100; ++i) {
            const auto r = co_await of.call(i);
            count += r.has_value() && *r == i;
            count += of.send(i).has_value();
        }
    };
    std::thread foreign([&] { sync_wait(use(c, right)); });
    thread_pool other(2);
    sync_wait(other, use(c, right));
    sync_wait(use(c, right));
    foreign.join();
    CHECK(right == 600);
    REQUIRE(app.drain(10s));
    CHECK(handled == 600);
    CHECK(at_home == 600);  // whoever called
}
