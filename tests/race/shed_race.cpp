// Four threads, callers who share one shed(), and an endpoint that cannot answer them all: some are
// refused as they come, some after they have waited, some give up just then. Each call ends once,
// what was sent is handled, and when the callers have gone nobody is refused any more.
#include "../support/callers.hpp"
#include "../support/race.hpp"

#include <posthaste/guard/deadline.hpp>
#include <posthaste/guard/shed.hpp>
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
outcome value("a value"), at_door("refused as they came"),
    in_queue("refused after they had waited"), late("ended by their deadline"), stopped("stopped"),
    sent("sent, and handled"), grew_old("found overloaded");
mistakes wrong;

constexpr unsigned callers = 10, calls_each = 30;

struct ask {
    using reply = unsigned;
    unsigned n;
};
struct note {};

struct world {
    explicit world(thread_pool& pool) : app(pool) {
        app.handle<ask, note>("callee", parallel(2).capacity(1000), std::ref(*this));
    }
    task<unsigned> operator()(ask q) {
        static_cast<void>(co_await sleep_for(scatter(q.n, 1) % 32 * 1us));
        co_return q.n;
    }
    void operator()(note) { notes.fetch_add(1, std::memory_order_relaxed); }

    std::atomic<unsigned> ended = 0, notes = 0, refusals = 0, notes_sent = 0;  // relaxed
    shed old{{.target = 50us, .interval = 200us}};
    bus app;
};

void look_at(world& w, const result<unsigned>& r, unsigned n) {
    w.ended.fetch_add(1, std::memory_order_relaxed);
    if (r) return value.seen(), wrong.expect(*r == n, "the reply to another call");
    switch (r.error().code()) {
        case code::deadline_exceeded: return late.seen();
        case code::cancelled: return stopped.seen();
        case code::overloaded: break;
        default: return wrong.expect(false, "an end that nobody knows");
    }
    w.refusals.fetch_add(1, std::memory_order_relaxed);
    wrong.expect(r.error().effect() == effect::none, "refused, and handled all the same");
    wrong.expect(r.error().retry_after() > 0ns, "refused without saying for how long");
    if (r.error().detail() == "its queue is overloaded") at_door.seen();
    else in_queue.seen();
}

task<> call_often(world& w, unsigned caller, unsigned seed) {
    const auto c =
        w.app.client<ask>("callee", deadline(scatter(seed, caller) % 4 ? 1s : 150us) | w.old);
    const auto notes = w.app.client<note>("callee", w.old);
    for (unsigned i = 0; i != calls_each; ++i) {
        const unsigned n = scatter(caller * calls_each + i, seed);
        const auto r = co_await c.call(n);
        look_at(w, r, n);
        if (w.old.overloaded()) grew_old.seen();
        if (n % 8 == 0 && notes.send()) w.notes_sent.fetch_add(1, std::memory_order_relaxed);
        if (n % 4 == 3) co_await yield();
    }
}
task<> round_of(world& w, unsigned seed) {
    std::optional<unsigned> turns;
    if (seed % 3 == 0) turns = scatter(seed, 7) % 256;
    co_await all_at_once(callers, turns, [&](unsigned i) { return call_often(w, i, seed); });
    wrong.expect(w.ended.load(std::memory_order_relaxed) == callers * calls_each,
                 "a call has not ended, or twice");
    wrong.expect(w.refusals.load(std::memory_order_relaxed) <= w.old.refused(),
                 "more were refused than it knows of");
    for (;;) {  // until what was given up has gone, too
        const account now = w.app.counts("callee");
        if (now.left == 0 && now.adds_up()) break;
        co_await yield();
    }
    const auto c = w.app.client<ask>("callee", w.old);
    auto r = co_await c.call(1u);
    if (!r) {  // no lane was quite at rest, and the last to leave the queue had grown old
        static_cast<void>(co_await sleep_for(r.error().retry_after()));
        r = co_await c.call(1u);
    }
    wrong.expect(r.has_value(), "refused when the others have gone");
}
}  // namespace

int main() {
    thread_pool pool(4);
    const auto seen = [] {
        return all_seen(value, at_door, in_queue, late, stopped, sent, grew_old);
    };
    for (unsigned seed = 1; seed <= 60 || (!seen() && seed <= 3000); ++seed) {
        world w(pool);
        sync_wait(pool, round_of(w, seed));
        const result<drain_account> all = w.app.drain(1s);
        wrong.expect(all && all->total.adds_up(), "the account does not add up");
        const unsigned notes = w.notes.load(std::memory_order_relaxed);
        wrong.expect(notes == w.notes_sent.load(std::memory_order_relaxed),
                     "what was sent was not handled, or twice");
        if (notes != 0) sent.seen();
    }
    return testing::summary(wrong, value, at_door, in_queue, late, stopped, sent, grew_old);
}
