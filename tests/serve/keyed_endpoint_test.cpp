#include <posthaste/serve/keyed_endpoint.hpp>

#include "../support/conversation.hpp"
#include "../support/hashed.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <map>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct order {
    using reply = int;
    std::string customer;
    int n;
};
struct cancel {
    std::string customer;
    int n;
};
int hash_throws_in = -1;  // so many times it does not throw before; -1: never
struct fussy_key {
    std::string text;
    bool operator==(const fussy_key&) const = default;
    std::size_t hashed() const {
        const bool now = hash_throws_in >= 0 && hash_throws_in-- == 0;
        if (now || text == "bad") throw std::runtime_error("no hash");
        return text.size();
    }
};
struct fussy {
    using reply = int;
    fussy_key key;
};
struct numbered {
    using reply = int;
    int key;
};

task<result<int>> call(client<order> c, std::string customer, int n) {
    co_return co_await c.call(customer, n);
}

/// The endpoint itself, to see its lanes.
struct bare {
    struct nothing : handler {
        nothing() : handler(entries, 1) {}
        static constexpr handler::entry entries[1]{{&detail::type_of<numbered>, nullptr, false}};
    };
    simulation sim;
    dead_letters dead;
    keyed<int numbered::*> mode{&numbered::key};
    keyed_endpoint<int numbered::*, int, numbered> e{"k", sim, dead, std::make_unique<nothing>(),
                                                     mode};
    int lanes() {
        int n = 0;
        e.for_each_lane(&n, [](void* to, lane&) { ++*static_cast<int*>(to); });
        return n;
    }
    lane* claim(int key) {
        detail::sent<numbered> letter(key);
        return e.claim(letter);
    }
    void give_back(lane& l) {
        sim.post(l);
        sim.drive_ready();
    }
};

}  // namespace

TEST_CASE("keyed_endpoint: in order for each key, and for each sender") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        simulation sim(seed);
        bus app(sim);
        std::map<std::string, std::vector<int>> seen;
        std::map<std::string, int> inside;
        app.handle<order>("orders", keyed(&order::customer), [&](order o) -> task<int> {
            CHECK(++inside[o.customer] == 1);
            if (o.n % 2 == 0) co_await yield();
            seen[o.customer].push_back(o.n);
            if (o.n % 5 == 0) co_await sleep_for(1ms);
            --inside[o.customer];
            co_return 0;
        });
        const auto c = app.client<order>("orders");
        const auto sender = [](client<order> to, int from) -> task<int> {
            const std::string mine = "customer " + std::to_string(from) + " with a long name";
            for (int n = 0; n != 30; ++n) {
                CHECK(to.send(mine, n));
                if (n % 3 == 0) co_await yield();
                if (n % 4 == 0) {
                    ++n;
                    const auto r = co_await to.call(mine, n);
                    CHECK(r.has_value());
                }
            }
            co_return 0;
        };
        std::vector<std::unique_ptr<launched<int>>> senders;
        for (int from = 0; from != 5; ++from)
            senders.push_back(std::make_unique<launched<int>>(sim, sender(c, from)));
        sim.advance(10s);
        CHECK(seen.size() == 5);
        for (const auto& [customer, numbers] : seen) {
            CHECK(numbers.size() >= 30);
            CHECK(std::is_sorted(numbers.begin(), numbers.end()));
        }
        for (const auto& s : senders) CHECK(s->done());
        CHECK(app.counts("orders").left == 0);
    }
}

TEST_CASE("keyed_endpoint: keys do not wait for one another") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    int inside = 0, most = 0;
    app.handle<order>("orders", keyed(&order::customer), [&](order o) -> task<int> {
        most = std::max(most, ++inside);
        co_await sleep_for(10ms);
        --inside;
        co_return o.n;
    });
    const auto c = app.client<order>("orders");
    for (int i = 0; i != 100; ++i) CHECK(c.send(std::to_string(i % 50), i));
    sim.advance(11ms);
    CHECK(most == 50);
    sim.advance(10ms);
    CHECK(app.counts("orders").handled == 100);  // 2 for each key: 20 ms in all
}

TEST_CASE("keyed_endpoint: all message types of a service share their keys' order") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    struct shop {
        std::vector<int>* seen;
        task<int> operator()(order o) {
            co_await sleep_for(1ms);
            seen->push_back(o.n);
            co_return o.n;
        }
        void operator()(const cancel& c) { seen->push_back(-c.n); }
    };
    std::vector<int> seen;
    const auto customer = [](const auto& m) -> const std::string& { return m.customer; };
    app.handle<order, cancel>("shop", keyed(customer), shop{&seen});
    const auto c = app.client<order, cancel>("shop");
    for (int i = 1; i != 5; ++i) {
        CHECK(c.send<order>("Ann", i));
        CHECK(c.send<cancel>("Ann", i));
    }
    sim.advance(1s);
    CHECK(seen == std::vector<int>{1, -1, 2, -2, 3, -3, 4, -4});
}

TEST_CASE("keyed_endpoint: a call for an idle key runs at once, for a busy one it queues") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<order>("orders", keyed(&order::customer), [](order o) -> task<int> {
        if (o.n == 0) co_await sleep_for(10ms);
        co_return o.n;
    });
    const auto c = app.client<order>("orders");
    launched<result<int>> slow(sim, call(c, "Ann", 0));
    sim.advance(1ms);
    app.run([&]() -> task<> {
        const auto steps = sim.steps();
        const auto r = co_await c.call("Bob", 1);
        CHECK(*r == 1);
        CHECK(sim.steps() == steps);
        const auto q = co_await c.call("Ann", 2);
        CHECK(*q == 2);
        CHECK(sim.elapsed() == 10ms);
    });
    sim.drive_ready();
    CHECK(*slow.value() == 0);
}

TEST_CASE("keyed_endpoint: ever new keys share the lanes that have run dry") {
    testing::no_frames_left frames;
    bare b;
    for (int key = 0; key != 10000; ++key) {
        lane* const l = b.claim(key);
        REQUIRE(l);
        b.give_back(*l);
    }
    CHECK(b.e.idle());
    CHECK(b.lanes() == 1);
}

TEST_CASE("keyed_endpoint: a lane at work is left alone, and each that rests is used again") {
    testing::no_frames_left frames;
    bare b;
    std::vector<lane*> busy;
    const auto claim_hundred = [&] {
        busy.clear();
        for (int key = 0; key != 100; ++key) {
            lane* const l = b.claim(key);
            REQUIRE(l);
            CHECK(std::find(busy.begin(), busy.end(), l) == busy.end());
            busy.push_back(l);
        }
    };
    claim_hundred();
    CHECK(b.lanes() == 100);
    for (std::size_t i = 0; i != 100; ++i)
        CHECK(reinterpret_cast<std::uintptr_t>(b.e.lane_number(i)) % detail::cache_line == 0);
    for (lane* l : busy) b.give_back(*l);
    claim_hundred();
    CHECK(b.lanes() == 100);
    for (int key = 1000; key != 11000; ++key) {
        lane* const l = b.claim(key);
        REQUIRE(l);
        CHECK(std::find(busy.begin(), busy.end(), l) == busy.end());
        CHECK(b.claim(key) == nullptr);  // one lane a key
        CHECK(b.claim(key % 100) == nullptr);
        b.give_back(*l);
    }
    CHECK(b.lanes() == 102);  // one more than keys at work at a time
    for (lane* l : busy) b.give_back(*l);
    CHECK(b.e.idle());
}

TEST_CASE("keyed_endpoint: keys of the same hash are told apart") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    std::map<std::string, int> inside;
    int at_once = 0, most = 0;
    app.handle<fussy>("fussy", keyed(&fussy::key), [&](fussy f) -> task<int> {
        CHECK(++inside[f.key.text] == 1);
        most = std::max(most, ++at_once);
        co_await sleep_for(1ms);
        --inside[f.key.text];
        --at_once;
        co_return 1;
    });
    const auto c = app.client<fussy>("fussy");
    for (int i = 0; i != 200; ++i) CHECK(c.send(std::to_string(10 + i % 40)));  // all of size 2
    sim.advance(5ms);
    CHECK(most == 40);
    CHECK(app.counts("fussy").handled == 200);
}

TEST_CASE("keyed_endpoint: a key that stands still holds up no other, however many stand behind") {
    testing::no_frames_left frames;
    const int behind = GENERATE(1, 63, 64, 65, 1000);
    simulation sim;
    bus app(sim);
    int slow = 0, quick = 0;
    app.handle<numbered>("n", keyed(&numbered::key).capacity(unbounded),
                         [&](numbered m) -> task<int> {
                             if (m.key == 0 && slow % behind == 0) co_await sleep_for(1s);
                             co_return m.key == 0 ? ++slow : ++quick;
                         });
    const auto c = app.client<numbered>("n");
    for (int i = 0; i != behind; ++i) CHECK(c.send(0));
    CHECK(c.send(1));
    sim.drive_ready();
    CHECK(quick == 1);
    for (int i = 0; i != behind; ++i) CHECK(c.send(0));
    CHECK(c.send(2));
    sim.drive_ready();
    CHECK(quick == 2);
    sim.advance(3s);
    CHECK(slow == 2 * behind);
}

TEST_CASE("keyed_endpoint: a handler that blocks its thread holds up no other key") {
    std::binary_semaphore others_handled(0);
    bus_options options;
    options.threads = 2;
    bus app(options);
    std::atomic<int> handled = 0;
    bool in_time = false;
    app.handle<numbered>("n", keyed(&numbered::key), [&](const numbered& m) {
        if (m.key == 100) in_time = others_handled.try_acquire_for(10s);
        else if (++handled == 300) others_handled.release();
        return 0;
    });
    const auto c = app.client<numbered>("n");
    for (int key = 100; key != 401; ++key) CHECK(c.send(key));  // the one that blocks comes first
    REQUIRE(app.drain(20s));
    CHECK(in_time);
}

TEST_CASE("keyed_endpoint: who makes the key may send to the same endpoint, even if it is full") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int to_send = 0, handled = 0;
    const client<numbered> own = app.client<numbered>("n");
    const auto key_of = [&](const numbered& m) {
        if (to_send > 0) --to_send, static_cast<void>(own.send(m.key + 1));
        return m.key;
    };
    app.handle<numbered>("n", keyed(key_of).capacity(2).full(when_full::drop_oldest),
                         [&](const numbered&) { return ++handled; });
    for (int i = 0; i != 2; ++i) CHECK(own.send(10 * i));
    to_send = 5;
    sim.drive_ready();
    CHECK(to_send == 0);
    CHECK(app.counts("n").left == 0);
    CHECK(app.counts("n").adds_up());
    CHECK(app.counts("n").handled == static_cast<std::uint64_t>(handled));
}

TEST_CASE("keyed_endpoint: keys may send to each other's endpoints, even if both are full") {
    testing::no_frames_left frames;
    bus_options options;
    options.threads = 2;
    bus app(options);
    const auto a = app.client<numbered>("a"), b = app.client<numbered>("b");
    std::latch both(2);
    const auto sends_to = [&](const client<numbered>& other) {
        return [&both, &other](const numbered& m) {
            if (m.key == 0) {
                both.arrive_and_wait();
                static_cast<void>(other.send(1));
            }
            return m.key;
        };
    };
    const auto handle = [](const numbered& m) { return m.key; };
    const auto full = [](const auto& k) { return k.capacity(1).full(when_full::drop_oldest); };
    app.handle<numbered>("a", full(keyed(sends_to(b))), handle);
    app.handle<numbered>("b", full(keyed(sends_to(a))), handle);
    CHECK(a.send(0));
    CHECK(b.send(0));
    both.wait();
    const auto drained = app.drain(10s);
    REQUIRE(drained);
    CHECK(drained->in_time);
    CHECK(drained->total.adds_up());
    CHECK(drained->total.left == 0);
}

TEST_CASE("keyed_endpoint: who makes the key of a subscriber may unsubscribe it") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    subscription mine;
    int handled = 0;
    const auto key_of = [&](const numbered& m) {
        if (m.key == 2) CHECK(mine.unsubscribe());
        return m.key;
    };
    mine = app.subscribe<numbered>("n", keyed(key_of), [&](const numbered&) { return ++handled; });
    const auto n = app.publisher<numbered>("n");
    for (int key = 1; key != 4; ++key) CHECK(n.publish(key).accepted == 1);
    sim.drive_ready();
    CHECK(handled == 1);
    const account all = mine.counts();
    CHECK(all.left == 2);
    CHECK(all.adds_up());
}

TEST_CASE("keyed_endpoint: who is at a key may use the bus while that drains") {
    testing::no_frames_left frames;
    bus_options options;
    options.threads = 1;
    bus app(options);
    std::latch begun(1);
    int looked_up = 0;
    const auto key_of = [&](const numbered& m) {
        begun.count_down();
        while (++looked_up != 20'000) app.client<numbered>("other");  // by then it drains
        return m.key;
    };
    app.handle<numbered>("n", keyed(key_of), [](const numbered& m) { return m.key; });
    REQUIRE(app.client<numbered>("n").send(1));
    begun.wait();
    const auto drained = app.drain(1min);
    CHECK(drained->in_time);
    CHECK(drained->total.handled == 1);
}

TEST_CASE("keyed_endpoint: ten thousand keys one after the other are all handled in order") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 4))));
    bus app(sim);
    std::map<int, int> next;
    app.handle<numbered>("n",
                         keyed([](const numbered& m) { return m.key / 2; }).capacity(unbounded),
                         [&](numbered m) -> task<int> {
                             co_await yield();
                             CHECK(next[m.key / 2]++ == m.key % 2);
                             co_return 0;
                         });
    const auto c = app.client<numbered>("n");
    for (int key = 0; key != 20000; ++key) {
        c.send(key);
        if (key % 100 == 0) sim.drive_ready();
    }
    sim.drive_ready();
    CHECK(next.size() == 10000);
    CHECK(app.counts("n").handled == 20000);
}

TEST_CASE("keyed_endpoint: a lane is not given away while messages are on their way to it") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::map<int, int> inside;
    int handled = 0;
    app.handle<numbered>("n", keyed(&numbered::key), [&](numbered m) -> task<int> {
        CHECK(++inside[m.key] == 1);
        co_await sleep_for(1ms);
        --inside[m.key];
        co_return ++handled;
    });
    const auto c = app.client<numbered>("n");
    CHECK(c.send(1));
    sim.advance(1s);  // its lane has run dry
    for (const int key : {1, 2, 1}) CHECK(c.send(key));
    sim.advance(1s);
    CHECK(handled == 4);
}

TEST_CASE("keyed_endpoint: messages of one key in a row are handled in order, however many") {
    testing::no_frames_left frames;
    const int in_a_row = GENERATE(1, 31, 32, 33, 64, 255, 256, 257, 1000);
    simulation sim;
    bus app(sim);
    std::map<std::string, int> next;
    int wrong = 0;
    app.handle<order>("orders", keyed(&order::customer).capacity(unbounded), [&](const order& o) {
        wrong += next[o.customer]++ != o.n;
        return 0;
    });
    const auto c = app.client<order>("orders");
    for (int n = 0; n != 3000; ++n) {
        const bool even = n / in_a_row % 2 == 0;
        const int before = n / in_a_row / 2 * in_a_row;
        CHECK(c.send(even ? "even" : "odd", before + n % in_a_row));
    }
    sim.drive_ready();
    CHECK(wrong == 0);
    CHECK(next["even"] + next["odd"] == 3000);
}

TEST_CASE("keyed_endpoint: a message whose key cannot be had is dropped, and its caller told") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<fussy>("fussy", keyed(&fussy::key), [](fussy) { return 1; });
    const auto c = app.client<fussy>("fussy");
    CHECK(c.send("bad"));
    const auto r = app.run([&]() -> task<result<int>> { co_return co_await c.call("bad"); });
    CHECK(outcome(r) == "overloaded, none");
    sim.advance(1ms);
    const account a = app.counts("fussy");
    CHECK(a.dropped == 2);
    CHECK(a.adds_up());
    CHECK(app.dead_letters().total() == 1);
    CHECK(c.send("good"));
    sim.advance(1ms);
    CHECK(app.counts("fussy").handled == 1);
}

TEST_CASE("keyed_endpoint: a hash that throws while a lane is reused does no harm") {
    testing::no_frames_left frames;
    const std::vector<std::string> keys{"a", "bb", "ccc"};
    for (int nth = 0; nth != 40; ++nth) {  // whatever it is asked for then
        simulation sim;
        bus app(sim);
        std::string slow;
        std::map<std::string, int> inside;
        std::uint64_t handled = 0, sent = 0;
        app.handle<fussy>("fussy", keyed(&fussy::key), [&](fussy f) -> task<int> {
            CHECK(++inside[f.key.text] == 1);
            co_await sleep_for(f.key.text == slow ? duration(1h) : duration(1us));
            --inside[f.key.text];
            ++handled;
            co_return 1;
        });
        const auto c = app.client<fussy>("fussy");
        hash_throws_in = nth;
        for (int i = 0; i != 12; ++i) {
            const std::string& key = keys[static_cast<std::size_t>(i) % keys.size()];
            for (int twice = 0; twice != 2; ++twice) sent += c.send(key).has_value();
            sim.advance(1ms);
        }
        hash_throws_in = -1;
        CHECK(app.counts("fussy").dropped <= 1);
        CHECK(app.counts("fussy").dropped + handled == sent);
        for (const std::string& key : keys) {  // and none of them waits for another since
            slow = key;
            const std::uint64_t before = handled;
            CHECK(c.send(slow));
            for (const std::string& other : keys) CHECK((other == slow || c.send(other)));
            sim.advance(1ms);
            CHECK(handled == before + 2);
            sim.advance(2h);
            CHECK(handled == before + 3);
        }
        CHECK(app.counts("fussy").adds_up());
    }
}

TEST_CASE("keyed_endpoint: a stop callback of a handler may ask for the counts") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::uint64_t seen = 0;
    app.handle<numbered>("n", keyed(&numbered::key), [&](numbered, context& c) -> task<int> {
        const stop_callback told(c.stop(), [&] { seen = app.counts("n").left; });
        co_await sleep_for(1h);
        co_return 0;
    });
    for (int i = 0; i != 3; ++i) CHECK(app.client<numbered>("n").send(i));
    sim.advance(1ms);
    static_cast<void>(app.drain(0ms));
    CHECK(seen == 3);
}

TEST_CASE("keyed_endpoint: the message that gives way is the oldest of all keys") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    std::vector<int> seen, dead;
    app.handle<order>("orders", keyed(&order::customer).capacity(3).full(when_full::drop_oldest),
                      [&](order o) -> task<int> {
                          seen.push_back(o.n);
                          co_await sleep_for(1s);
                          co_return 0;
                      });
    app.dead_letters().on_letter([&](const dead_letter& l) { dead.push_back(l.get<order>()->n); });
    const auto c = app.client<order>("orders");
    for (int n = 0; n != 3; ++n) {
        CHECK(c.send(std::to_string(n), n));  // one of each key is being handled
        sim.advance(0ms);
    }
    const std::vector<std::string> customers{"2", "0", "1", "1", "0", "2", "2"};
    for (int n = 10; n != 17; ++n) {
        CHECK(c.send(customers[static_cast<std::size_t>(n - 10)], n));
        if (n % 2 == 0) sim.advance(1ms);  // some of them are not sorted yet when others come
    }
    sim.advance(1h);
    CHECK(dead == std::vector{10, 11, 12, 13});
    std::sort(seen.begin(), seen.end());
    CHECK(seen == std::vector{0, 1, 2, 14, 15, 16});
    CHECK(app.counts("orders").dropped == 4);
    CHECK(app.counts("orders").adds_up());
}

TEST_CASE("keyed_endpoint: a key that stands still gives way, whatever has passed it meanwhile") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    event go_on;
    std::vector<int> dead;
    app.handle<order>("orders", keyed(&order::customer).capacity(4).full(when_full::drop_oldest),
                      [&](order o) -> task<int> {
                          if (o.customer == "slow") co_await go_on.wait();
                          co_return 0;
                      });
    app.dead_letters().on_letter([&](const dead_letter& l) { dead.push_back(l.get<order>()->n); });
    const auto c = app.client<order>("orders");
    CHECK(c.send("slow", 1));
    sim.advance(0ms);
    CHECK(c.send("slow", 2));
    for (int n = 0; n != 10'000; ++n) {
        CHECK(c.send("quick" + std::to_string(n % 3), 1000 + n));
        sim.advance(0ms);
    }
    CHECK(dead.empty());
    for (int n = 3; n != 6; ++n) CHECK(c.send("slow", n));
    sim.advance(0ms);
    CHECK(c.send("slow", 6));
    CHECK(dead == std::vector{2});
    go_on.set();
    sim.advance(1s);
    CHECK(app.counts("orders").handled == 10'005);
}

TEST_CASE("keyed_endpoint: the hook of one whose key cannot be had may wait for one before it") {
    testing::no_frames_left frames;
    std::binary_semaphore all_sent(0), first_handled(0);
    bus_options options;
    options.threads = 2;
    bus app(options);
    const auto key_of = [&](const numbered& m) {
        if (m.key == 1) CHECK(all_sent.try_acquire_for(10s));  // then they are sorted in one turn
        if (m.key == 2) throw std::runtime_error("no key");
        return m.key;
    };
    app.handle<numbered>("orders", keyed(key_of), [&](const numbered& m) {
        if (m.key == 1) first_handled.release();
        return 0;
    });
    bool heard = false;
    app.dead_letters().on_letter(
        [&](const dead_letter&) { heard = first_handled.try_acquire_for(10s); });
    const auto to = app.client<numbered>("orders");
    CHECK(to.send(1));
    CHECK(to.send(2));
    all_sent.release();
    REQUIRE(app.drain(10s));
    CHECK(heard);
}

TEST_CASE("keyed_endpoint: such a hook may wait for the key that was handled before it") {
    std::binary_semaphore handled_again(0);
    bus_options options;
    options.threads = 2;
    bus app(options);
    const auto key_of = [](const numbered& m) {
        if (m.key == 2) throw std::runtime_error("no key");
        return m.key;
    };
    std::atomic<int> handled = 0;
    app.handle<numbered>("orders", keyed(key_of), [&](const numbered&) {
        if (++handled == 2) handled_again.release();
        return 0;
    });
    const auto to = app.client<numbered>("orders");
    bool heard = false;
    app.dead_letters().on_letter([&](const dead_letter&) {
        CHECK(to.send(1));
        heard = handled_again.try_acquire_for(10s);
    });
    CHECK(to.send(1));
    CHECK(to.send(2));
    REQUIRE(app.drain(20s));
    CHECK(heard);
}

TEST_CASE(
    "keyed_endpoint: there are as many slots as keys were at work, whatever came after them") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<std::size_t> slots;
    app.handle<numbered>("n", keyed(&numbered::key), [&](numbered m, context& c) -> task<int> {
        slots.push_back(c.slot());
        if (m.key < 0) co_await sleep_for(1h);
        co_return 0;
    });
    const auto to = app.client<numbered>("n");
    for (const int key : {1, 2, 2, 3}) CHECK(to.send(key));  // one lane, in one turn
    sim.advance(1ms);
    CHECK(slots == std::vector<std::size_t>(4, 0));
    slots.clear();
    for (const int key : {-1, 1, 2}) CHECK(to.send(key));
    sim.advance(1ms);
    CHECK(slots.size() == 3);
    CHECK((slots[0] < 2 && slots[1] == 1 - slots[0] && slots[2] == slots[1]));
    slots.clear();
    CHECK(to.send(3));
    sim.advance(2h);
    for (const int key : {-1, -2, -3}) CHECK(to.send(key));
    sim.advance(1ms);
    std::sort(slots.begin() + 1, slots.end());
    CHECK(std::vector<std::size_t>(slots.begin() + 1, slots.end()) ==
          std::vector<std::size_t>{0, 1, 2});
}
