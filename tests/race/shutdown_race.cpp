// Contract 10 and 4 on real threads: buses are destroyed while calls, sends, timers and
// cancellations are in flight, by threads that come and go, from outside and from a handler of
// another bus. Nothing hangs, nobody is left waiting, no frame is left, accounts add up, and each
// accepted send was handled or is a dead letter.
// shutdown_race [buses]
#include <posthaste/posthaste.hpp>

#include "../support/race.hpp"
#include "../support/stand_still.hpp"
#include "watchdog.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;
using posthaste::testing::stand_still;

namespace {

constexpr int threads = 3;
const std::array<std::string, 3> names{"serial", "parallel", "keyed"};

struct job {
    using reply = int;
    int n;
    bool sent;
    int key() const { return n % 5; }
};
struct corpse {
    std::unique_ptr<bus> app;
};

posthaste::testing::mistakes wrong;
std::atomic<long> calls = 0;
outcome answered("calls answered"), closed("calls closed"), no_reply("calls without reply"),
    expired("calls expired"), cancelled("calls cancelled"), overloaded("calls refused"),
    handled("sends handled"), dead("sends that are dead letters"), not_sent("sends refused"),
    drained_in_time("drains in time"), cut_short("drains cut short"),
    by_handler("buses destroyed by a handler");

/// What became of the sends of one bus.
struct sends {
    std::atomic<long> accepted = 0, handled = 0, dead = 0;
};

void send(const client<job>& c, int n, sends& s) {
    if (c.send(n, true)) ++s.accepted;
    else not_sent.seen();
}
void count(const result<int>& r) {
    if (r) return answered.seen();
    switch (r.error().code()) {
        case code::closed: return closed.seen();
        case code::no_reply: return no_reply.seen();
        case code::deadline_exceeded: return expired.seen();
        case code::cancelled: return cancelled.seen();
        case code::overloaded: return overloaded.seen();
        default: wrong.expect(false, "a call ends in a way of its own");
    }
}
bool over(const result<int>& r) {
    return !r && (r.error().code() == code::closed || r.error().code() == code::no_reply);
}

task<> call_once(client<job> c, int n) {
    ++calls;
    const auto r = co_await c.call(n, false);
    count(r);
}
// True: the bus has gone.
task<bool> use(client<job> c, sends& s, std::atomic<int>& started, int from) {
    for (int n = from; n != from + 12; ++n) {
        send(c, n, s);
        if (n % 6 == 1) {
            scope some(co_await this_context);
            some.spawn(call_once, c, n);
            some.spawn(call_once, c, n + 3);
            co_await some.cancel();
        }
        ++calls;
        const auto r = co_await c.call(n, false);
        count(r);
        started.fetch_add(1, std::memory_order_relaxed);
        if (over(r)) co_return true;
        if (!r && r.error().code() == code::overloaded)
            co_await sleep_for(std::chrono::microseconds(20));
    }
    co_return false;
}
// One thread after the other, until the bus has gone.
void relay(client<job> c, sends& s, std::atomic<int>& started, int from) {
    for (bool gone = false; !gone; from += 12)
        std::thread([&] { gone = sync_wait(use(c, s, started, from)); }).join();
}

task<> sleep_long() { static_cast<void>(co_await sleep_for(1h)); }

/// Handlers that would wait for a stop do not: a drain need not cut them short.
bool ends_well(int round) { return round % 12 == 0; }

task<int> handle(job j, client<job> next, sends& s, int round, bool deaf) {
    const int what = ends_well(round) && j.n % 2 != 0 ? 1 : j.n % 8;
    switch (what) {
        case 1: co_await yield(); break;
        case 2: co_await sleep_for(std::chrono::microseconds(j.n % 100)); break;
        case 3: co_await sleep_for(1h); break;  // heeds the stop
        case 4: send(next, j.n + 1, s); break;
        case 5: {
            const context& mine = co_await this_context;
            scope some(mine);
            some.spawn(sleep_long);
            some.spawn(sleep_long);
            if (j.n % 16 == 5) co_await some.join();
            else co_await some.cancel();
            break;
        }
        case 6: co_await call_once(next, j.n + 2); break;
        default: break;
    }
    if (deaf && j.n % 61 == 0) co_await stand_still();
    if (j.sent) ++s.handled;
    co_return j.n;
}

void end_bus(int round, std::unique_ptr<bus> app, const client<corpse>& undertaker) {
    if (round % 3 == 0) {
        const auto drained =
            app->drain(ends_well(round) ? 1min : std::chrono::microseconds(round % 500));
        wrong.expect(drained->total.adds_up(), "the account adds up");
        (drained->in_time ? drained_in_time : cut_short).seen();
    }
    switch (round / 3 % 3) {
        case 0: app.reset(); break;
        case 1: std::thread([&] { app.reset(); }).join(); break;
        default: {
            const auto bury = [&]() -> task<result<void>> {
                co_return co_await undertaker.call(std::move(app));
            };
            wrong.expect(sync_wait(bury()).has_value(), "the handler destroys the bus");
            by_handler.seen();
        }
    }
}

/// `deaf`: some handlers stand still for ever; only where the bus may destroy them.
void one_bus(int round, bool deaf, std::unique_ptr<bus> app, const client<corpse>& undertaker) {
    sends s;
    std::atomic<bool> heard = !deaf;
    app->dead_letters().on_letter([&s](const dead_letter&) { ++s.dead; });
    const auto next = app->client<job>("parallel");
    const auto handler = [&s, next, round, deaf](job j) { return handle(j, next, s, round, deaf); };
    app->handle<job>("serial", serial.capacity(4).full(when_full::wait), handler);
    app->handle<job>("parallel", parallel(2).capacity(8).full(when_full::drop_oldest), handler);
    app->handle<job>("keyed", keyed(&job::key), handler);
    app->handle<job>("deaf", [&heard](job j) -> task<int> {
        heard = true;
        co_await stand_still();
        co_return j.n;
    });
    std::atomic<int> started = 0;
    std::vector<std::thread> users;
    if (deaf) {
        const auto c = app->client<job>("deaf", deadline(forever));
        users.emplace_back([c] { sync_wait(call_once(c, 0)); });  // until the bus goes
    }
    for (int i = 0; i != threads; ++i) {
        const auto c = app->client<job>(names[static_cast<std::size_t>(i)], deadline(2ms));
        users.emplace_back([&s, &started, c, i, round] { relay(c, s, started, i + round); });
    }
    while (!heard || started.load(std::memory_order_relaxed) < round % 24)
        std::this_thread::yield();
    end_bus(round, std::move(app), undertaker);
    for (auto& u : users) u.join();  // hangs, were one of them left waiting
    wrong.expect(s.accepted == s.handled + s.dead, "a send was handled, or is a dead letter");
    handled.count += s.handled;
    dead.count += s.dead;
}

}  // namespace

int main(int argc, char** argv) {
    const int buses = argc > 1 ? std::atoi(argv[1]) : 300;
    testing::watchdog dog("a bus");
    {
        bus_options few;
        few.threads = 1;
        bus graveyard(few);
        graveyard.handle<corpse>("undertaker", [](corpse c) { c.app.reset(); });
        const auto undertaker = graveyard.client<corpse>("undertaker", deadline(forever));
        bus_options options;
        options.threads = 2;
        options.grace = 100us;
        for (int round = 0; round != buses - buses / 4; ++round) {
            one_bus(round, round % 64 == 1, std::make_unique<bus>(options), undertaker);
            dog.pat("a bus");
        }
        thread_pool pool(2);  // somebody else's: handlers that heed no stop cannot be ended there
        for (int round = 0; round != buses / 4; ++round) {
            one_bus(round, false, std::make_unique<bus>(pool, options), undertaker);
            dog.pat("a bus on another's pool");
        }
    }
    const long all = answered.count + closed.count + no_reply.count + expired.count +
                     cancelled.count + overloaded.count;
    wrong.expect(calls == all, "every call ended");
    wrong.expect(detail::live_frames == 0, "no frame is left");
    return testing::summary(wrong, answered, closed, no_reply, expired, cancelled, handled, dead,
                            not_sent, drained_in_time, cut_short, by_handler);
}
