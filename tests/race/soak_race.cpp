// Contract 3, 4 and 8 for long: endpoints and subscribers of all modes and policies, with and
// without redelivery and dedup, whose handlers fail and are slow at random, while others subscribe
// and unsubscribe and dead letters are requeued. Each message accepted has one end, none is handled
// twice, the order per sender and per key holds, and memory stays as it was.
// soak_race [messages [seconds]], whichever is over first
#include <posthaste/posthaste.hpp>

#include "../support/memory.hpp"
#include "../support/race.hpp"
#include "watchdog.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

constexpr int senders = 3, keys = 64;
constexpr std::size_t window = 1 << 16;  // of numbers of a sender

posthaste::testing::mistakes wrong;
outcome handled("handled"), again("handled after a failure"), exhausted("given up after the last"),
    rejected("rejected"), failed_once("failed, delivered once"), dropped("dropped"),
    refused("refused"), known("known to have been handled"), requeued("requeued"),
    reserved("sent into a place reserved"), published_to_all("published"), subscribed("subscribed"),
    unsubscribed("unsubscribed"), in_handler("unsubscribed in its handler"), finished("finished"),
    left("left by one that unsubscribed");

unsigned dice() noexcept {
    static std::atomic<unsigned> threads = 0;
    static thread_local unsigned who = threads.fetch_add(1, std::memory_order_relaxed), draws = 0;
    return testing::scatter(++draws, who);
}

struct job {
    int from;
    int key;
    long n;
    long number() const noexcept { return n * senders + from; }
};

enum class order { none, per_sender, per_key };

/// One endpoint, or the subscribers of one name, and what they saw.
struct place {
    const std::string name;
    const order kept;
    const bool lossless = false, requeues = false, twice = false, subscribes = false;
    std::array<std::array<long, senders>, keys> last{};  // of the lane that has the key
    std::vector<std::atomic<long>> seen = std::vector<std::atomic<long>>(senders * window);
    std::atomic<std::uint64_t> accepted = 0, refused = 0, done = 0, dead = 0;

    void comes(const job& j, unsigned attempt) noexcept {
        if (kept == order::none) return;
        long& before = last[kept == order::per_key ? static_cast<std::size_t>(j.key) : 0]
                           [static_cast<std::size_t>(j.from)];
        wrong.expect(attempt == 1 ? before < j.n : before == j.n, "the order is kept");
        before = j.n;
    }
    std::atomic<long>& effect_of(const job& j) noexcept {
        return seen[static_cast<std::size_t>(j.from) * window +
                    static_cast<std::size_t>(j.n) % window];
    }
    void takes_effect(const job& j) noexcept {
        const long before = effect_of(j).exchange(j.n, std::memory_order_relaxed);
        wrong.expect(before != j.n, "nothing is handled twice");
    }
    void is_done(const job& j) noexcept {
        wrong.expect(effect_of(j).load(std::memory_order_relaxed) >= j.n, "it was handled");
        done.fetch_add(1, std::memory_order_relaxed);
        handled.seen();
    }
    void hears(const result<void>& ok) noexcept {
        (ok ? accepted : refused).fetch_add(1, std::memory_order_relaxed);
        wrong.expect(ok || !lossless, "whoever waits for room gets it");
    }
};

constexpr std::size_t deduped = 7, single = 8, to_topics = 8;
std::array<place, 12> places{{{"serial.reject", order::per_sender},
                              {"serial.drop_oldest", order::per_sender},
                              {"parallel.drop_newest", order::none, false, true},
                              {"keyed.drop_oldest", order::per_key},
                              {"serial.again", order::per_sender, true},
                              {"parallel.again", order::none, true, true},
                              {"keyed.again", order::per_key, true},
                              {"parallel.dedup", order::none, true, true, true},
                              {"serial.hears", order::per_sender, false, false, false, true},
                              {"keyed.hears", order::per_key, false, false, false, true},
                              {"hears.again", order::per_sender, false, false, false, true},
                              {"guests", order::none, false, false, false, true}}};
place& guests = places[11];

// What befalls each handler.
task<result<void>> handle(place& p, const job& j, context& ctx) {
    const unsigned chance = dice();
    if (chance % 64 == 1) co_await yield();
    if (chance % 4096 == 2) co_await sleep_for(50us);
    if (chance % 65536 == 3) co_await sleep_for(1ms);
    if (chance % 12 == 4) co_return failure(code::handler_failed);
    if (chance % 200 == 5) co_return delivery::retry(30us);
    if (chance % 1000 == 6) co_return delivery::reject("never");
    p.takes_effect(j);
    if (ctx.attempt() > 1) again.seen();
    co_return {};
}
auto handler_of(place& p) {
    return [&p](const job& j, context& ctx) -> task<result<void>> {
        p.comes(j, ctx.attempt());
        auto ok = co_await handle(p, j, ctx);
        if (ok) p.is_done(j);
        co_return ok;
    };
}
auto deduped_handler_of(place& p, std::size_t most) {
    const auto inner = [&p](const job& j, context& ctx) { return handle(p, j, ctx); };
    return [&p, once = dedup(1min, &job::number).most(most)(inner)](
               const job& j, outbox& out) mutable -> task<result<void>> {
        const bool was_known = p.effect_of(j).load(std::memory_order_relaxed) == j.n;
        auto ok = co_await once(j, out);
        if (ok) p.is_done(j);
        if (was_known) known.seen();
        wrong.expect(ok || !was_known, "what has been handled does not fail");
        co_return ok;
    };
}

void note(const dead_letter& l) noexcept {
    for (place& p : places) {
        if (p.name != l.endpoint()) continue;
        p.dead.fetch_add(1, std::memory_order_relaxed);
        const bool repeats = p.lossless || p.name == "hears.again";
        if (l.reason().code() == code::overloaded) dropped.seen();
        else if (l.reason().code() == code::closed) left.seen();
        else if (l.reason().code() == code::rejected) rejected.seen();
        else (repeats ? exhausted : failed_once).seen();
        if (repeats && l.reason().code() != code::rejected)
            wrong.expect(l.attempts() == 3, "all attempts were made");
    }
}
void requeue_some(bus& app) {
    app.dead_letters().for_each([&](const dead_letter& l) {
        for (place& p : places) {
            if (!p.requeues || p.name != l.endpoint() || dice() % 2 == 0) continue;
            const auto ok = app.dead_letters().requeue(l);
            if (!ok && ok.error().code() == code::rejected) continue;  // newer ones came meanwhile
            wrong.expect(ok || ok.error().code() == code::overloaded, "it may be requeued");
            (ok ? p.accepted : p.refused).fetch_add(1, std::memory_order_relaxed);
            if (ok) requeued.seen();
        }
    });
}

/// A subscriber that comes and goes; also by itself, in its handler.
class guest {
public:
    guest(bus& app, unsigned chance) {
        const char* const patterns[] = {"t.*", "t.0", ">", "t.1"};
        const auto which = topics(patterns[chance % 4]).named(guests.name);
        const auto mode =
            serial.capacity(8).full(chance % 8 < 4 ? when_full::reject : when_full::drop_oldest);
        const bool goes_itself = chance % 3 == 0;
        const std::lock_guard guard(s_->lock);
        s_->it = app.subscribe<job>(
            which, mode,
            [s = s_, goes_itself, last = std::array<long, senders>{}](const job& j) mutable {
                long& before = last[static_cast<std::size_t>(j.from)];
                wrong.expect(before < j.n, "the order is kept");
                before = j.n;
                guests.done.fetch_add(1, std::memory_order_relaxed);
                if (!goes_itself) return;
                const std::lock_guard until_made(s->lock);
                if (s->it.unsubscribe()) in_handler.seen();
            });
        subscribed.seen();
    }
    guest(const guest&) = delete;
    ~guest() { go(); }  // its handler has a share of it
    void go() {
        const std::lock_guard guard(s_->lock);
        if (s_->it.unsubscribe()) unsubscribed.seen();
    }
    task<> finish() {
        std::unique_lock guard(s_->lock);
        auto over = s_->it.finish();
        guard.unlock();
        const auto a = co_await std::move(over);
        if (!a) co_return;  // it had unsubscribed
        wrong.expect(a->adds_up() && a->left == 0, "it handles what is queued");
        finished.seen();
    }

private:
    struct shared {
        std::mutex lock;  // a subscription is for one thread at a time
        subscription it;
    };
    std::shared_ptr<shared> s_ = std::make_shared<shared>();
};

class sender {
public:
    sender(bus& app, int from)
        : app_(app), from_(from), topic_(app.publisher<job>("t." + std::to_string(from))) {
        for (std::size_t i = 0; i != single; ++i)
            to_.push_back(app.client<job>(places[i].name, deadline(forever)));
    }
    task<> send(long first, long last) {
        for (long n = first; n != last; ++n) {
            const unsigned chance = dice();
            const auto which = chance % 12;
            const int key = static_cast<int>(chance / 16 % keys);
            if (which > to_topics) publish(key, n);
            else co_await send_one(which == to_topics ? deduped : which, key, n);
            if (chance / 1024 % 512 == 0) co_await change_guests();
            if (chance / 1024 % 8192 == 1) requeue_some(app_);
            if (n % 64 == 0) co_await yield();
        }
        for (auto& g : guests_) g.reset();
    }

    static inline std::atomic<std::uint64_t> accepted = 0, refused = 0;  // of what was published

private:
    task<> send_one(std::size_t which, int key, long n) {
        place& p = places[which];
        const client<job>& to = to_[which];
        for (int times = p.twice && n % 4 == 0 ? 2 : 1; times != 0; --times) {
            if (!p.lossless) {
                p.hears(to.send(from_, key, n));
            } else if (n % 16 != 0) {
                p.hears(co_await to.send_when_room(from_, key, n));
            } else {
                auto place = co_await to.reserve();
                wrong.expect(place.has_value(), "whoever waits for a place gets it");
                if (place) p.hears(place->send(from_, key, n)), reserved.seen();
            }
        }
    }
    void publish(int key, long n) {
        const auto p = n % 4 == 0 ? app_.publish<job>(topic_.topic(), from_, key, n)
                                  : topic_.publish(from_, key, n);
        wrong.expect(static_cast<bool>(p), "it is published");
        accepted.fetch_add(p.accepted, std::memory_order_relaxed);
        refused.fetch_add(p.refused, std::memory_order_relaxed);
        published_to_all.seen();
    }
    task<> change_guests() {
        const unsigned chance = dice();
        std::unique_ptr<guest>& g = guests_[chance % guests_.size()];
        if (g && chance % 3 == 0) co_await g->finish();
        else if (g && chance % 3 == 1) g->go();
        g = std::make_unique<guest>(app_,
                                    chance / 16);  // the old one ends with its handler, or now
    }

    bus& app_;
    const int from_;
    publisher<job> topic_;
    std::vector<client<job>> to_;
    std::array<std::unique_ptr<guest>, 3> guests_;
};

void send_all_at_once(bus& app, long first, long last) {
    std::vector<std::thread> threads;
    for (int from = 0; from != senders; ++from) {
        threads.emplace_back([&app, from, first, last] {
            sender s(app, from);
            app.run([&] { return s.send(first, last); });
        });
    }
    for (std::thread& t : threads) t.join();
}

void check(const place& p, const account& a) {
    wrong.expect(a.adds_up(), "the account adds up");
    wrong.expect(a.handled == p.done, "handled: as the handler did");
    wrong.expect(a.failed + a.dropped + a.left == p.dead, "each other one is a dead letter");
    wrong.expect(!p.lossless || a.dropped == 0, "nothing was dropped");
    wrong.expect(&p == &guests || a.left == 0, "nothing was left");
    refused.count += static_cast<long>(a.refused);
    if (p.subscribes) return;
    wrong.expect(a.accepted == p.accepted, "accepted: as the senders heard");
    wrong.expect(a.refused == p.refused, "refused: as the senders heard");
}
void check_all(bus& app) {
    const auto drained = app.drain(1min);
    wrong.expect(drained.has_value() && drained->in_time, "it drains in time");
    for (const place& p : places) check(p, app.counts(p.name));
    account all;
    for (const auto& line : drained->subscribers) all += line.messages;
    wrong.expect(all.accepted == sender::accepted, "accepted: as the publishers heard");
    wrong.expect(all.refused == sender::refused, "refused: as the publishers heard");
}

template <typename Mode>
subscription hears(bus& app, place& p, const Mode& mode) {
    return app.subscribe<job>(topics("t.*").named(p.name), mode, handler_of(p));
}

}  // namespace

int main(int argc, char** argv) {
    using clock = std::chrono::steady_clock;
    const long messages = (argc > 1 ? std::atol(argv[1]) : 300'000) / senders;
    const auto end = argc > 2 ? clock::now() + std::chrono::seconds(std::atol(argv[2]))
                              : clock::time_point::max();
    testing::watchdog dog("soak");
    {
        bus_options options;
        options.threads = 2;
        bus app(options);
        app.dead_letters().on_letter(note);
        const redelivery how{.attempts = 3, .in_place = 1, .delay = 20us, .max_delay = 100us};
        const auto make = [&](std::size_t i, const auto& mode, auto handler) {
            app.handle<job>(places[i].name, mode, std::move(handler));
        };
        using enum when_full;
        make(0, serial.capacity(16), handler_of(places[0]));
        make(1, serial.full(drop_oldest), handler_of(places[1]));
        make(2, parallel(2).full(drop_newest).capacity(16), handler_of(places[2]));
        make(3, keyed(&job::key).full(drop_oldest).capacity(64), handler_of(places[3]));
        make(4, serial.full(wait).capacity(32).at_least_once(how), handler_of(places[4]));
        make(5, parallel(3).full(wait).capacity(8).at_least_once(how), handler_of(places[5]));
        make(6, keyed(&job::key).full(wait).at_least_once(how), handler_of(places[6]));
        // for longer than any may stand still, and full early
        const auto remembered = static_cast<std::size_t>(std::clamp(messages / 6, 1000L, 65536L));
        make(7, parallel(3).full(wait).at_least_once(how),
             deduped_handler_of(places[7], remembered));
        const auto a = hears(app, places[8], serial.capacity(64));
        const auto b = hears(app, places[9], keyed(&job::key).capacity(64).full(drop_oldest));
        const auto c = hears(app, places[10], serial.at_least_once(how));

        const long parts = 20 + messages / 100'000;  // of seconds each
        std::vector<std::size_t> in_use;  // bytes, after each
        in_use.reserve(static_cast<std::size_t>(parts));
        for (long part = 0; part != parts && clock::now() < end; ++part) {
            send_all_at_once(app, 1 + messages * part / parts, 1 + messages * (part + 1) / parts);
            in_use.push_back(testing::memory_in_use());
            dog.pat("soak");
        }
        check_all(app);
        const auto half = in_use.begin() + static_cast<std::ptrdiff_t>(in_use.size() / 2);
        const std::size_t early = *std::max_element(in_use.begin(), half),
                          late = *std::max_element(half, in_use.end());
        std::printf("%8zu KB of memory at most in the first half, %zu in the second\n",
                    early / 1024, late / 1024);
        wrong.expect(late < early + early / 10 + testing::memory_noise, "memory is flat");
    }
    wrong.expect(detail::live_frames == 0, "no frame is left");
    return testing::summary(wrong, handled, again, exhausted, rejected, failed_once, dropped,
                            refused, known, requeued, reserved, published_to_all, subscribed,
                            unsubscribed, in_handler, finished, left);
}
