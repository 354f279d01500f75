// Threads that start together, round after round.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

namespace posthaste::testing {

/// Takes a little time that no compiler removes.
inline void dawdle(unsigned steps) noexcept {
    for (unsigned i = 0; i != steps; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
}

/// Pseudo-random, the same in every run.
inline unsigned scatter(unsigned a, unsigned b) noexcept {
    unsigned h = a * 2654435761u ^ (b + 1) * 2246822519u;
    h = (h ^ (h >> 15)) * 3266489917u;
    return h ^ (h >> 13);
}

/// Somewhere between two steps: goes on at once, dawdles, or lets other threads go first, so that
/// on few or busy processors the steps of several threads interleave as well.
inline void stumble(unsigned chance) noexcept {
    if (chance % 4 == 1) dawdle(chance / 4 % 512);
    else if (chance % 4 > 1) std::this_thread::yield();
}

/// An atomics policy that stumbles before every step, so that threads meet between any two.
struct stumbling_atomics {
    static void step() noexcept {
        static std::atomic<unsigned> threads = 0;
        static thread_local unsigned steps = scatter(threads.fetch_add(1), 0);
        stumble(scatter(++steps, 1));
    }

    template <typename T>
    class atomic {
    public:
        atomic(T value) noexcept : value_(value) {}
        T load(std::memory_order o) const noexcept { return step(), value_.load(o); }
        void store(T v, std::memory_order o) noexcept { step(), value_.store(v, o); }
        T exchange(T v, std::memory_order o) noexcept { return step(), value_.exchange(v, o); }
        T fetch_or(T v, std::memory_order o) noexcept { return step(), value_.fetch_or(v, o); }
        T fetch_and(T v, std::memory_order o) noexcept { return step(), value_.fetch_and(v, o); }
        bool compare_exchange_weak(T& seen, T v, std::memory_order o,
                                   std::memory_order failed) noexcept {
            return step(), value_.compare_exchange_weak(seen, v, o, failed);
        }
        bool compare_exchange_strong(T& seen, T v, std::memory_order o,
                                     std::memory_order failed) noexcept {
            return step(), value_.compare_exchange_strong(seen, v, o, failed);
        }

    private:
        std::atomic<T> value_;
    };
};

/// Each round: `before(round)`, then all bodies at once, each on its own thread, then
/// `after(round)`, which says whether all that must be seen has been seen. Goes on for `least`
/// rounds, fewer on a machine so busy that they take seconds, and further, up to `most`, until it
/// has.
///
/// The start of the bodies orders nothing among them: what is between them must do that.
template <typename Before, typename After, typename... Bodies>
void race(unsigned least, unsigned most, Before before, After after, Bodies... bodies) {
    constexpr unsigned count = sizeof...(Bodies);
    constexpr unsigned end = ~0u;
    std::atomic<unsigned> round = 0;  // release: what before() did; from 1
    std::atomic<unsigned> at_line = 0;  // relaxed
    std::atomic<unsigned> done = 0;  // release: what the bodies did

    const auto go_round = [&](unsigned who, auto& body) {
        for (unsigned last = 0;;) {
            unsigned now = last;
            while ((now = round.load(std::memory_order_acquire)) == last) {
                std::this_thread::yield();
            }
            if (now == end) return;
            last = now;
            at_line.fetch_add(1, std::memory_order_relaxed);
            while (at_line.load(std::memory_order_relaxed) < count) std::this_thread::yield();
            stumble(scatter(now, who));
            stumble(scatter(now, who + 77));
            body(now);
            done.fetch_add(1, std::memory_order_acq_rel);
        }
    };
    unsigned who = 0;
    std::array<std::thread, count> threads{
        std::thread([&go_round, &bodies, me = who++] { go_round(me, bodies); })...};

    bool seen = false;
    const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds(4);
    const auto time_left = [&] { return std::chrono::steady_clock::now() < enough; };
    for (unsigned r = 1; !seen ? r <= most : r <= least && time_left(); ++r) {
        before(r);
        at_line.store(0, std::memory_order_relaxed);
        done.store(0, std::memory_order_relaxed);
        round.store(r, std::memory_order_release);
        while (done.load(std::memory_order_acquire) < count) std::this_thread::yield();
        seen = after(r);
    }
    round.store(end, std::memory_order_release);
    for (auto& t : threads) t.join();
}

/// What went wrong, said once each.
class mistakes {
public:
    void expect(bool right, const char* what) noexcept {
        if (right) return;
        if (count_.fetch_add(1, std::memory_order_relaxed) < 5) std::fprintf(stderr, "%s\n", what);
    }
    bool any() const noexcept { return count_.load(std::memory_order_relaxed) != 0; }

private:
    std::atomic<long> count_ = 0;
};

/// How often something was seen; a program passes only where each of its outcomes was.
struct outcome {
    const char* what;
    std::atomic<long> count = 0;  // relaxed: read when all is at rest

    explicit outcome(const char* w) noexcept : what(w) {}
    void seen() noexcept { count.fetch_add(1, std::memory_order_relaxed); }
    explicit operator bool() const noexcept { return count.load(std::memory_order_relaxed) != 0; }
};

template <typename... Outcomes>
bool all_seen(const Outcomes&... outcomes) noexcept {
    return (static_cast<bool>(outcomes) && ...);
}

/// Prints them, and gives what main() returns.
template <typename... Outcomes>
int summary(const mistakes& wrong, const Outcomes&... outcomes) {
    (std::printf("%8ld %s\n", outcomes.count.load(std::memory_order_relaxed), outcomes.what), ...);
    if (!all_seen(outcomes...)) return std::puts("not every outcome was seen"), 1;
    return wrong.any() ? 1 : 0;
}

}  // namespace posthaste::testing
