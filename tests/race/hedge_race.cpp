// Four threads, and calls whose requests are made again as they are answered, fail, are stopped or
// meet their deadline: each call ends once, and no request of it holds anything afterwards. The
// handler is deduplicated in every second round: then a message is handled once, whoever asks.
#include "../support/callers.hpp"
#include "../support/race.hpp"

#include <posthaste/guard/breaker.hpp>
#include <posthaste/guard/budget.hpp>
#include <posthaste/guard/deadline.hpp>
#include <posthaste/guard/dedup.hpp>
#include <posthaste/guard/hedge.hpp>
#include <posthaste/guard/limit.hpp>
#include <posthaste/guard/retry.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/serve/bus.hpp>
#include <posthaste/wait/sleep.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <optional>

using namespace posthaste;
using namespace posthaste::testing;
using namespace std::chrono_literals;

namespace {
outcome value("a value"), failing("a failure of the handler"), late("ended by its deadline"),
    stopped("stopped"), full("refused by the limit"), twice("handled more than once"),
    helped("rounds in which another request was answered first"),
    hindered("rounds in which one was not");
mistakes wrong;

constexpr unsigned callers = 8, calls_each = 40, attempts = 3, most = 9;

struct ask {
    using reply = unsigned;
    static constexpr bool idempotent = true;
    unsigned n;
};

struct world {
    world(thread_pool& pool, bool deduplicated) : app(pool), once(deduplicated) {
        auto handler = [this](ask q) { return handle(q); };
        if (once) app.handle<ask>("callee", parallel(100), dedup(1min)(std::move(handler)));
        else app.handle<ask>("callee", parallel(100), std::move(handler));
    }
    task<result<unsigned>> handle(ask q) {
        const unsigned before = handled[q.n].fetch_add(1, std::memory_order_relaxed);
        const unsigned chance = scatter(q.n, before);
        if (before != 0) twice.seen();
        if (chance % 4 == 0) static_cast<void>(co_await sleep_for(chance / 4 % 128 * 1us));
        else if (chance % 4 == 1) co_await yield();
        if (chance % 16 == 3) co_return failure(code::unavailable, effect::none);
        ended_well[q.n].fetch_add(1, std::memory_order_relaxed);
        co_return q.n;
    }

    std::array<std::atomic<unsigned>, callers * calls_each> handled{}, ended_well{};  // relaxed
    std::atomic<unsigned> ended = 0;                                                  // relaxed
    budget spare{{.ratio = 1, .per_second = 1e6}};
    hedge h{{.percentile = 50, .attempts = attempts, .least = 1us, .least_calls = 1}};
    breaker b{{.least_calls = 1'000'000}};
    limit few{most};
    bus app;
    const bool once;
};

void note(const result<unsigned>& r, unsigned n) {
    if (r) return value.seen(), wrong.expect(*r == n, "the reply to another call");
    switch (r.error().code()) {
        case code::unavailable: return failing.seen();
        case code::deadline_exceeded: return late.seen();
        case code::cancelled: return stopped.seen();
        case code::overloaded: return full.seen();
        default: return wrong.expect(false, "an end that nobody knows");
    }
}

task<> call_often(world& w, unsigned caller, unsigned seed) {
    const auto c =
        w.app.client<ask>("callee", deadline(scatter(seed, caller) % 2 ? 1s : 100us) | w.spare |
                                        retry({.attempts = 2, .base = 0us}) | w.h | w.b | w.few);
    for (unsigned i = 0; i != calls_each; ++i) {
        const unsigned n = caller * calls_each + i;
        const auto r = co_await c.call(n);
        note(r, n);
        w.ended.fetch_add(1, std::memory_order_relaxed);
        wrong.expect(w.few.in_flight() <= most, "more in flight than the limit allows");
        if (scatter(seed, i) % 4 == 3) co_await yield();
    }
}
task<> round_of(world& w, unsigned seed) {
    std::optional<unsigned> turns;
    if (seed % 3 == 0) turns = scatter(seed, 7) % 512;
    co_await all_at_once(callers, turns, [&](unsigned i) { return call_often(w, i, seed); });
    wrong.expect(w.ended.load(std::memory_order_relaxed) == callers * calls_each,
                 "a call has not ended, or twice");
    wrong.expect(w.few.in_flight() == 0, "a permit was lost or made");
    wrong.expect(w.h.sent() <= w.spare.taken(), "more requests than the budget gave");
    wrong.expect(w.h.won() <= w.h.sent(), "more were answered than made");
    if (w.h.won() != 0) helped.seen();
    if (w.h.won() != w.h.sent()) hindered.seen();
}
}  // namespace

int main() {
    thread_pool pool(4);
    const auto seen = [] {
        return all_seen(value, failing, late, stopped, full, twice, helped, hindered);
    };
    for (unsigned seed = 1; seed <= 60 || (!seen() && seed <= 3000); ++seed) {
        world w(pool, seed % 2 == 0);
        sync_wait(pool, round_of(w, seed));
        const result<drain_account> all = w.app.drain(1s);
        wrong.expect(all && all->total.adds_up(), "the account does not add up");
        for (std::size_t n = 0; w.once && n != w.ended_well.size(); ++n) {
            wrong.expect(w.ended_well[n].load(std::memory_order_relaxed) <= 1,
                         "handled well twice, in spite of dedup");
        }
    }
    return testing::summary(wrong, value, failing, late, stopped, full, twice, helped, hindered);
}
