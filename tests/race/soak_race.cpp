// Contract 3, 4 and 8 for long: endpoints of all modes and policies, with and without redelivery,
// whose handlers fail and are slow at random. Each message accepted has one end, none is handled
// twice, the order per sender and per key holds, and memory stays as it was.
// soak_race [messages]
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
#include <string>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

constexpr int senders = 3, keys = 64;
constexpr std::size_t window = 1 << 16;

posthaste::testing::mistakes wrong;
outcome handled("handled"), again("handled after a failure"), exhausted("given up after the last"),
    rejected("rejected"), failed_once("failed, delivered once"), dropped("dropped"),
    refused("refused");

struct job {
    int from;
    int key;
    long n;
};

/// One endpoint, and what it saw.
struct place {
    const std::string name;
    const bool serial_order, key_order, lossless;
    std::array<std::array<long, senders>, keys> last{};  // of the lane that has the key
    std::vector<std::atomic<long>> seen = std::vector<std::atomic<long>>(senders * window);
    std::atomic<std::uint64_t> accepted = 0, refused = 0, done = 0, dead = 0;

    void comes(const job& j) noexcept {
        if (!serial_order && !key_order) return;
        long& before =
            last[key_order ? static_cast<std::size_t>(j.key) : 0][static_cast<std::size_t>(j.from)];
        wrong.expect(before <= j.n, "the order is kept");
        before = j.n;
    }
    void is_done(const job& j) noexcept {
        const std::size_t at = static_cast<std::size_t>(j.n) % window;
        std::atomic<long>& s = seen[static_cast<std::size_t>(j.from) * window + at];
        wrong.expect(s.exchange(j.n, std::memory_order_relaxed) != j.n, "nothing is handled twice");
        done.fetch_add(1, std::memory_order_relaxed);
    }
};

std::array<place, 7> places{{{"serial.reject", true, false, false},
                             {"serial.drop_oldest", true, false, false},
                             {"parallel.drop_newest", false, false, false},
                             {"keyed.drop_oldest", false, true, false},
                             {"serial.again", true, false, true},
                             {"parallel.again", false, false, true},
                             {"keyed.again", false, true, true}}};

template <typename Mode>
void make(bus& app, place& p, const Mode& mode) {
    app.handle<job>(p.name, mode, [&p](const job& j, context& ctx) -> task<result<void>> {
        p.comes(j);
        const auto chance =
            testing::scatter(static_cast<unsigned>(j.n * senders + j.from), ctx.attempt());
        if (chance % 64 == 1) co_await yield();
        if (chance % 4096 == 2) co_await sleep_for(50us);
        if (chance % 20 == 3) co_return failure(code::handler_failed);
        if (chance % 1000 == 4) co_return delivery::reject("never");
        p.is_done(j);
        handled.seen();
        if (ctx.attempt() > 1) again.seen();
        co_return {};
    });
}
void note(const dead_letter& l) noexcept {
    for (place& p : places) {
        if (p.name != l.endpoint()) continue;
        p.dead.fetch_add(1, std::memory_order_relaxed);
        if (l.reason().code() == code::overloaded) dropped.seen();
        else if (l.reason().code() == code::rejected) rejected.seen();
        else if (!p.lossless) failed_once.seen();
        else {
            exhausted.seen();
            wrong.expect(l.attempts() == 3, "all attempts were made");
        }
    }
}

task<> send_all(bus& app, int from, long first, long last) {
    std::vector<client<job>> to;
    for (const place& p : places) to.push_back(app.client<job>(p.name, deadline(forever)));
    for (long n = first; n != last; ++n) {
        const auto chance = testing::scatter(static_cast<unsigned>(n), static_cast<unsigned>(from));
        const std::size_t which = chance % places.size();
        place& p = places[which];
        const int key = static_cast<int>(chance / 16 % keys);
        result<void> ok;
        if (p.lossless) ok = co_await to[which].send_when_room(from, key, n);
        else ok = to[which].send(from, key, n);
        (ok ? p.accepted : p.refused).fetch_add(1, std::memory_order_relaxed);
        wrong.expect(ok || !p.lossless, "whoever waits for room gets it");
        if (n % 64 == 0) co_await yield();
    }
}
void send_all_at_once(bus& app, long first, long last) {
    std::vector<std::thread> threads;
    for (int from = 0; from != senders; ++from) {
        threads.emplace_back([&app, from, first, last] {
            app.run([&] { return send_all(app, from, first, last); });
        });
    }
    for (std::thread& t : threads) t.join();
}

void check(const place& p, const account& a) {
    wrong.expect(a.adds_up(), "the account adds up");
    wrong.expect(a.accepted == p.accepted, "accepted: as the senders heard");
    wrong.expect(a.refused == p.refused, "refused: as the senders heard");
    wrong.expect(a.handled == p.done, "handled: as the handler did");
    wrong.expect(a.failed + a.dropped + a.left == p.dead, "each other one is a dead letter");
    wrong.expect(!p.lossless || a.dropped + a.left == 0, "nothing was dropped or left");
    for (std::uint64_t i = 0; i != p.refused; ++i) refused.seen();
}

}  // namespace

int main(int argc, char** argv) {
    const long messages = (argc > 1 ? std::atol(argv[1]) : 200000) / senders;
    testing::watchdog dog("soak");
    {
        bus_options options;
        options.threads = 2;
        bus app(options);
        app.dead_letters().on_letter(note);
        const redelivery how{.attempts = 3, .in_place = 1, .delay = 20us, .max_delay = 100us};
        make(app, places[0], serial.capacity(16));
        make(app, places[1], serial.full(when_full::drop_oldest));
        make(app, places[2], parallel(2).full(when_full::drop_newest).capacity(16));
        make(app, places[3], keyed(&job::key).full(when_full::drop_oldest).capacity(64));
        make(app, places[4], serial.full(when_full::wait).at_least_once(how));
        make(app, places[5], parallel(2).full(when_full::wait).at_least_once(how));
        make(app, places[6], keyed(&job::key).full(when_full::wait).at_least_once(how));

        constexpr long parts = 20;
        std::size_t most_early = 0, most_late = 0;  // bytes, in the first half and in the second
        for (long part = 0; part != parts; ++part) {
            send_all_at_once(app, 1 + messages * part / parts, 1 + messages * (part + 1) / parts);
            std::size_t& most = part < parts / 2 ? most_early : most_late;
            most = std::max(most, testing::memory_in_use());
            dog.pat("soak");
        }
        const auto drained = app.drain(1min);
        wrong.expect(drained.has_value() && drained->in_time, "it drains in time");
        for (const place& p : places) check(p, app.counts(p.name));
        std::printf("%8zu KB of memory at most in the first half, %zu in the second\n",
                    most_early / 1024, most_late / 1024);
        wrong.expect(most_late < most_early + most_early / 10 + testing::memory_noise,
                     "memory is flat");
    }
    wrong.expect(detail::live_frames == 0, "no frame is left");
    return testing::summary(wrong, handled, again, exhausted, rejected, failed_once, dropped,
                            refused);
}
