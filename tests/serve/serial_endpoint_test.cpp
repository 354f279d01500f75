// Contract 3, as far as one thread can show it; tests/race/order_race.cpp has the threads.
#include <posthaste/serve/serial_endpoint.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct note {
    using reply = int;
    int from;
    int n;
};

task<int> send_many(client<note> c, int from, int count) {
    for (int n = 0; n != count; ++n) {
        CHECK(c.send(from, n));
        if (n % 3 == from % 3) co_await yield();
        if (n % 7 == 0) {
            ++n;
            const auto r = co_await c.call(from, n);
            CHECK(r.has_value());
        }
    }
    co_return count;
}

}  // namespace

TEST_CASE("serial_endpoint: what one sender sends and calls is handled in that order") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        simulation sim(seed);
        bus app(sim);
        std::map<int, std::vector<int>> seen;
        app.handle<note>("notes", [&](note n) -> task<int> {
            if (n.n % 2 == 0) co_await yield();
            seen[n.from].push_back(n.n);
            if (n.n % 5 == 0) co_await sleep_for(1ms);
            co_return 0;
        });
        std::vector<std::unique_ptr<launched<int>>> senders;
        for (int from = 0; from != 5; ++from) {
            senders.push_back(std::make_unique<launched<int>>(
                sim, send_many(app.client<note>("notes"), from, 40)));
        }
        sim.advance(10s);
        for (const auto& [from, numbers] : seen) {
            REQUIRE(numbers.size() >= 40);
            for (std::size_t i = 0; i != numbers.size(); ++i)
                REQUIRE(numbers[i] == static_cast<int>(i));
        }
        CHECK(seen.size() == 5);
        for (const auto& s : senders) CHECK(s->done());
    }
}

TEST_CASE("serial_endpoint: never two at a time, across every suspension") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        simulation sim(seed);
        bus app(sim);
        int inside = 0, most = 0, done = 0;
        app.handle<note>("notes", [&](note n) -> task<int> {
            most = std::max(most, ++inside);
            co_await yield();
            if (n.n % 2 == 0) co_await sleep_for(1ms);
            co_await yield();
            --inside;
            co_return ++done;
        });
        std::vector<std::unique_ptr<launched<int>>> senders;
        for (int from = 0; from != 4; ++from) {
            senders.push_back(std::make_unique<launched<int>>(
                sim, send_many(app.client<note>("notes"), from, 10)));
        }
        sim.advance(10s);
        CHECK(most == 1);
        CHECK(done >= 40);
        for (const auto& s : senders) CHECK(s->done());
    }
}

TEST_CASE("serial_endpoint: a call is claimed only while nothing is queued or handled") {
    testing::no_frames_left frames;
    simulation sim;
    dead_letters dead;
    struct handles_note : handler {
        handles_note() : handler(nullptr, 0) {}
    };
    serial_endpoint e("notes", sim, dead, std::make_unique<handles_note>(), serial);
    detail::sent<note> letter;
    CHECK(e.idle());
    lane* const l = e.claim(letter);
    REQUIRE(l);
    CHECK_FALSE(e.idle());
    CHECK(e.claim(letter) == nullptr);
    int lanes = 0;
    e.for_each_lane(&lanes, [](void* n, lane&) { ++*static_cast<int*>(n); });
    CHECK(lanes == 1);
    e.close();
    sim.post(*l);  // it reads on, finds nothing, and gives itself back
    sim.drive_ready();
    CHECK(e.idle());
    CHECK(e.claim(letter) == nullptr);  // shut
    CHECK(e.put(letter, false) == endpoint_core::admission::closed);
}

TEST_CASE("serial_endpoint: who sends where it is read finds as much room as there is") {
    testing::no_frames_left frames;
    for (const int capacity : {1, 128, 1000}) {
        simulation sim;
        bus app(sim);
        int handled = 0;
        app.handle<note>("notes", serial.capacity(static_cast<std::size_t>(capacity)),
                         [&](const note& n) {
                             CHECK(n.n == handled);
                             return ++handled;
                         });
        const auto c = app.client<note>("notes");
        const auto fill = [&]() -> task<int> {
            int sent = 0;
            while (c.send(0, sent)) ++sent;
            const auto refused = co_await c.call(0, sent);
            CHECK(outcome(refused) == "overloaded, none");
            CHECK(app.counts("notes").left == static_cast<std::uint64_t>(capacity));
            co_return sent;
        };
        for (int turn = 1; turn != 3; ++turn) {
            handled = 0;
            launched<int> sender(sim, fill());
            sim.advance(1s);
            CHECK(sender.value() == capacity);
            CHECK(app.counts("notes").handled == static_cast<std::uint64_t>(turn * capacity));
            CHECK(app.counts("notes").left == 0);
        }
    }
}

TEST_CASE(
    "serial_endpoint: while senders evict its oldest, the reader still sees the rest in order") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        simulation sim(seed);
        bus app(sim);
        std::vector<int> seen;
        app.handle<note>("notes", serial.capacity(3).full(when_full::drop_oldest),
                         [&](note n) -> task<int> {
                             seen.push_back(n.n);
                             co_await yield();
                             co_return 0;
                         });
        const auto c = app.client<note>("notes");
        const auto flood = [](client<note> to) -> task<int> {
            for (int n = 0; n != 100; ++n) {
                CHECK(to.send(0, n));
                if (n % 2 == 0) co_await yield();
            }
            co_return 0;
        };
        launched<int> sender(sim, flood(c));
        sim.advance(1s);
        REQUIRE(sender.done());
        CHECK(std::is_sorted(seen.begin(), seen.end()));
        CHECK(seen.back() == 99);
        const account a = app.counts("notes");
        CHECK(a.accepted == 100);
        CHECK(a.handled == seen.size());
        CHECK(a.handled + a.dropped == 100);
        CHECK(app.dead_letters().total() == a.dropped);
    }
}

namespace {

struct question {
    using reply = int;
    int n;
};
// A function of a note, which drives what it is told to; a coroutine of a question.
struct both {
    std::vector<int>& seen;
    int& inside;
    std::function<void()>& drive;
    int operator()(note n) const {
        CHECK(++inside == 1);
        seen.push_back(n.n);
        if (n.n == 0) drive();
        --inside;
        return n.n;
    }
    task<int> operator()(question q) const {
        CHECK(inside == 0);
        seen.push_back(q.n);
        co_await yield();
        co_return q.n;
    }
};
task<int> call_note(client<note> c, int n) {
    const auto r = co_await c.call(1, n);
    co_return r ? *r : -1;
}
task<int> ask_question(client<question> c, int n) {
    const auto r = co_await c.call(n);
    co_return r ? *r : -1;
}
task<> let_others_run() {
    for (int i = 0; i != 5; ++i) co_await yield();
}
task<> drive_within(executor& at) {
    sync_wait(at, let_others_run());
    co_return;
}

void waits_for_what_drives(executor& at, executor& elsewhere) {
    std::vector<int> seen;
    int inside = 0;
    std::function<void()> drive;
    bus app(at);
    app.handle<note, question>("both", both{seen, inside, drive});
    const auto notes = app.client<note>("both");
    const auto questions = app.client<question>("both");
    std::unique_ptr<launched<int>> call;
    for (int what = 0; what != 5; ++what) {
        seen.clear();
        drive = [&] {
            switch (what) {
                case 0: CHECK(notes.send(1, 1)); break;
                case 1: call = std::make_unique<launched<int>>(at, call_note(notes, 1)); break;
                case 2:
                    call = std::make_unique<launched<int>>(at, ask_question(questions, 1));
                    break;
                case 3:
                    call = std::make_unique<launched<int>>(elsewhere, call_note(notes, 1));
                    elsewhere.drive_ready();
                    break;
                default: break;
            }
            const account now = app.counts("both");
            CHECK(now.left == (what == 0 || what == 3 ? 2 : 1));
            CHECK(now.adds_up());
            run_loop between;
            sync_wait(between, drive_within(at));
            CHECK(seen.size() == 1);
        };
        CHECK(sync_wait(at, call_note(notes, 0)) == 0);
        at.drive_ready();
        elsewhere.drive_ready();
        if (what != 4) CHECK(seen == std::vector<int>{0, 1});
        if (call) CHECK(call->value() == 1);
        call.reset();
    }
    const auto drained = app.drain(1s);
    CHECK(drained->in_time);
    CHECK(drained->total.handled == 9);
    CHECK(drained->total.adds_up());
}

}  // namespace

TEST_CASE("serial_endpoint: what comes while its handler drives its home waits for its end") {
    testing::no_frames_left frames;
    {
        simulation at, elsewhere;
        waits_for_what_drives(at, elsewhere);
    }
    {
        run_loop at, elsewhere;
        waits_for_what_drives(at, elsewhere);
    }
}

TEST_CASE("serial_endpoint: lines that are used alike, of many side by side, fit into a cache") {
    // As a rule they lie their size and a line of the allocator's apart. Were that 1 KiB, the same
    // line of all would share 4 of a cache's 64 sets, which have room for 32.
    const std::size_t lines_apart = sizeof(serial_endpoint) / detail::cache_line + 1;
    CHECK(lines_apart % 8 != 0);
}
