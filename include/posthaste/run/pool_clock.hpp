// The thread that fires a pool's timers and watches its workers.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/run/timer_wheel.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>

namespace posthaste {

/// Timer wheels, one a worker, so that arming is a matter of one uncontended lock; and the loop of
/// the thread that sleeps until the next one is due. A worker that is busy or blocked keeps
/// nobody's timer from firing.
class pool_clock {
public:
    static constexpr duration watch_period = std::chrono::milliseconds(10);

    /// After `patience` watches in vain it watches no more, until it is asked to.
    explicit pool_clock(std::size_t wheels, int patience = 100)
        : wheels_(new wheel[wheels]), count_(wheels), patience_(patience) {}

    /// Requires   wheel < the number given at construction.
    void arm(timer& t, time_point due, std::size_t index) noexcept {
        wheel& w = wheels_[index];
        t.owner = &w;
        {
            const std::lock_guard guard(w.lock);
            w.timers.arm(t, due);
            if (due >= w.next.load(std::memory_order_relaxed)) return;
            w.next.store(due, std::memory_order_seq_cst);  // (1)
        }
        if (due < wakes_at_.load(std::memory_order_seq_cst)) wake();  // (2)
    }
    void disarm(timer& t) noexcept {
        if (!t.owner) return;
        wheel& w = *static_cast<wheel*>(t.owner);
        const std::lock_guard guard(w.lock);
        w.timers.disarm(t);
    }

    /// Asks for `watch` to be called now and then, as long as it finds something to watch.
    void start_watching() noexcept {
        if (watching_.load(std::memory_order_seq_cst)) return;  // (3)
        if (!watching_.exchange(true, std::memory_order_relaxed)) wake();
    }

    void stop() noexcept {
        const std::lock_guard guard(mutex_);
        stopping_ = true;
        changed_.notify_one();
    }

    /// The thread's body. `watch(now)` gives false when there is nothing to watch.
    template <typename Watch>
    void run(Watch watch) {
        int quiet = 0;
        time_point next_watch = time_point::min();
        while (!wait(next_watch)) {
            const time_point now = std::chrono::steady_clock::now();
            fire(now);
            if (!watching_.load(std::memory_order_relaxed)) {
                next_watch = never;
                continue;
            }
            if (now < next_watch && next_watch != never) continue;
            quiet = watch(now) ? 0 : quiet + 1;
            next_watch = now + watch_period;
            if (quiet < patience_) continue;
            quiet = 0;  // sleep for good, unless something came just now
            watching_.store(false, std::memory_order_seq_cst);  // (3)
            if (watch(now)) watching_.store(true, std::memory_order_relaxed);
            else next_watch = never;
        }
    }

private:
    struct alignas(detail::cache_line) wheel {
        detail::spin_lock lock;
        timer_wheel timers;  // guarded by lock
        std::atomic<time_point> next = never;  // not after the next timer; written under lock
    };

    POSTHASTE_NOINLINE void wake() noexcept {
        const std::lock_guard guard(mutex_);
        again_ = true;
        changed_.notify_one();
    }
    void fire(time_point now) noexcept {
        for (std::size_t i = 0; i != count_; ++i) {
            wheel& w = wheels_[i];
            if (w.next.load(std::memory_order_relaxed) > now) continue;
            const std::lock_guard guard(w.lock);
            w.timers.advance(now);
            w.next.store(w.timers.next_due(), std::memory_order_relaxed);
        }
    }
    // Sleeps until the next timer, `watch_at`, or a wake(); true: the pool stops.
    bool wait(time_point watch_at) {
        wakes_at_.store(never, std::memory_order_seq_cst);  // (2)
        time_point until = never;
        if (watching_.load(std::memory_order_relaxed))
            until = watch_at == never ? time_point::min() : watch_at;
        for (std::size_t i = 0; i != count_; ++i) {
            until = std::min(until, wheels_[i].next.load(std::memory_order_seq_cst));  // (1)
        }
        std::unique_lock guard(mutex_);
        if (!again_ && !stopping_) {
            wakes_at_.store(until, std::memory_order_relaxed);
            const auto called = [this] { return again_ || stopping_; };
            if (until == never) changed_.wait(guard, called);
            else changed_.wait_until(guard, std::max(until, time_point()), called);
        }
        again_ = false;
        return stopping_;
    }

    // (1) and (2), seq_cst: an armer stores `next`, then reads `wakes_at_`; this thread stores
    //     "never", then reads every `next`. Otherwise both could miss, and a timer fire late.
    // (3), seq_cst: a worker puts down what is to be watched, then reads `watching_`; this thread
    //     clears it, then looks at what was put down. Otherwise both could miss, and a blocked
    //     worker hold up what others could do. (Or the worker passes a light fence between the two,
    //     and `watch` begins with the heavy one.)
    // relaxed: `next` is only a hint without the lock, or is written under it by who reads it. Of
    // `watching_`, who sets it wakes this thread, which then sees it, by mutex_. A time in
    // `wakes_at_` is less than the "never" it replaces: to miss it costs one wake-up.
    detail::owned<wheel, std::default_delete<wheel[]>> wheels_;
    std::size_t count_;
    int patience_;
    std::atomic<time_point> wakes_at_ = never;
    std::atomic<bool> watching_ = false;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool again_ = false;  // guarded by mutex_
    bool stopping_ = false;  // guarded by mutex_
};

}  // namespace posthaste
