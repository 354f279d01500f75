// Places in a queue, reserved by several at once: used, released, given up as their deadline or a
// stop comes, or overtaken by a drain. What is sent into one is accepted, no two have the same, and
// in the end none is lost.
// permit_race [rounds]
#include <posthaste/posthaste.hpp>

#include "../support/race.hpp"
#include "watchdog.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

constexpr int senders = 3, each = 60;
constexpr std::size_t room = 2;

posthaste::testing::mistakes wrong;
outcome sent("sent into a place"), released("given back"), late("not had in time"),
    stopped("stopped while it waited"), shut("closed before it was had, or used"),
    plain("sent beside them, waiting for room"), looked("looked at meanwhile");

struct job {
    int n;
};

struct one_bus {
    std::unique_ptr<bus> app;
    std::atomic<long> accepted = 0, done = 0, places = 0;
    std::atomic<bool> over = false;

    one_bus() {
        bus_options options;
        options.threads = 2;
        app = std::make_unique<bus>(options);
        app->handle<job>("log", serial.capacity(room).full(when_full::wait),
                         [this](const job& j) -> task<> {
                             if (j.n % 16 == 0) co_await sleep_for(20us);
                             done.fetch_add(1, std::memory_order_relaxed);
                         });
    }
    void has_gone(const failure& why) {
        if (why.code() == code::deadline_exceeded) late.seen();
        else if (why.code() == code::cancelled) stopped.seen();
        else if (why.code() == code::closed) shut.seen();
        else wrong.expect(false, "refused otherwise");
    }
    task<> reserve_all(int from) {
        const auto log = app->client<job>("log", deadline(from == 0 ? duration(30us) : 1min));
        for (int n = 0; n != each; ++n) {
            const unsigned chance =
                testing::scatter(static_cast<unsigned>(n), static_cast<unsigned>(from));
            if (chance % 4 == 0) {
                const auto ok = co_await log.send_when_room(n);
                if (!ok) has_gone(ok.error());
                else accepted.fetch_add(1, std::memory_order_relaxed), plain.seen();
                continue;
            }
            auto place = co_await log.reserve();
            if (!place) {
                has_gone(place.error());
                continue;
            }
            const long held = places.fetch_add(1, std::memory_order_relaxed);
            wrong.expect(held < static_cast<long>(room), "more places than there is room");
            if (chance % 8 < 4) co_await yield();
            places.fetch_sub(1, std::memory_order_relaxed);
            if (chance % 16 < 3) {
                place->release();
                released.seen();
            } else if (const auto ok = place->send(n); ok) {
                accepted.fetch_add(1, std::memory_order_relaxed);
                sent.seen();
            } else {
                has_gone(ok.error());
            }
        }
    }
    task<> ends_some(int from) {
        scope s(co_await this_context);
        for (int i = 0; i != 2; ++i) s.spawn(&one_bus::reserve_all, this, from);
        if (from == 1) {
            static_cast<void>(co_await sleep_for(200us));
            co_await s.cancel();
        } else {
            co_await s.join();
        }
    }
    task<bool> all_free() {
        const auto log = app->client<job>("log", deadline(1min));
        std::vector<permit<job>> all;
        for (std::size_t i = 0; i != room; ++i) {
            auto place = co_await log.reserve();
            if (!place) co_return false;
            all.push_back(*std::move(place));
        }
        co_return true;
    }
    void look() const {
        while (!over.load(std::memory_order_relaxed)) {
            const account a = app->counts("log");
            wrong.expect(a.left <= room + 1, "more is left than there is room for");
            wrong.expect(a.accepted <= senders * 2 * each, "more is accepted than was sent");
            looked.seen();
        }
    }
    void go(int round) {
        std::thread looks([this] { look(); });
        std::vector<std::thread> threads;
        for (int from = 0; from != senders; ++from)
            threads.emplace_back([this, from] { app->run([&] { return ends_some(from); }); });
        if (round % 2 == 0) {
            for (auto& t : threads) t.join();
            threads.clear();
            wrong.expect(app->run([&] { return all_free(); }), "a place is lost");
        }
        const auto drained = app->drain(1min);
        for (auto& t : threads) t.join();
        over = true;
        looks.join();
        const account a = app->counts("log");
        wrong.expect(drained->in_time && a.adds_up(), "the account adds up");
        wrong.expect(static_cast<long>(a.accepted) == accepted, "accepted: as the senders heard");
        wrong.expect(a.handled + a.dropped + a.left == a.accepted, "each has one end");
        wrong.expect(static_cast<long>(a.handled) == done, "handled: as the handler did");
    }
};

}  // namespace

int main(int argc, char** argv) {
    testing::watchdog dog("a bus");
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 200;
    for (int round = 0; round != rounds; ++round) {
        one_bus().go(round);
        dog.pat("a bus");
    }
    wrong.expect(detail::live_frames == 0, "no frame is left");
    return testing::summary(wrong, sent, released, late, stopped, shut, plain, looked);
}
