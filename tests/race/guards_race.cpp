// Four threads, and calls through all the guards there are, whose state they share. The
// callee is now ill, now slow, now well, and calls are stopped and meet their deadlines. Every call
// ends once, no more are in flight than may be, in the end none is, and the breaker closes.
#include "../support/callers.hpp"
#include "../support/race.hpp"

#include <posthaste/guard/adaptive_limit.hpp>
#include <posthaste/guard/attempt_timeout.hpp>
#include <posthaste/guard/breaker.hpp>
#include <posthaste/guard/budget.hpp>
#include <posthaste/guard/deadline.hpp>
#include <posthaste/guard/hedge.hpp>
#include <posthaste/guard/limit.hpp>
#include <posthaste/guard/rate.hpp>
#include <posthaste/guard/retry.hpp>
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
outcome value("a value"), failing("a failure of the handler"), late("ended by its deadline"),
    stopped("stopped"), refused("refused by a limit or the rate"),
    kept_away("refused by the breaker"), opened("found open"), half_open("found half open"),
    held("held open by hand"), closed("closed again");
outcome repeated("rounds in which calls were made again"),
    saved("rounds in which they were not: nothing was left to spend"),
    hedged("rounds in which a second request was made"),
    helped("rounds in which a second request was answered first");
mistakes wrong;

constexpr int most = 3;
constexpr unsigned callers = 6, calls_each = 60;

struct ask {
    using reply = int;
    static constexpr bool idempotent = true;
    unsigned n;
};

struct world {
    explicit world(thread_pool& pool) : app(pool) {
        app.handle<ask>("callee", parallel(100), std::ref(*this));
    }
    task<result<int>> operator()(ask q) {
        if (scatter(q.n, 1) % 4 == 0) co_await yield();
        if (scatter(q.n, 2) % 32 == 0) static_cast<void>(co_await sleep_for(300us));
        if (is_ill.load(std::memory_order_relaxed)) co_return failure(code::unavailable);
        co_return 1;
    }

    std::atomic<bool> is_ill = false;  // relaxed
    std::atomic<unsigned> ended = 0;  // relaxed
    budget spare{{.ratio = 0.05, .per_second = 1, .window = 1s}};
    retry again{{.base = 20us, .cap = 100us}};
    hedge twice{{.percentile = 80, .attempts = 3, .least = 20us, .least_calls = 8}};
    breaker b{{.least_calls = 4, .window = 20ms, .open_for = 200us, .open_at_most = 1ms}};
    limit few{most};
    adaptive_limit fitting{{.initial = 4, .most = 4}};
    rate calm{{.per_second = 100'000, .burst = 50, .wait = 50us}};
    bus app;
};

void note(const result<int>& r) {
    if (r) return value.seen();
    switch (r.error().code()) {
        case code::unavailable: return failing.seen();
        case code::deadline_exceeded: return late.seen();
        case code::cancelled: return stopped.seen();
        case code::overloaded: return refused.seen();
        case code::circuit_open: return kept_away.seen();
        default: return wrong.expect(false, "an end that nobody knows");
    }
}

task<> call_often(world& w, unsigned seed) {
    const auto guards = deadline(seed % 2 == 0 ? 2ms : 250us) | w.spare | w.again | w.twice | w.b |
                        w.calm | w.few | w.fitting | attempt_timeout(1ms);
    const auto c = w.app.client<ask>("callee", guards);
    for (unsigned i = 0; i != calls_each; ++i) {
        const unsigned n = scatter(seed, i);
        note(co_await c.call(n));
        w.ended.fetch_add(1, std::memory_order_relaxed);
        wrong.expect(w.few.in_flight() <= most, "more in flight than the limit allows");
        wrong.expect(w.fitting.in_flight() <= 4, "more in flight than the adaptive limit allows");
        const circuit now = w.b.state();
        if (now == circuit::open) {
            opened.seen();
            wrong.expect(w.b.last_cause().has_value(), "it opened for no reason");
        }
        if (now == circuit::half_open) half_open.seen();
        if (now == circuit::held_open) held.seen();
        if (n % 8 == 0) w.is_ill.store(n % 16 == 0, std::memory_order_relaxed);
        if (n % 256 == 1) w.b.open();
        if (n % 32 == 2) w.b.close();
        if (n % 4 == 3) co_await yield();
        if (now != circuit::closed) static_cast<void>(co_await sleep_for(20us));
    }
}
task<> round_of(world& w, unsigned seed) {
    std::optional<unsigned> turns;
    if (seed % 2 == 0) turns = scatter(seed, 7) % 256;
    co_await all_at_once(callers, turns,
                         [&](unsigned i) { return call_often(w, seed * callers + i); });
    wrong.expect(w.ended.load(std::memory_order_relaxed) == callers * calls_each,
                 "a call has not ended, or twice");
    if (w.spare.taken() != 0) repeated.seen();
    if (w.spare.refused() != 0) saved.seen();
    if (w.twice.sent() != 0) hedged.seen();
    if (w.twice.won() != 0) helped.seen();
    wrong.expect(w.twice.sent() <= w.spare.taken(), "more requests than the budget gave");
    wrong.expect(w.twice.won() <= w.twice.sent(), "more were answered than made");
    wrong.expect(w.few.in_flight() == 0, "a permit of the limit was lost or made");
    wrong.expect(w.fitting.in_flight() == 0, "a permit of the adaptive limit was lost or made");

    w.is_ill.store(false, std::memory_order_relaxed);
    if (w.b.state() == circuit::held_open) w.b.close();
    const auto c = w.app.client<ask>("callee", deadline(1s) | w.b);
    for (int i = 0; i != 1000 && w.b.state() != circuit::closed; ++i) {
        static_cast<void>(co_await c.call(1u));
        static_cast<void>(co_await sleep_for(100us));
    }
    wrong.expect(w.b.state() == circuit::closed, "the breaker is stuck");
    closed.seen();
}
}  // namespace

int main() {
    thread_pool pool(4);
    const auto seen = [] {
        return all_seen(value, failing, late, stopped, refused, kept_away, opened, half_open, held,
                        closed, repeated, saved, hedged, helped);
    };
    for (unsigned seed = 1; seed <= 60 || (!seen() && seed <= 3000); ++seed) {
        world w(pool);
        sync_wait(pool, round_of(w, seed));
    }
    return testing::summary(wrong, value, failing, late, stopped, refused, kept_away, opened,
                            half_open, held, closed, repeated, saved, hedged, helped);
}
