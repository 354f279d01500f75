// Three threads publish, while subscribers come and go, from other threads and inside handlers.
// What one publishes comes in its order; every message accepted has one end, as publishers and
// accounts tell; the latest one is never an older one; a publisher may be destroyed by who hears
// it; and in the end nothing is left.
#include <posthaste/posthaste.hpp>

#include "../support/race.hpp"

#include <array>
#include <atomic>
#include <chrono>
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

constexpr int publishers = 3;

struct note {
    int from;
    int n;
};

struct price {
    int n;
};

testing::mistakes wrong;
outcome heard("messages handled"), given_up("messages given up"),
    in_a_handler("ended in a handler"), finished("subscribers that finished"),
    latest("latest messages heard"), heard_and_gone("publishers that went when heard");
std::atomic<long> handlers = 0;  // that have not been destroyed

struct counted_handler {
    counted_handler() noexcept { handlers.fetch_add(1, std::memory_order_relaxed); }
    counted_handler(const counted_handler&) noexcept : counted_handler() {}
    ~counted_handler() { handlers.fetch_sub(1, std::memory_order_relaxed); }
};

// Each publisher's messages, in order; not from the first.
struct in_order : counted_handler {
    std::array<int, publishers> last{-1, -1, -1};
    void see(const note& m) {
        int& before = last[static_cast<std::size_t>(m.from)];
        wrong.expect(m.n > before, "out of order");
        before = m.n;
        heard.seen();
    }
};

struct listens : in_order {
    void operator()(const note& m) { see(m); }
};

// So that neither is through before the other has begun.
std::atomic<unsigned> published_so_far = 0, rounds_so_far = 0;
void keep_pace(unsigned mine, const std::atomic<unsigned>& others) {
    while (mine > others.load(std::memory_order_relaxed) + 50) std::this_thread::yield();
}

void come_and_go(bus& app, unsigned rounds, unsigned seed) {
    for (unsigned r = 0; r != rounds; ++r) {
        if (seed == 0) rounds_so_far.store(r, std::memory_order_relaxed);
        keep_pace(r, published_so_far);
        const unsigned dice = testing::scatter(r, seed);
        const auto which = topics(dice % 3 == 0   ? "t.*"
                                  : dice % 3 == 1 ? "t.0"
                                                  : ">")
                               .named("guest");
        const auto mode =
            serial.capacity(8).full(dice % 2 ? when_full::drop_oldest : when_full::reject);
        if (dice % 7 == 0) {  // ends itself
            const auto mine = std::make_shared<subscription>();
            const auto made = std::make_shared<std::mutex>();
            const std::lock_guard guard(*made);
            *mine = app.subscribe<note>(which, mode,
                                        [mine, made, l = listens()](const note& m) mutable {
                                            l.see(m);
                                            const std::lock_guard until_made(*made);
                                            if (mine->unsubscribe()) in_a_handler.seen();
                                        });
        } else if (dice % 7 == 1) {
            auto s = app.subscribe<note>(which, keyed(&note::from).capacity(8), listens());
            testing::stumble(dice);
            const auto a = sync_wait(app.home(), s.finish());
            wrong.expect(a && a->adds_up() && a->left == 0, "not finished");
            if (a) finished.seen();
        } else if (dice % 7 == 2) {
            std::atomic<long> last = -1;
            auto s = app.subscribe<price>(topics("kept").latest(), [&](const price& m) {
                wrong.expect(m.n > last, "the latest is older, or came twice");
                last = m.n;
                latest.seen();
            });
            testing::stumble(dice);
            static_cast<void>(sync_wait(app.home(), s.finish()));
            wrong.expect(last >= 0, "no latest");
        } else {
            auto s = app.subscribe<note>(which, mode, listens());
            testing::stumble(dice);
            if (dice % 2) wrong.expect(s.unsubscribe().has_value(), "not ended");
        }
    }
}

// Of three who hear it the first has it destroyed, while it still publishes or when it has.
void speak_once(bus& app, unsigned times) {
    struct parting {
        publisher<parting>* by;
    };
    std::atomic<unsigned> gone = 0;
    const auto first = app.subscribe<parting>("parting", [&](const parting& m) {
        delete m.by;
        gone.fetch_add(1, std::memory_order_release);
        heard_and_gone.seen();
    });
    const auto second = app.subscribe<parting>("parting", [](const parting&) {});
    const auto third = app.subscribe<parting>("parting", [](const parting&) {});
    for (unsigned n = 0; n != times; ++n) {
        auto* const by = new publisher<parting>(app.publisher<parting>("parting"));
        if (n % 4 == 0) static_cast<void>(app.subscribe<parting>("parting", [](const parting&) {}));
        wrong.expect(by->publish(by).accepted == 3, "one who parts is not heard");
        while (gone.load(std::memory_order_acquire) <= n) std::this_thread::yield();
    }
}

}  // namespace

int main(int argc, char** argv) {
    const int each = argc > 1 ? std::atoi(argv[1]) : 4'000;
    std::uint64_t accepted = 0, refused = 0, dead = 0;
    {
        bus_options options;
        options.threads = 2;
        bus app(options);
        in_order always;
        std::atomic<long> all_heard = 0;
        auto steady = app.subscribe<note>(topics("t.*").named("steady"), serial.capacity(unbounded),
                                          [&always, &all_heard](const note& m) {
                                              always.see(m);
                                              all_heard.fetch_add(1, std::memory_order_relaxed);
                                          });
        const auto kept = app.publisher<price>("kept", keep_latest);
        kept.publish(0);
        std::atomic<std::uint64_t> got = 0, not_got = 0;
        std::vector<std::thread> threads;
        for (int from = 0; from != publishers; ++from) {
            threads.emplace_back([&, from] {
                const auto to = app.publisher<note>("t." + std::to_string(from));
                const auto add = [&](const published& p) {
                    wrong.expect(static_cast<bool>(p), "not published");
                    got += p.accepted, not_got += p.refused;
                };
                for (int n = 0; n != each; ++n) {
                    if (n % 4 == 3) add(app.publish<note>("t." + std::to_string(from), from, n));
                    else add(to.publish(from, n));
                    if (from == 0 && n % 8 == 0) kept.publish(n + 1);
                    const auto done = static_cast<unsigned>(n) / 8;
                    if (from == 0) published_so_far.store(done, std::memory_order_relaxed);
                    keep_pace(done, rounds_so_far);
                }
            });
        }
        for (unsigned t = 0; t != 2; ++t)
            threads.emplace_back(
                [&app, each, t] { come_and_go(app, static_cast<unsigned>(each) / 8, t); });
        threads.emplace_back([&] { speak_once(app, static_cast<unsigned>(each) / 4); });
        for (auto& t : threads) t.join();
        // For all who still wait to end themselves. Whose queue is full needs none.
        const published last = app.publish<note>("t.0", 0, each);
        got += last.accepted, not_got += last.refused;
        const auto end = app.drain(60s);
        wrong.expect(end && end->in_time, "not at rest");
        wrong.expect(all_heard == long{publishers} * each + 1, "the steady one has missed some");
        for (const auto& line : end->subscribers) {
            wrong.expect(line.messages.adds_up(), "an account does not add up");
            if (line.pattern == "kept" || line.pattern == "parting") continue;
            accepted += line.messages.accepted, refused += line.messages.refused;
        }
        dead = app.dead_letters().total();
        wrong.expect(accepted == got && refused == not_got, "publishers and accounts differ");
        wrong.expect(dead == end->total.dropped + end->total.left, "not all dead letters");
        if (dead != 0) given_up.seen();
        static_cast<void>(steady.unsubscribe());
    }
    wrong.expect(handlers.load() == 0, "a handler is left");
    wrong.expect(detail::live_frames.load(std::memory_order_relaxed) == 0, "a frame is left");
    std::printf("%llu accepted, %llu refused, %llu dead letters\n",
                static_cast<unsigned long long>(accepted), static_cast<unsigned long long>(refused),
                static_cast<unsigned long long>(dead));
    return testing::summary(wrong, heard, given_up, in_a_handler, finished, latest, heard_and_gone);
}
