#include <posthaste/serve/publisher.hpp>

#include "../support/conversation.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <thread>
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
struct counted {  // how often it was copied
    static inline int copies = 0;
    int id;
    explicit counted(int i) : id(i) {}
    counted(const counted& o) : id(o.id) { ++copies; }
    counted(counted&& o) noexcept : id(o.id) {}
};
struct move_only {
    std::unique_ptr<int> id;
};
struct ask {
    using reply = int;
    int id;
};
using numbers = std::vector<int>;

}  // namespace

TEST_CASE("publisher: says how many subscribers have it, and how many had no room") {
    simulation sim;
    bus app(sim);
    const auto to = app.publisher<placed>("orders.placed");
    CHECK(to.topic() == "orders.placed");
    published p = to.publish(1, "tea");
    CHECK(p);
    CHECK(p.accepted + p.refused == 0);
    const auto room = app.subscribe<placed>("orders.*", [](const placed&) {});
    const auto full = app.subscribe<placed>("orders.*", serial.capacity(1), [](const placed&) {});
    const auto waits = app.subscribe<placed>("orders.*", serial.capacity(1).full(when_full::wait),
                                             [](const placed&) {});
    CHECK(to.publish(placed{2}).accepted == 3);
    p = to.publish(3);
    CHECK(p);
    CHECK(p.accepted == 1);
    CHECK(p.refused == 2);
    CHECK_FALSE(p.why_not);
    static_cast<void>(app.drain(1s));
    p = to.publish(4);
    CHECK_FALSE(p);
    CHECK(p.why_not == code::closed);
    CHECK(p.error().message() == "closed");
    CHECK(app.drain(0s)->unheard == 1);
}

TEST_CASE("publisher: a topic is a name, and nothing else") {
    simulation sim;
    bus app(sim);
    for (const char* bad : {"", "a..b", "a.*", ">", "a b", "a\n", ".a"}) {
        CHECK_THROWS_AS(app.publisher<placed>(bad), failed);
        CHECK_THROWS_AS(app.publisher<placed>(bad, keep_latest), failed);
        CHECK(app.publish<placed>(bad, 1).why_not == code::rejected);
    }
    const auto refusal = [&](const char* topic) -> std::string {
        try {
            static_cast<void>(app.publisher<placed>(topic));
        } catch (const failed& f) {
            return f.why().message();
        }
        return "";
    };
    CHECK(refusal("") == "rejected: a name must not be empty: \"\"");
    CHECK(refusal("a..b") == "rejected: a name has no empty token: \"a..b\"");
    CHECK(refusal("a.>") == "rejected: a name has no wildcards: \"a.>\"");
    CHECK(refusal("a\x01") == "rejected: a name has no blanks or control characters: \"a\\x01\"");
    CHECK(app.publish<placed>(std::string(256, 'x'), 1).why_not == code::rejected);
    const auto told = [&](const char* topic) {
        return app.publish<placed>(topic, 1).error().message();
    };
    CHECK(told("") == "rejected: a name must not be empty");
    CHECK(told("a..b") == "rejected: a name has no empty token");
    CHECK(told("a.>") == "rejected: a name has no wildcards");
    CHECK(app.publish<placed>(std::string(255, 'x'), 1));
}

TEST_CASE("publisher: the message is built once and shared, and who takes it by value has a copy") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::set<const void*> places;
    numbers copies;
    std::vector<subscription> all;
    for (int i = 0; i != 8; ++i) {
        all.push_back(app.subscribe<counted>("t", [&](const counted& c) -> task<> {
            places.insert(&c);
            co_await yield();
            CHECK(c.id == 7);  // as long as the handler runs
        }));
    }
    counted::copies = 0;
    CHECK(app.publish<counted>("t", 7).accepted == 8);
    sim.drive_ready();
    CHECK(places.size() == 1);
    CHECK(counted::copies == 0);
    for (int i = 0; i != 3; ++i) {
        all.push_back(app.subscribe<counted>("t", [&](counted c) { copies.push_back(c.id++); }));
    }
    app.publish<counted>("t", 7);
    sim.drive_ready();
    CHECK(copies == numbers{7, 7, 7});
    CHECK(counted::copies == 3);
}

TEST_CASE("publisher: the message goes when the last subscriber has handled it") {
    simulation sim;
    bus app(sim);
    const auto held = std::make_shared<int>(1);
    struct holds {
        std::shared_ptr<int> what;
    };
    std::vector<subscription> all;
    for (int i = 0; i != 3; ++i) {
        all.push_back(app.subscribe<holds>(
            "t", serial.capacity(1), [i](const holds&) -> task<> { co_await sleep_for(1ms * i); }));
    }
    app.publish<holds>("t", held);
    CHECK(held.use_count() == 2);
    CHECK(app.publish<holds>("t", held).refused == 3);
    CHECK(held.use_count() == 2);
    sim.advance(1ms);
    CHECK(held.use_count() == 2);
    sim.advance(1ms);
    CHECK(held.use_count() == 1);
    app.publish<holds>("nobody", held);
    CHECK(held.use_count() == 1);
}

TEST_CASE("publisher: what can only be moved can be published, too") {
    simulation sim;
    bus app(sim);
    int heard = 0;
    const auto s = app.subscribe<move_only>("t", [&](const move_only& m) { heard += *m.id; });
    const auto t = app.subscribe<move_only>("t", [&](const move_only& m) { heard += *m.id; });
    CHECK(app.publish<move_only>("t", std::make_unique<int>(3)).accepted == 2);
    sim.drive_ready();
    CHECK(heard == 6);
}

TEST_CASE("publisher: publish does not inherit the deadline") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<time_point> deadlines;
    int handled = 0;
    const auto s = app.subscribe<placed>("t", [&](const placed&, context& ctx) -> task<> {
        deadlines.push_back(ctx.deadline());
        co_await sleep_for(1h);
        ++handled;
    });
    const auto to = app.publisher<placed>("t");
    app.handle<ask>("ask", [&](ask a, context& ctx) {
        CHECK(ctx.deadline() != never);
        to.publish(a.id);
        app.publish<placed>("t", a.id);
        return a.id;
    });
    const auto c = app.client<ask>("ask", deadline(10ms));
    CHECK(app.run([&]() -> task<result<int>> {
        return
            [](client<ask> to_ask) -> task<result<int>> { co_return co_await to_ask.call(1); }(c);
    }));
    sim.advance(3h);
    CHECK(deadlines == std::vector<time_point>{never, never});
    CHECK(handled == 2);
}

TEST_CASE("publisher: with keep_latest, who asks for the latest hears it first, others do not") {
    simulation sim;
    bus app(sim);
    const auto eur = app.publisher<placed>("price.eur", keep_latest);
    const auto usd = app.publisher<placed>("price.usd", keep_latest);
    const auto gold = app.publisher<placed>("gold", keep_latest);
    const auto other_type = app.publisher<ask>("price.eur", keep_latest);
    std::map<std::string, numbers> heard;
    const auto listen = [&](const topics& which) {
        return app.subscribe<placed>(
            which, [&heard, name = which.name()](const placed& p) { heard[name].push_back(p.id); });
    };
    const auto early = listen(topics("price.*").named("early").latest());
    eur.publish(1), eur.publish(2), usd.publish(10), gold.publish(99), other_type.publish(5);
    app.publish<placed>("price.eur", 3);  // this one is not kept
    app.publisher<placed>("price.eur").publish(4);
    const auto late = listen(topics("price.*").named("late").latest());
    const auto quiet = listen(topics("price.*").named("quiet"));
    app.publisher<placed>("price.eur", keep_latest).publish(6);  // another, of the same topic
    const auto last = listen(topics("price.eur").named("last").latest());
    sim.drive_ready();
    CHECK(heard["early"] == numbers{1, 2, 10, 3, 4, 6});
    CHECK(heard["late"] == numbers{2, 10, 6});
    CHECK(heard["quiet"] == numbers{6});
    CHECK(heard["last"] == numbers{6});
}

TEST_CASE("publisher: of more latest messages than there is room for, the rest is refused") {
    simulation sim;
    bus app(sim);
    for (int i = 0; i != 5; ++i)
        app.publisher<placed>("t." + std::to_string(i), keep_latest).publish(i);
    for (const auto full : {when_full::reject, when_full::drop_oldest, when_full::drop_newest}) {
        numbers heard;
        const auto s = app.subscribe<placed>(topics("t.*").latest(), serial.capacity(3).full(full),
                                             [&](const placed& p) { heard.push_back(p.id); });
        CHECK(s.counts().accepted == 3);
        CHECK(s.counts().refused == 2);
        sim.drive_ready();
        CHECK(heard == numbers{0, 1, 2});
    }
    CHECK(app.dead_letters().total() == 0);
}

TEST_CASE("publisher: by name it finds the listeners of many topics, also if it forgets some") {
    simulation sim;
    bus app(sim);
    std::map<int, int> heard;
    const auto all = app.subscribe<placed>("t.*", [&](const placed& p) { ++heard[p.id]; });
    std::vector<subscription> one_each;
    for (int round = 0; round != 3; ++round) {
        for (int i = 0; i != 1000; ++i) {  // far more than it remembers
            const std::string topic = "t." + std::to_string(i);
            if (round == 1 && i % 10 == 0) {
                one_each.push_back(
                    app.subscribe<placed>(topic, [&](const placed& p) { heard[p.id] += 100; }));
            }
            const auto p = app.publish<placed>(topic, i);
            REQUIRE(p.accepted == (round != 0 && i % 10 == 0 ? 2u : 1u));
            if (i % 100 == 0) sim.drive_ready();
        }
        sim.drive_ready();
    }
    for (int i = 0; i != 1000; ++i) REQUIRE(heard[i] == 3 + (i % 10 == 0 ? 200 : 0));
}

TEST_CASE("publisher: a dead letters' hook may publish, subscribe and unsubscribe") {
    simulation sim;
    bus app(sim);
    numbers dead;
    std::vector<subscription> all;
    const auto log = app.subscribe<ask>("dead", [&](const ask& a) {
        dead.push_back(a.id);
        return 0;
    });
    app.dead_letters().on_letter([&](const dead_letter& l) {
        app.publish<ask>("dead", l.get<placed>()->id);
        all.push_back(app.subscribe<placed>("t", serial.capacity(1).full(when_full::drop_newest),
                                            [](const placed&) {}));
        if (all.size() > 2) all.erase(all.begin());
    });
    const auto s = app.subscribe<placed>("t", serial.capacity(1).full(when_full::drop_newest),
                                         [](const placed&) {});
    for (int id = 0; id != 4; ++id) app.publish<placed>("t", id);
    sim.drive_ready();
    CHECK(dead.size() >= 3);
    CHECK(dead[0] == 1);
}

TEST_CASE("publisher: what happens within a publish may publish by it, too") {
    simulation sim;
    bus app(sim);
    const auto to = app.publisher<placed>("t");
    int letters = 0;
    app.dead_letters().on_letter([&](const dead_letter& l) {
        ++letters;
        const int id = l.get<placed>()->id;
        if (id < 10) CHECK(to.publish(id + 10).accepted == 2);
    });
    numbers heard;
    const auto all = app.subscribe<placed>("t", [&](const placed& p) { heard.push_back(p.id); });
    const auto full = app.subscribe<placed>("t", serial.capacity(1).full(when_full::drop_newest),
                                            [](const placed&) {});
    for (int id = 0; id != 3; ++id) CHECK(to.publish(id).accepted == 2);
    sim.drive_ready();
    CHECK(letters == 4);
    CHECK(heard.size() == 5);
    CHECK(std::set<int>(heard.begin(), heard.end()) == std::set<int>{0, 1, 2, 11, 12});
}

TEST_CASE("publisher: may be destroyed by what happens within a publish") {
    struct last_one {
        explicit last_one(std::optional<publisher<last_one>>& by) { by.reset(); }
    };
    simulation sim;
    bus app(sim);
    std::optional<publisher<placed>> to = app.publisher<placed>("t");
    std::optional<publisher<last_one>> once = app.publisher<last_one>("t");
    app.dead_letters().on_letter([&](const dead_letter&) { to.reset(); });
    numbers heard;
    const auto full = app.subscribe<placed>("t", serial.capacity(1).full(when_full::drop_newest),
                                            [&](const placed& p) { heard.push_back(p.id); });
    const auto all = app.subscribe<placed>("t", [&](const placed& p) { heard.push_back(p.id); });
    const auto others = app.subscribe<last_one>("t", [&](const last_one&) { heard.push_back(3); });
    CHECK(to->publish(1).accepted == 2);
    CHECK(to->publish(2).accepted == 2);
    CHECK_FALSE(to);
    CHECK(once->publish(once).accepted == 1);
    CHECK_FALSE(once);
    sim.drive_ready();
    std::sort(heard.begin(), heard.end());
    CHECK(heard == numbers{1, 1, 2, 3});
}

TEST_CASE("publisher: one that keeps the latest may go while its message is built") {
    struct last_one {
        explicit last_one(std::unique_ptr<publisher<last_one>>& by) { by.reset(); }
    };
    simulation sim;
    bus app(sim);
    auto once = std::make_unique<publisher<last_one>>(app.publisher<last_one>("t", keep_latest));
    int heard = 0;
    const auto early = app.subscribe<last_one>("t", [&](const last_one&) { ++heard; });
    CHECK(once->publish(once).accepted == 1);
    CHECK_FALSE(once);
    const auto late =
        app.subscribe<last_one>(topics("t").latest(), [&](const last_one&) { ++heard; });
    sim.drive_ready();
    CHECK(heard == 2);
}

TEST_CASE("publisher: the bus may go while a message is built, and keeps nothing of it") {
    struct ends_it {
        std::shared_ptr<int> held;
        std::shared_ptr<publisher<ends_it>> to;  // of the bus that has gone
        ends_it(std::unique_ptr<bus>& app, std::shared_ptr<int> h,
                std::shared_ptr<publisher<ends_it>> by)
            : held(std::move(h)), to(std::move(by)) {
            app.reset();
        }
    };
    testing::no_frames_left frames;
    simulation sim;
    const bool keeps = GENERATE(false, true);
    const auto held = std::make_shared<int>(0);
    auto app = std::make_unique<bus>(sim);
    const auto to = std::make_shared<publisher<ends_it>>(
        keeps ? app->publisher<ends_it>("t", keep_latest) : app->publisher<ends_it>("t"));
    const auto s = app->subscribe<ends_it>("t", [](const ends_it&) { FAIL("it was shut"); });
    CHECK(to->publish(app, held, to).accepted == 0);
    CHECK_FALSE(app);
    CHECK(held.use_count() == 1);
    CHECK(to->publish(app, held, to).why_not == code::closed);
}

TEST_CASE("publisher: reaches as many as listen, in one block of memory or in several") {
    simulation sim;
    bus app(sim);
    const auto to = app.publisher<placed>("t");
    std::vector<subscription> all;
    int heard = 0;
    for (std::uint32_t n = 1; n != 70; ++n) {
        all.push_back(app.subscribe<placed>("t", [&](const placed& p) {
            CHECK(p.what == "a text that is longer than what is stored in place");
            heard += p.id;
        }));
        heard = 0;
        const std::string text = "a text that is longer than what is stored in place";
        CHECK(to.publish(1, text).accepted == n);
        CHECK(app.publish<placed>("t", 100, text).accepted == n);
        sim.drive_ready();
        REQUIRE(heard == 101 * static_cast<int>(n));
    }
}

TEST_CASE("publisher: may be used from threads of no executor, and of another pool") {
    testing::no_frames_left frames;
    bus app;
    std::atomic<int> sum = 0;
    const auto s = app.subscribe<placed>("t", parallel(2).capacity(unbounded),
                                         [&](const placed& p) { sum += p.id; });
    const auto to = app.publisher<placed>("t");
    std::vector<std::thread> threads;
    for (int t = 0; t != 3; ++t) {
        threads.emplace_back([&, copy = to] {
            for (int i = 0; i != 1000; ++i) {
                if (i % 2 == 0) copy.publish(1);
                else app.publish<placed>("t", 1);
            }
        });
    }
    for (auto& t : threads) t.join();
    const auto end = app.drain(10s);
    CHECK(sum == 3000);
    CHECK(end->total.handled == 3000);
}
