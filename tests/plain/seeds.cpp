// Contract 3, 4, 5 and 10 in virtual time: each seed is a program of its own, with endpoints of all
// modes and policies, subscribers that come and go, calls through faults, handlers that are slow,
// fail, or are down for a while, redelivery, dedup, requeued letters, and a drain in the middle.
// Each message accepted has one end, told message by message; none is handled twice; the order
// holds; all come to an end; and the same seed gives the same run.
// seeds [how many] [the first]
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/faults.hpp>
#include <posthaste/prove/simulation.hpp>

#include "../support/race.hpp"
#include "../support/started.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

outcome handled("handled"), again("handled after a failure"), exhausted("given up after the last"),
    rejected("rejected"), dropped("dropped"), refused("refused"), late("waited too long for room"),
    known("known to have been handled"), requeued("requeued"), not_requeued("not requeued"),
    reserved("sent into a place reserved"), cancelled("sent for later, and cancelled"),
    left("left by a drain, or one that unsubscribed"), in_handler("unsubscribed in its handler"),
    finished("finished"), heard("published and heard"), answered("calls answered"),
    repeated("calls answered by what an earlier attempt did"), disturbed("calls that failed"),
    too_late("calls that failed, and were done"), cut_short("drains cut short"),
    in_time("drains in time");

constexpr int senders = 3, each = 40, keys = 5, all = senders * (each + 1), charges = 16;

struct job {
    int from;
    int key;
    int n;  // from 1
    int number() const noexcept { return n * senders + from - senders; }
};
struct charge {
    using reply = int;
    static constexpr bool idempotent = true;
    int number;
};

/// What became of one message.
struct fate {
    int accepted = 0, requeued = 0, handled = 0, dead = 0, effects = 0;
};
enum class order { none, per_sender, per_key };

struct place {
    const char* name;
    order kept;
    bool again, requeues, twice, subscribes;
    std::array<std::array<int, senders>, keys> last{};
    std::array<fate, all> fates{};
    unsigned fails = 0, slow = 1;  // so many of 16, and one of so many
    time_point down_from{}, down_until{};  // all of them
    int accepted = 0, done = 0, dead = 0;
};
constexpr std::size_t deduped = 7, singles = 8, guests = 11;
const std::array<place, 12> new_places{
    {{"serial.reject", order::per_sender, false, false, false, false},
     {"serial.drop_oldest", order::per_sender, false, false, false, false},
     {"parallel.drop_newest", order::none, false, true, false, false},
     {"keyed.drop_oldest", order::per_key, false, false, false, false},
     {"serial.again", order::per_sender, true, false, false, false},
     {"parallel.again", order::none, true, true, false, false},
     {"keyed.again", order::per_key, true, false, false, false},
     {"parallel.dedup", order::none, true, true, true, false},
     {"serial.hears", order::per_sender, false, false, false, true},
     {"keyed.hears", order::per_key, false, false, false, true},
     {"hears.again", order::per_sender, true, false, false, true},
     {"guests", order::none, false, false, false, true}}};

/// All that the seed decides.
class run {
public:
    explicit run(std::uint64_t seed)
        : seed_(seed),
          random_(seed * 0x9e3779b97f4a7c15),
          world_(seed),
          weather_(seed),
          app_(std::make_unique<bus>(world_, options())) {
        app_->dead_letters().on_letter([this](const dead_letter& l) { note(l); });
        for (place& p : places_) {
            p.fails = below(3) * below(3);
            p.slow = 1 + below(12);
            if (below(4) == 0) {
                p.down_from = time_point(std::chrono::milliseconds(below(60)));
                p.down_until = p.down_from + std::chrono::milliseconds(below(60));
            }
        }
        make_endpoints();
        weather_.plan(world_.now(), {{10ms, weather()}, {40ms, weather()}, {80ms, weather()}});
    }

    /// What must be the same the next time.
    struct outline {
        std::uint64_t trace, steps, events;
        duration elapsed;
        bool right;
        bool operator==(const outline&) const = default;
    };
    outline go() {
        for (int from = 0; from != senders; ++from) start(send_all(from));
        for (int n = 0; n != 4; ++n) start(call_all(n * charges / 4, charges / 4));
        start(change_guests());
        start(requeue());
        world_.advance(std::chrono::milliseconds(below(120)));
        if (below(4) == 0) stop_.request_stop();
        world_.advance(std::chrono::milliseconds(below(60)));
        draining_ = true;
        const auto drained =
            app_->drain(below(2) == 0 ? duration(1h) : std::chrono::milliseconds(below(30)));
        (drained->in_time ? in_time : cut_short).seen();
        expect(drained->total.adds_up(), "the account adds up");
        world_.advance(1h);
        for (auto& t : tasks_) expect(t.ended(), "nobody waits for ever");
        for (std::size_t i = 0; i != places_.size(); ++i) check(places_[i]);
        check_charges();
        check_published();
        guests_ = {};
        steady_ = {};
        app_.reset();
        return {world_.trace(), world_.steps(), events_, world_.elapsed(), right_};
    }

private:
    static bus_options options() {
        bus_options o;
        o.grace = 1ms;
        o.dead_letters = 32;
        return o;
    }
    void expect(bool right, const char* what) {
        if (right) return;
        if (std::exchange(right_, false))
            std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed_), what);
    }
    unsigned below(unsigned n) {
        random_ += 0x9e3779b97f4a7c15;
        return static_cast<unsigned>(detail::mix(random_) % n);
    }
    task<> nap(unsigned most) {
        static_cast<void>(co_await sleep_for(std::chrono::microseconds(below(most + 1))));
    }
    void event(std::size_t what, int number) noexcept {
        events_ = detail::mix(events_ ^ (what * 1000 + static_cast<std::size_t>(number)));
    }
    void start(task<> t) { tasks_.emplace_back(world_, std::move(t), stop_.token()); }
    fault_mix weather() {
        switch (below(5)) {
            case 0: return faults::healthy();
            case 1: return faults::slow(1ms, 12ms);
            case 2: return faults::failing(0.5);
            case 3: return faults::dead();
            default: return fault_mix().delay(0.3, 0ms, 9ms).fail(0.2).drop(0.2);
        }
    }

    // --- those who listen ---

    struct visitor {
        subscription it;
    };
    auto handler_of(std::size_t i) {
        return [this, i](const job& j, context& ctx) -> task<result<void>> {
            comes(places_[i], j, ctx.attempt());
            auto ok = co_await handle(i, j, ctx);
            if (ok) is_done(i, j);
            co_return ok;
        };
    }
    // `itself`: ends with the first.
    auto guest_handler(std::weak_ptr<visitor> itself) {
        return [this, itself, last = std::array<int, senders>{}](const job& j) mutable {
            int& before = last[static_cast<std::size_t>(j.from)];
            expect(before < j.n, "the order is kept");
            before = j.n;
            event(guests, j.number());
            is_done(guests, j);
            const auto me = itself.lock();
            if (me && me->it.unsubscribe()) in_handler.seen();
        };
    }
    void make_endpoints() {
        using enum when_full;
        const redelivery how{.attempts = 3, .in_place = below(3), .delay = 1ms, .max_delay = 4ms};
        const auto room = [this] { return std::size_t{1} + below(8); };
        const auto make = [&](std::size_t i, const auto& mode) {
            app_->handle<job>(places_[i].name, mode, handler_of(i));
        };
        make(0, serial.capacity(room()));
        make(1, serial.capacity(room()).full(drop_oldest));
        make(2, parallel(2).capacity(room()).full(drop_newest));
        make(3, keyed(&job::key).capacity(room()).full(drop_oldest));
        make(4, serial.capacity(room()).full(wait).at_least_once(how));
        make(5, parallel(2).capacity(room()).full(wait).at_least_once(how));
        make(6, keyed(&job::key).capacity(room()).full(wait).at_least_once(how));
        make_deduped(parallel(3).capacity(room()).full(wait).at_least_once(how));
        steady_[0] = hear(8, serial.capacity(room()));
        steady_[1] = hear(9, keyed(&job::key).capacity(room()).full(drop_oldest));
        steady_[2] = hear(10, serial.at_least_once(how));
        make_bank();
    }
    template <typename Mode>
    void make_deduped(const Mode& mode) {
        const auto inner = [this](const job& j, context& ctx) { return handle(deduped, j, ctx); };
        app_->handle<job>(places_[deduped].name, mode,
                          [this, once = dedup(1h, &job::number)(inner)](
                              const job& j, outbox& out) mutable -> task<result<void>> {
                              const bool was_known = fate_of(deduped, j).effects != 0;
                              auto ok = co_await once(j, out);
                              if (ok) is_done(deduped, j);
                              if (was_known) known.seen();
                              expect(ok || !was_known, "what has been handled does not fail");
                              co_return ok;
                          });
    }
    template <typename Mode>
    subscription hear(std::size_t i, const Mode& mode) {
        return app_->subscribe<job>(topics("t.*").named(places_[i].name), mode, handler_of(i));
    }
    task<result<void>> handle(std::size_t i, const job& j, context& ctx) {
        event(i, j.number());
        const place& p = places_[i];
        if (below(8) == 0) co_await yield();
        if (below(p.slow) == 0) co_await nap(6000);
        const time_point now = world_.now();
        if (below(16) < p.fails || (now >= p.down_from && now < p.down_until))
            co_return failure(code::handler_failed);
        if (below(40) == 0) co_return delivery::retry(std::chrono::milliseconds(below(10)));
        if (below(40) == 0) co_return delivery::reject("never");
        fate& f = fate_of(i, j);
        expect(++f.effects == 1 || p.subscribes, "nothing is handled twice");
        if (ctx.attempt() > 1) again.seen();
        co_return {};
    }
    void comes(place& p, const job& j, unsigned attempt) {
        if (p.kept == order::none) return;
        int& before = p.last[p.kept == order::per_key ? static_cast<std::size_t>(j.key) : 0]
                            [static_cast<std::size_t>(j.from)];
        expect(attempt == 1 ? before < j.n : before == j.n, "the order is kept");
        before = j.n;
    }
    // What subscribers heard is told together: which of them did is not known to the publisher.
    fate& fate_of(std::size_t i, const job& j) {
        place& p = places_[places_[i].subscribes ? guests : i];
        return p.fates[static_cast<std::size_t>(j.number())];
    }
    void is_done(std::size_t i, const job& j) {
        ++fate_of(i, j).handled, ++places_[i].done;
        handled.seen();
    }
    void make_bank() {
        const auto inner = [this](const charge& c) { return take_charge(c.number); };
        app_->handle<charge>("bank", parallel(4).capacity(4),
                             [this, once = dedup(1h)(inner)](
                                 const charge& c, outbox& out) mutable -> task<result<int>> {
                                 const int n = c.number;
                                 const bool was_known = charged_[static_cast<std::size_t>(n)] != 0;
                                 auto r = co_await once(c, out);
                                 if (r && was_known) repeated.seen();
                                 expect(r || !was_known, "what has been done does not fail");
                                 charges_handled_ += r.has_value();
                                 co_return r;
                             });
    }
    task<result<int>> take_charge(int number) {
        event(99, number);
        int& taken = charged_[static_cast<std::size_t>(number)];
        if (below(2) == 0) co_await nap(9000);
        if (below(8) == 0) co_return failure(code::handler_failed);
        expect(++taken == 1, "nothing is charged twice");
        if (below(4) == 0) co_await nap(9000);
        co_return number;
    }

    void note(const dead_letter& l) {
        for (std::size_t i = 0; i != places_.size(); ++i) {
            place& p = places_[i];
            if (l.endpoint() != p.name) continue;
            const job* const j = l.get<job>() ? l.get<job>() : l.get<const job>();
            expect(j != nullptr, "a dead letter is whole");
            if (!j) return;
            event(20 + i, j->number());
            ++fate_of(i, *j).dead, ++p.dead;
            const code why = l.reason().code();
            if (why == code::overloaded) dropped.seen();
            else if (why == code::closed) left.seen();
            else if (why == code::rejected) rejected.seen();
            else if (p.again && !draining_) {
                exhausted.seen();
                expect(l.attempts() == 3, "all attempts were made");
            }
            return;
        }
    }

    // --- those who send, and come and go ---

    task<> send_all(int from) {
        std::vector<client<job>> to;
        for (std::size_t i = 0; i != singles; ++i)
            to.push_back(app_->client<job>(places_[i].name,
                                           deadline(std::chrono::milliseconds(1 + below(30)))));
        const auto topic = app_->publisher<job>("t." + std::to_string(from));
        for (int n = 1; n <= each; ++n) {
            const job j{from, static_cast<int>(below(keys)), n};
            const std::size_t which = below(12);
            if (which >= singles) publish(topic, j);
            else co_await send_one(to[which], which, j);
            if (below(4) == 0) co_await nap(4000);
        }
    }
    task<> send_one(const client<job>& to, std::size_t which, job j) {
        const place& p = places_[which];
        for (unsigned times = p.twice ? 1 + below(2) : 1; times != 0; --times) {
            const unsigned how = p.again ? below(8) : 8;
            if (how == 0) {
                co_await send_into_place(to, which, j);
            } else if (how == 1 && p.kept == order::none) {
                auto later = to.send_after(std::chrono::milliseconds(below(30)), j);
                if (!later) continue;
                if (below(4) == 0 && later.cancel()) cancelled.seen();
                else ++fate_of(which, j).accepted;
            } else if (how < 8) {
                hears(which, j, co_await to.send_when_room(j));
            } else {
                hears(which, j, to.send(j));
            }
        }
    }
    task<> send_into_place(const client<job>& to, std::size_t which, job j) {
        auto room = co_await to.reserve();
        if (!room || below(8) == 0) co_return;
        if (places_[which].kept == order::none) co_await nap(2000);
        const auto ok = room->send(j);
        hears(which, j, ok);
        if (ok) reserved.seen();
    }
    void hears(std::size_t which, const job& j, const result<void>& ok) {
        if (ok) ++fate_of(which, j).accepted, ++places_[which].accepted;
        else if (ok.error().code() == code::deadline_exceeded) late.seen();
        else refused.seen();
    }
    void publish(const publisher<job>& to, const job& j) {
        const auto p = below(4) == 0 ? app_->publish<job>(to.topic(), j) : to.publish(j);
        const int n = static_cast<int>(p.accepted);
        fate_of(guests, j).accepted += n;
        published_ += n;
        if (n != 0) heard.seen();
    }
    task<> call_all(int first, int count) {
        const auto bank = app_->client<charge>(
            "bank", deadline(60ms) | retry({.attempts = 5}) | attempt_timeout(6ms) | weather_);
        for (int n = first; n != first + count; ++n) {
            const auto r = co_await bank.call(n);
            const int taken = charged_[static_cast<std::size_t>(n)];
            if (r) {
                answered.seen();
                expect(*r == n && taken == 1, "what is answered has been done");
            } else {
                disturbed.seen();
                if (taken != 0) too_late.seen();
                expect(taken == 0 || r.error().effect() != effect::none, "nothing done: not so");
            }
            co_await nap(8000);
        }
    }
    task<> change_guests() {
        const char* const patterns[] = {"t.*", "t.0", ">", "t.1"};
        for (int round = 0; round != 12; ++round) {
            co_await nap(12000);
            auto& g = guests_[below(2)];
            const unsigned how = below(3);
            if (g && how == 0) co_await finish(*g);
            else if (g && how == 1) static_cast<void>(g->it.unsubscribe());
            g = std::make_shared<visitor>();
            const auto which = topics(patterns[below(4)]).named(places_[guests].name);
            const auto full = below(2) == 0 ? when_full::reject : when_full::drop_oldest;
            const auto mode = serial.capacity(1 + below(4)).full(full);
            auto made =
                app_->try_subscribe<job>(which, mode, guest_handler(below(3) == 0 ? g : nullptr));
            if (!made) co_return;  // it drains
            g->it = *std::move(made);
        }
    }
    task<> finish(visitor& g) {
        const auto a = co_await g.it.finish();
        if (!a) co_return;  // it had ended, or whoever waits was stopped
        expect(a->adds_up() && (a->left == 0 || draining_), "it handles what is queued");
        finished.seen();
    }
    task<> requeue() {
        for (int round = 0; round != 8; ++round) {
            co_await nap(20000);
            app_->dead_letters().for_each([this](const dead_letter& l) {
                for (std::size_t i = 0; i != places_.size(); ++i) {
                    place& p = places_[i];
                    if (!p.requeues || l.endpoint() != p.name || below(2) == 0) continue;
                    const job j = *l.get<job>();
                    const bool ok = app_->dead_letters().requeue(l).has_value();
                    (ok ? requeued : not_requeued).seen();
                    if (ok) ++fate_of(i, j).requeued, ++p.accepted;
                }
            });
        }
    }

    // --- in the end ---

    void check(const place& p) {
        const account a = app_->counts(p.name);
        expect(a.adds_up(), "the account adds up");
        expect(static_cast<int>(a.handled) == p.done, "handled: as the handler did");
        const bool later = p.again && p.kept == order::none;  // dead letters that were never due
        const int dead = static_cast<int>(a.failed + a.dropped + a.left);
        expect(later ? dead <= p.dead : dead == p.dead, "each other one is a dead letter");
        expect(p.subscribes || later || static_cast<int>(a.accepted) == p.accepted,
               "accepted: as the senders heard");
        for (const fate& f : p.fates) {
            expect(f.accepted + f.requeued == f.handled + f.dead, "each message has one end");
            expect(p.subscribes || (f.handled == 0) == (f.effects == 0), "what is handled is done");
        }
    }
    void check_charges() {
        const account a = app_->counts("bank");
        expect(a.adds_up(), "the bank's account adds up");
        expect(static_cast<int>(a.handled) == charges_handled_, "handled: as the bank did");
    }
    void check_published() {
        int accepted = 0;
        for (const place& p : places_)
            if (p.subscribes) accepted += static_cast<int>(app_->counts(p.name).accepted);
        expect(accepted == published_, "accepted: as the publishers heard");
    }

    const std::uint64_t seed_;
    std::uint64_t random_, events_ = 0;
    simulation world_;
    faults weather_;
    std::array<place, 12> places_ = new_places;
    std::array<int, charges> charged_{};
    int published_ = 0, charges_handled_ = 0;
    bool draining_ = false, right_ = true;
    std::array<std::shared_ptr<visitor>, 2> guests_;
    std::array<subscription, 3> steady_;
    std::unique_ptr<bus> app_;
    stop_source stop_;
    std::deque<testing::started> tasks_;
};

}  // namespace

int main(int argc, char** argv) {
    const std::uint64_t seeds = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 500;
    const std::uint64_t first = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
    const bool tell = seeds < 10;
    testing::mistakes wrong;
    int seeds_wrong = 0;
    for (std::uint64_t seed = first; seed != first + seeds && seeds_wrong != 10; ++seed) {
        const run::outline once = run(seed).go();
        const run::outline twice = once.right ? run(seed).go() : once;
        if (tell) {
            std::printf("seed %llu: %llu steps, trace %016llx, events %016llx\n",
                        static_cast<unsigned long long>(seed),
                        static_cast<unsigned long long>(once.steps),
                        static_cast<unsigned long long>(once.trace),
                        static_cast<unsigned long long>(once.events));
        }
        if (once == twice && once.right) continue;
        ++seeds_wrong;
        wrong.expect(false, "a seed went wrong");
        if (once != twice)
            std::fprintf(stderr, "seed %llu: another run, another story\n",
                         static_cast<unsigned long long>(seed));
    }
    wrong.expect(detail::live_frames == 0, "no frame is left");
    if (tell) return wrong.any() ? 1 : 0;  // not enough to see all
    return testing::summary(wrong, handled, again, exhausted, rejected, dropped, refused, late,
                            known, requeued, not_requeued, reserved, cancelled, left, in_handler,
                            finished, heard, answered, repeated, disturbed, too_late, cut_short,
                            in_time);
}
