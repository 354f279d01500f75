// Four threads, and calls that come back to a serial endpoint by way of another one, at once or
// through its queue, while others are stopped or meet their deadline: what comes back is let in,
// what comes from elsewhere waits its turn, and each call ends once. Where coming back is not
// allowed, it is refused.
#include "../support/callers.hpp"
#include "../support/race.hpp"

#include <posthaste/guard/deadline.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/serve/bus.hpp>
#include <posthaste/wait/sleep.hpp>

#include <atomic>
#include <chrono>
#include <optional>

using namespace posthaste;
using namespace posthaste::testing;
using namespace std::chrono_literals;

namespace {
outcome value("a value"), late("ended by its deadline"), stopped("stopped"),
    refused("refused, as it would wait for itself"), came_back("came back");
mistakes wrong;

constexpr unsigned callers = 6, calls_each = 20;

struct ask {
    using reply = unsigned;
    unsigned depth;  // so often it goes round
    bool comes_back = false;
};

struct world {
    world(thread_pool& pool, bool reentrant) : app(pool) {
        const auto back = [this](ask q) { return go_on(q); };
        if (reentrant) app.handle<ask>("a", serial.reentrant(), back);
        else app.handle<ask>("a", serial, back);
        app.handle<ask>(
            "b", parallel(8),
            [a = app.client<ask>("a", deadline(forever))](ask q) -> task<result<unsigned>> {
                if (scatter(q.depth, 3) % 2 == 0) co_await yield();
                co_return co_await a.call(q.depth - 1, true);
            });
        to_b = app.client<ask>("b", deadline(forever));
    }
    task<result<unsigned>> go_on(ask q) {
        if (q.comes_back) came_back.seen();
        else
            wrong.expect(outer.fetch_add(1, std::memory_order_relaxed) == 0,
                         "two at once from elsewhere");
        if (scatter(q.depth, turns.fetch_add(1, std::memory_order_relaxed)) % 4 == 0)
            static_cast<void>(co_await sleep_for(10us));
        else co_await yield();
        result<unsigned> r = q.depth;
        if (q.depth > 0) r = co_await to_b.call(q.depth);
        if (!q.comes_back) outer.fetch_sub(1, std::memory_order_relaxed);
        co_return r;
    }

    std::atomic<unsigned> ended = 0, turns = 0, outer = 0;  // relaxed
    bus app;
    client<ask> to_b = app.client<ask>("b");
};

void look_at(const result<unsigned>& r) {
    if (r) return value.seen(), wrong.expect(*r == 0, "the reply to another call");
    switch (r.error().code()) {
        case code::deadline_exceeded: return late.seen();
        case code::cancelled: return stopped.seen();
        case code::would_deadlock: return refused.seen();
        default: return wrong.expect(false, "an end that nobody knows");
    }
}

task<> call_often(world& w, unsigned caller, unsigned seed) {
    const auto c = w.app.client<ask>("a", deadline(scatter(seed, caller) % 3 ? 10s : 100us));
    for (unsigned i = 0; i != calls_each; ++i) {
        const auto r = co_await c.call(scatter(seed + caller, i) % 4);
        look_at(r);
        w.ended.fetch_add(1, std::memory_order_relaxed);
        if (scatter(seed, i) % 4 == 3) co_await yield();
    }
}
task<> round_of(world& w, unsigned seed) {
    std::optional<unsigned> turns;
    if (seed % 3 == 0) turns = scatter(seed, 7) % 512;
    co_await all_at_once(callers, turns, [&](unsigned i) { return call_often(w, i, seed); });
    wrong.expect(w.ended.load(std::memory_order_relaxed) == callers * calls_each,
                 "a call has not ended, or twice");
}
}  // namespace

int main() {
    thread_pool pool(4);
    const auto seen = [] { return all_seen(value, late, stopped, refused, came_back); };
    for (unsigned seed = 1; seed <= 60 || (!seen() && seed <= 3000); ++seed) {
        world w(pool, seed % 4 != 0);
        sync_wait(pool, round_of(w, seed));
        const result<drain_account> all = w.app.drain(5s);
        wrong.expect(all && all->total.adds_up(), "the account does not add up");
    }
    return testing::summary(wrong, value, late, stopped, refused, came_back);
}
