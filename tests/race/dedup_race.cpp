// Four threads, and messages that come again while they are being handled, just as that ends, and
// afterwards: to handlers that fail, are given up, or stand still until their bus is gone. None is
// handled by two at a time, nor again within the window once it was handled well; each call ends
// once, by what a handler did that ended well; what was sent is handled once in effect, or is a
// dead letter.
#include "../support/callers.hpp"
#include "../support/race.hpp"
#include "../support/stand_still.hpp"

#include <posthaste/guard/deadline.hpp>
#include <posthaste/guard/dedup.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/serve/bus.hpp>
#include <posthaste/wait/sleep.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <thread>

using namespace posthaste;
using namespace posthaste::testing;
using namespace std::chrono_literals;

namespace {
outcome own("a value, of its own handler"), copied("a value, of another's"),
    failing("a failure of the handler"), late("ended by its deadline"), stopped("stopped"),
    shut("refused by a bus that is shut"), after_failure("handled, as it had failed before"),
    expired("handled again when the window was over"),
    outlived("handled again when many others had been"), sent("sent, and handled"),
    dead("sent, and a dead letter"), in_time("drained in time"), cut_short("cut short"),
    destroyed("destroyed where it stood");
mistakes wrong;

constexpr unsigned callers = 8, calls_each = 40, keys = 12, lanes = 4, most = 6;
constexpr unsigned stands = keys;  // the key whose handler never ends
constexpr duration window = 200us;

enum class kind { forgets_nothing, forgets_early, forgets_many, drained };

struct ask {
    using reply = unsigned;  // which call it was handled for
    unsigned key, n;
};
struct order {
    unsigned key;
};
struct entry {
    unsigned key;
};

/// Of one key. Its handlers write it, one at a time: what orders them is dedup.
struct history {
    std::atomic<bool> inside = false;  // relaxed
    unsigned well = 0, failed = 0;
    unsigned n = 0;  // of the last that ended well, as the next two
    time_point at{};
    unsigned ends = 0;
};

/// What the handlers of one endpoint have done.
class book {
public:
    explicit book(kind k) : kind_(k) {}

    /// A handler at work; at the end it has failed, unless it says well().
    class turn {
    public:
        turn(book& b, unsigned key, const context& ctx)
            : of_(b), h_(b.keys_[key]), at_(ctx.home()) {
            wrong.expect(!h_.inside.exchange(true, std::memory_order_relaxed), "by two at a time");
            if (h_.well != 0) of_.look_again(h_, at_.now());
            else if (h_.failed != 0) after_failure.seen();
        }
        turn(const turn&) = delete;
        ~turn() {
            if (!well_) ++h_.failed;
            h_.inside.store(false, std::memory_order_relaxed);
        }
        unsigned failures() const { return h_.failed; }
        void well(unsigned n = 0) {
            well_ = true;
            ++h_.well;
            h_.n = n;
            h_.at = at_.now();
            h_.ends = of_.ends_.fetch_add(1, std::memory_order_relaxed) + 1;
        }

    private:
        book& of_;
        history& h_;
        home& at_;
        bool well_ = false;
    };

    /// When all is at rest; or by who has a reply to it, if nothing is forgotten.
    const history& of(unsigned key) const { return keys_[key]; }

private:
    void look_again(const history& h, time_point now) {
        const unsigned since = ends_.load(std::memory_order_relaxed) - h.ends;
        switch (kind_) {
            case kind::forgets_early:
                expired.seen();
                return wrong.expect(now >= h.at + window, "handled again within the window");
            case kind::forgets_many:  // others may have ended before it, and be known after it
                outlived.seen();
                return wrong.expect(since > most - lanes, "forgotten, of the latest");
            default: return wrong.expect(false, "handled again");
        }
    }

    const kind kind_;
    std::array<history, keys + 1> keys_;
    std::atomic<unsigned> ends_ = 0;  // relaxed
};

struct world {
    world(kind k, unsigned round) : seed(round), what(k) {
        const auto once =
            dedup(k == kind::forgets_early ? window : duration(1min), [](const auto& m) {
                return m.key;
            }).most(k == kind::forgets_many ? most : 1000);
        bus_options own_pool;
        own_pool.threads = 4;
        own_pool.grace = 0ms;
        app = std::make_unique<bus>(own_pool);
        app->dead_letters().on_letter([this](const dead_letter& l) {
            if (const auto* o = l.get<order>()) ++lost_orders[o->key];
            if (const auto* e = l.get<entry>()) ++lost_entries[e->key];
        });
        app->handle<ask>("asked", parallel(lanes).capacity(4096),
                         once([this](ask a, context& ctx) { return handle(a, ctx); }));
        const redelivery again{
            .attempts = 3, .in_place = seed % 2, .delay = 20us, .max_delay = 40us};
        app->handle<order>(
            "ordered", parallel(lanes).capacity(4096).at_least_once(again),
            once([this, to = app->client<entry>("entries")](const order& o, outbox& out) {
                return carry_out(o, out, to);
            }));
        app->handle<entry>("entries", parallel(lanes).capacity(4096),
                           [this](entry e) { ++entries[e.key]; });
    }

    task<result<unsigned>> handle(ask a, context& ctx) {
        book::turn t(asked, a.key, ctx);
        if (a.key == stands) co_await stand_still();
        const unsigned chance = scatter(a.key + 16 * t.failures(), seed);
        if (chance % 4 == 0) {
            const result<void> slept = co_await sleep_for(chance / 4 % 64 * 1us);
            if (!slept) co_return failure(code::unavailable);  // given up
        } else if (chance % 4 == 1) {
            co_await yield();
        }
        if (chance % 5 < 2) co_return failure(code::unavailable);
        t.well(a.n);
        co_return a.n;
    }
    task<result<void>> carry_out(const order& o, outbox& out, const client<entry>& to) {
        book::turn t(ordered, o.key, out.context());
        const unsigned chance = scatter(o.key + 16 * t.failures(), seed);
        const bool held = out.send(to, o.key).has_value();
        if (chance % 4 == 1) co_await yield();
        if (!held || chance % 5 < 2) co_return failure(code::unavailable);
        t.well();
        co_return {};
    }
    /// Calls and sends, all the same ones at about the same time.
    task<> come_often(unsigned caller) {
        const bool patient = scatter(seed, caller) % 3 != 0;
        const auto c =
            app->client<ask>("asked", deadline(patient ? duration(10s) : duration(60us)));
        const auto o = app->client<order>("ordered");
        for (unsigned i = 0; i != calls_each; ++i) {
            const unsigned n = caller * calls_each + i, key = scatter(seed, i) % keys;
            const result<unsigned> r = co_await c.call(key, n);
            look_at(r, key, n);
            wrong.expect(r || r.error().code() != code::deadline_exceeded || !patient,
                         "nobody told who waited");
            if (i % 4 == 0 && o.send(key)) ++orders[key];
            if (scatter(n, seed) % 4 == 3) co_await yield();
        }
    }
    task<> wait_in_vain() {
        const auto c = app->client<ask>("asked", deadline(200us));
        const result<unsigned> r = co_await c.call(stands, 0u);
        wrong.expect(!r, "an answer of who never ends");
    }
    void look_at(const result<unsigned>& r, unsigned key, unsigned n) {
        ++ended;
        if (r) {
            (*r == n ? own : copied).seen();
            if (what == kind::forgets_early || what == kind::forgets_many) return;
            return wrong.expect(*r == asked.of(key).n, "the reply to another message");
        }
        switch (r.error().code()) {
            case code::unavailable: return failing.seen();
            case code::deadline_exceeded: return late.seen();
            case code::cancelled: return stopped.seen();
            case code::closed: return shut.seen();
            default: return wrong.expect(false, "an end that nobody knows");
        }
    }
    task<> all() {
        std::optional<unsigned> turns;
        if (seed % 3 == 0) turns = scatter(seed, 7) % 512;
        co_await all_at_once(callers, turns, [this](unsigned i) { return come_often(i); });
        if (one_stands()) co_await all_at_once(2, {}, [this](unsigned) { return wait_in_vain(); });
    }
    bool one_stands() const { return seed % 8 == 0; }

    void drain(duration grace) {
        const result<drain_account> all = app->drain(grace);
        wrong.expect(all && all->total.adds_up(), "the account does not add up");
        if (all) (all->in_time ? in_time : cut_short).seen();
    }
    /// When the bus is gone.
    void count() const {
        wrong.expect(ended == callers * calls_each, "a call has not ended, or twice");
        for (unsigned k = 0; k != keys; ++k) {
            const unsigned well = ordered.of(k).well;
            wrong.expect(entries[k] + lost_entries[k] == well, "an order is one entry");
            wrong.expect(lost_orders[k] <= orders[k], "an order was lost twice");
            wrong.expect(well != 0 || lost_orders[k] == orders[k], "an order was lost in silence");
            if (entries[k] != 0) sent.seen();
            if (lost_orders[k] != 0) dead.seen();
        }
        if (!one_stands()) return;
        wrong.expect(asked.of(stands).failed == 1, "who stands still was not ended, or twice");
        destroyed.seen();
    }

    const unsigned seed;
    const kind what;
    book asked{what}, ordered{what};
    std::atomic<unsigned> ended = 0;
    std::array<std::atomic<unsigned>, keys> orders{}, lost_orders{}, entries{}, lost_entries{};
    std::unique_ptr<bus> app;
};
}  // namespace

int main() {
    const auto seen = [] {
        return all_seen(own, copied, failing, late, stopped, shut, after_failure, expired, outlived,
                        sent, dead, in_time, cut_short, destroyed);
    };
    for (unsigned seed = 1; seed <= 120 || (!seen() && seed <= 3000); ++seed) {
        world w(static_cast<kind>(seed / 2 % 4), seed);
        std::thread drains;
        if (w.what == kind::drained) {
            drains = std::thread([&w] {
                dawdle(scatter(w.seed, 3) % 100'000);
                w.drain(scatter(w.seed, 4) % 200 * 1us);
            });
        }
        sync_wait(w.app->home(), w.all());
        if (drains.joinable()) drains.join();
        else w.drain(w.one_stands() ? 0s : 10s);
        w.app.reset();
        w.count();
    }
    return testing::summary(wrong, own, copied, failing, late, stopped, shut, after_failure,
                            expired, outlived, sent, dead, in_time, cut_short, destroyed);
}
