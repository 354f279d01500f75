// Two threads requeue the same dead letters, a third looks at them and clears them, while handlers
// fail, subscribers go, and the bus is drained in the middle. Each message accepted or requeued was
// handled or is a letter; a letter is requeued once.
// dead_letters_race [buses]
#include <posthaste/posthaste.hpp>

#include "../support/race.hpp"
#include "watchdog.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

constexpr int messages = 300;

posthaste::testing::mistakes wrong;
outcome handled("handled"), again("handled after a requeue"), requeued("requeued"),
    gone("not requeued: its endpoint has gone"), closed("not requeued: closed"),
    looked("looked at"), cleared("cleared");

struct job {
    int n;
};

struct one_bus {
    bus app{[] {
        bus_options o;
        o.threads = 2;
        o.dead_letters = 64;
        return o;
    }()};
    std::atomic<long> accepted = 0, done = 0, dead = 0;
    std::array<std::atomic<int>, messages> times{};  // that one was handled
    std::array<std::atomic<int>, messages> attempts{};
    std::atomic<bool> over = false;

    one_bus() {
        app.dead_letters().on_letter([this](const dead_letter& l) {
            dead.fetch_add(1, std::memory_order_relaxed);
            wrong.expect(l.get<job>() || l.get<const job>(), "a letter is whole");
        });
        app.handle<job>("once", parallel(2).capacity(8), [this](const job& j) { return take(j); });
        app.handle<job>("again", parallel(2).capacity(8).at_least_once({.attempts = 1}),
                        [this](const job& j) { return take(j); });
    }
    result<void> take(const job& j) {
        const auto n = static_cast<std::size_t>(j.n);
        const int before = attempts[n].fetch_add(1, std::memory_order_relaxed);
        if (testing::scatter(static_cast<unsigned>(j.n), static_cast<unsigned>(before)) % 2 == 0)
            return failure(code::handler_failed);
        wrong.expect(times[n].fetch_add(1, std::memory_order_relaxed) == 0, "handled twice");
        done.fetch_add(1, std::memory_order_relaxed);
        handled.seen();
        if (before != 0) again.seen();
        return {};
    }
    void send_all() {
        const auto once = app.client<job>("once"), twice = app.client<job>("again");
        for (int n = 0; n != messages; ++n) {
            if (n % 3 == 2) {
                const auto s = app.try_subscribe<job>("t", serial.capacity(4),
                                                      [this](const job& j) { return take(j); });
                if (!s) return;  // it drains
                accepted.fetch_add(app.publish<job>("t", n).accepted, std::memory_order_relaxed);
                testing::stumble(testing::scatter(static_cast<unsigned>(n), 3));
            } else {
                const bool ok = (n % 3 == 0 ? once : twice).send(n).has_value();
                accepted.fetch_add(ok, std::memory_order_relaxed);
                testing::stumble(testing::scatter(static_cast<unsigned>(n), 4));
            }
        }
    }
    void requeue_all() {
        while (!over.load(std::memory_order_relaxed)) {
            std::vector<std::uint64_t> numbers;
            app.dead_letters().for_each(
                [&](const dead_letter& l) { numbers.push_back(l.number()); });
            for (const std::uint64_t number : numbers) note(app.dead_letters().requeue(number));
            std::this_thread::yield();
        }
    }
    void note(const result<void>& ok) {
        if (ok) return accepted.fetch_add(1, std::memory_order_relaxed), requeued.seen();
        switch (ok.error().code()) {
            case code::no_handler: return gone.seen();
            case code::closed: return closed.seen();
            case code::overloaded:
            case code::rejected: return;  // the queue is full; it is no longer kept
            default: wrong.expect(false, "refused otherwise");
        }
    }
    void look() {
        for (unsigned round = 0; !over.load(std::memory_order_relaxed); ++round) {
            app.dead_letters().for_each([](const dead_letter& l) {
                const job* const j = l.get<job>() ? l.get<job>() : l.get<const job>();
                if (!j) return;  // it has just been requeued
                wrong.expect(j->n >= 0 && j->n < messages, "another message");
                looked.seen();
            });
            if (round % 16 == 15) app.dead_letters().clear(), cleared.seen();
            std::this_thread::yield();
        }
    }
    void go(int round) {
        std::thread sender([this] { send_all(); });
        std::thread one([this] { requeue_all(); }), two([this] { requeue_all(); });
        std::thread looker([this] { look(); });
        if (round % 2 == 0) sender.join();
        const auto drained = app.drain(1min);
        if (sender.joinable()) sender.join();
        over.store(true, std::memory_order_relaxed);
        one.join(), two.join(), looker.join();
        wrong.expect(drained->total.adds_up(), "the account adds up");
        wrong.expect(done + dead == accepted, "each was handled, or is a letter");
        wrong.expect(app.dead_letters().size() <= 64, "they are bounded");
    }
};

}  // namespace

int main(int argc, char** argv) {
    testing::watchdog dog("a bus");
    const int buses = argc > 1 ? std::atoi(argv[1]) : 60;
    for (int round = 0; round != buses; ++round) {
        one_bus().go(round);
        dog.pat("a bus");
    }
    wrong.expect(detail::live_frames == 0, "no frame is left");
    return testing::summary(wrong, handled, again, requeued, gone, closed, looked, cleared);
}
