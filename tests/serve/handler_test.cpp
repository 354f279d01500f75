#include <posthaste/serve/handler.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

struct add {
    using reply = int;
    int n;
};
struct greet {
    using reply = std::string;
    std::string who;
};
struct note {
    std::string text;
};
struct parcel {
    using reply = std::unique_ptr<int>;
    std::unique_ptr<int> what;
};

template <typename M, typename... Args>
auto ask(bus& app, const char* name, Args... args) {
    return app.run([&]() -> task<result<reply_t<M>>> {
        co_return co_await app.client<M>(name).call(std::move(args)...);
    });
}

int doubled(add a) { return 2 * a.n; }
task<int> doubled_later(const add& a, context& c) {
    co_await sleep_for(1ms);
    co_return c.attempt() == 1 ? 2 * a.n : -1;
}
result<int> refuses(add) { return failure(code::rejected, effect::none, "never"); }

struct cash_book {
    int balance = 0;
    int operator()(add a) { return balance += a.n; }
    void operator()(const note& n) {
        if (n.text == "reset") balance = 0;
    }
    task<std::string> operator()(greet g, context&) {
        co_await yield();
        co_return g.who + " has " + std::to_string(balance);
    }
};

template <typename M, typename F>
bool left_intact(simulation& sim, F fn) {
    bus app(sim);
    app.handle<M>("fails", fn);
    const auto c = app.client<M>("fails");
    CHECK(c.send("precious, and too long to be stored in place"));
    sim.advance(10ms);
    bool intact = false;
    app.dead_letters().for_each([&](const dead_letter& l) {
        const M* m = l.get<M>();
        intact = m && m->text == "precious, and too long to be stored in place";
    });
    CHECK(app.dead_letters().size() == 1);
    return intact;
}

void throws_by_reference(const note&) { throw 1; }
void throws_by_value(note) { throw 1; }

struct many {
    void operator()(const note&) { throw 1; }
    int operator()(add a) { return a.n; }
};

struct odd {
    explicit odd(int v) : value(v) {}
    int value;
    operator std::string() const {
        if (value == 13) throw std::runtime_error("unlucky");
        return std::to_string(value);
    }
};

}  // namespace

TEST_CASE("handler: is a function, a task, by value or reference, with or without a context") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<add>("f", doubled);
    app.handle<add>("t", doubled_later);
    app.handle<add>("r", refuses);
    app.handle<add>("value", [](add a) { return a.n; });
    app.handle<add>("value_context",
                    [](add a, context& c) { return c.stop_requested() ? 0 : a.n; });
    app.handle<add>("reference", [](const add& a) -> task<int> { co_return a.n; });
    app.handle<add>("mutable", [sum = 0](add a) mutable { return sum += a.n; });
    app.handle<add>("converts", [](add a) -> task<short> { co_return static_cast<short>(a.n); });
    app.handle<add>("maybe", [](add a) -> task<result<int>> {
        if (a.n < 0) co_return failure(code::rejected, effect::none, "negative");
        co_return a.n;
    });
    CHECK(*ask<add>(app, "f", 4) == 8);
    CHECK(*ask<add>(app, "t", 4) == 8);
    CHECK(outcome(ask<add>(app, "r", 4)) == "rejected, complete");
    for (const char* name :
         {"value", "value_context", "reference", "mutable", "converts", "maybe"}) {
        CHECK(*ask<add>(app, name, 5) == 5);
    }
    CHECK(*ask<add>(app, "mutable", 5) == 10);
    CHECK(outcome(ask<add>(app, "maybe", -1)) == "rejected, complete");
}

TEST_CASE("handler: an object with state takes several messages in one mailbox") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<add, note, greet>("account", cash_book{});
    const auto c = app.client<add, note, greet>("account");
    app.run([&]() -> task<> {
        const auto one = co_await c.call<add>(5);
        const auto two = co_await c.call<add>(6);
        CHECK(*one == 5);
        CHECK(*two == 11);
        const auto text = co_await c.call<greet>("Ann");
        CHECK(*text == "Ann has 11");
        c.send<note>("reset");
        const auto three = co_await c.call<add>(1);  // after the reset, which was sent before
        CHECK(*three == 1);
    });
    CHECK(app.counts("account").handled == 5);
}

TEST_CASE("handler: messages and replies may be movable only") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<parcel>("plain", [](parcel p) { return std::move(p.what); });
    app.handle<parcel>("task", [](parcel p) -> task<std::unique_ptr<int>> {
        co_await sleep_for(1ms);
        co_return std::move(p.what);
    });
    for (const char* name : {"plain", "task"}) {
        auto r = ask<parcel>(app, name, std::make_unique<int>(7));
        REQUIRE(r);
        CHECK(**r == 7);
        parcel named{std::make_unique<int>(8)};
        r = app.run([&]() -> task<result<std::unique_ptr<int>>> {
            co_return co_await app.client<parcel>(name).call<parcel>(std::move(named));
        });
        CHECK(**r == 8);
    }
}

TEST_CASE("handler: a message without a reply may be called, and ends when it is handled") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    bool handled = false;
    app.handle<note>("log", [&](const note& n) -> task<> {
        co_await sleep_for(5ms);
        if (n.text == "bad") throw std::runtime_error("bad");
        handled = true;
    });
    CHECK(outcome(ask<note>(app, "log", "good")) == "value");
    CHECK(handled);
    CHECK(sim.elapsed() == 5ms);
    CHECK(outcome(ask<note>(app, "log", "bad")) == "handler failed, complete");
}

TEST_CASE("handler: a message with a reply may be sent, and the reply is dropped") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    auto reply_alive = std::make_shared<int>(1);
    struct fetch {
        using reply = std::shared_ptr<int>;
    };
    app.handle<fetch>("fetch", [&](fetch) { return reply_alive; });
    CHECK(app.client<fetch>("fetch").send());
    sim.advance(1ms);
    CHECK(app.counts("fetch").handled == 1);
    CHECK(reply_alive.use_count() == 1);
}

TEST_CASE("handler: handed one message after the other, it hears calls and failures as they come") {
    testing::no_frames_left frames;
    run_loop loop;  // in order
    bus app(loop);
    std::vector<int> seen;
    struct clerk {
        std::vector<int>& seen;
        result<int> operator()(add a) const {
            seen.push_back(a.n);
            if (a.n % 10 == 3) throw a.n;
            if (a.n % 10 == 7) return failure(code::rejected, effect::none, "no sevens");
            return 2 * a.n;
        }
        void operator()(const note& n) const { seen.push_back(std::stoi(n.text)); }
    };
    app.handle<add, note>("clerk", clerk{seen});
    const auto c = app.client<add, note>("clerk");
    const auto tell = [&](int n) -> task<result<int>> {
        if (n % 10 >= 8) co_return co_await c.call<add>(n == 98 ? 93 : n);
        if (n % 10 == 1) CHECK(c.send<note>(std::to_string(n)));
        else CHECK(c.send<add>(n));
        co_return 0;
    };
    std::deque<testing::launched<result<int>>> told;
    for (int n = 0; n != 100; ++n) told.emplace_back(loop, tell(n));
    loop.drive_ready();
    REQUIRE(seen.size() == 100);
    for (int n = 0; n != 98; ++n) CHECK(seen[static_cast<std::size_t>(n)] == n);
    for (int n = 9; n < 100; n += 10) CHECK(*told[static_cast<std::size_t>(n)].value() == 2 * n);
    CHECK(outcome(told[98].value()) == "handler failed, complete");
    const account a = app.counts("clerk");
    CHECK(a.accepted == 100);
    CHECK(a.handled == 79);
    CHECK(a.failed == 21);
    CHECK(a.left == 0);
    int sevens = 0;
    app.dead_letters().for_each([&](const dead_letter& l) {
        if (l.reason().code() == code::rejected) ++sevens;
    });
    CHECK(sevens == 10);
    CHECK(app.dead_letters().size() == 20);
}

TEST_CASE("handler: what was scheduled is handed to it among what was sent") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    std::string heard;
    app.handle<note>("log", [&](note n) { heard += n.text.back(); });
    const auto c = app.client<note>("log");
    const std::string text = "too long to be stored in place: ";
    for (int i = 0; i != 3; ++i) c.send_after(1ms, text + std::to_string(i));
    auto beat = c.send_every(1ms, text + "+");
    sim.advance(1ms);
    for (int i = 3; i != 6; ++i) CHECK(c.send(text + std::to_string(i)));
    sim.advance(1ms);
    CHECK(beat.cancel());
    for (const char each : std::string("012345+")) CHECK(heard.find(each) != std::string::npos);
    CHECK(heard.size() == 8);
    CHECK(app.counts("log").handled == 8);
}

TEST_CASE("handler: by const reference it leaves the message of a failed send intact") {
    testing::no_frames_left frames;
    simulation sim;
    CHECK(left_intact<note>(sim, [](const note&) { throw 1; }));
    CHECK(left_intact<note>(sim, [](const note&, context&) { throw 1; }));
    CHECK(left_intact<note>(sim, [](const note&) -> task<> {
        co_await yield();
        throw 1;
    }));
    CHECK(left_intact<note>(sim,
                            [](const auto&) -> result<void> { return failure(code::rejected); }));
    CHECK(left_intact<note>(sim, &throws_by_reference));
    CHECK(left_intact<note>(sim, many{}));
    CHECK_FALSE(left_intact<note>(sim, [](note) { throw 1; }));
    CHECK_FALSE(left_intact<note>(sim, [](note) -> task<> {
        co_await yield();
        throw 1;
    }));
    CHECK_FALSE(left_intact<note>(sim, &throws_by_value));
}

TEST_CASE("handler: a reply whose conversion throws is a failed handler, and no frame is left") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<greet>("plain", [](greet g) { return odd(g.who.empty() ? 13 : 1); });
    app.handle<greet>("task", [](greet g) -> task<odd> {
        co_await yield();
        co_return odd(g.who.empty() ? 13 : 1);
    });
    for (const char* name : {"plain", "task"}) {
        CHECK(*ask<greet>(app, name, "Ann") == "1");
        const auto r = ask<greet>(app, name, "");
        CHECK(outcome(r) == "handler failed, complete");
        CHECK(r.error().detail() == "unlucky");
    }
}

TEST_CASE("handler: a function that returns a task may throw before there is one") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const auto later = [](int n) -> task<int> { co_return n; };
    app.handle<add>("fussy", [&](add a) -> task<int> {  // not a coroutine itself
        if (a.n < 0) throw std::invalid_argument("negative");
        return later(a.n);
    });
    CHECK(*ask<add>(app, "fussy", 3) == 3);
    CHECK(outcome(ask<add>(app, "fussy", -3)) == "handler failed, complete");
    CHECK(*ask<add>(app, "fussy", 4) == 4);
}

TEST_CASE("handler: its context tells deadline and stop, and its nested tasks have it too") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    duration left{}, nested_left{};
    bool plain_knows = false;
    const auto nested = [&]() -> task<> {
        const context& c = co_await this_context;
        nested_left = c.time_left();
    };
    app.handle<add>("task", [&](add a, context& c) -> task<int> {
        co_await sleep_for(10ms);
        left = c.time_left();
        co_await nested();
        co_return a.n;
    });
    app.handle<add>("plain", [&](add a, context& c) {
        plain_knows = c.deadline() == sim.now() + 5s && !c.stop_requested() && !c.expired();
        return a.n;
    });
    CHECK(ask<add>(app, "task", 1));
    CHECK(left == 5s - 10ms);
    CHECK(nested_left == left);
    CHECK(ask<add>(app, "plain", 1));
    CHECK(plain_knows);
}
