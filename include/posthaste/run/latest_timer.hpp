// The timer that was armed last, beside a lock.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/wait/timer.hpp>

#include <atomic>

namespace posthaste {

/// Where the thread that drives a loop puts the timer it has armed last, in front of others that
/// lie under a lock. Most are disarmed by that thread before it arms another one: so both take no
/// read-modify-write.
///
/// Requires   a timer is left once, by leave_here() or leave(); where that gives false, it is under
///            the lock, or fires.
/// Threads    leave() any; all others the one that drives, take() under the lock.
class latest_timer {
public:
    /// To others only a hint.
    bool empty() const noexcept { return !timer_.load(std::memory_order_relaxed); }
    /// Requires   it is empty.
    void keep(timer& t) noexcept { timer_.store(&t, std::memory_order_relaxed); }
    /// True: it was here, and is not any more.
    bool leave_here(timer& t) noexcept {
        if (timer_.load(std::memory_order_relaxed) != &t) return false;
        timer_.store(nullptr, std::memory_order_relaxed);
        return true;
    }
    /// The same of one that the driving thread does not leave.
    bool leave(timer& t) noexcept {
        timer* mine = &t;
        return timer_.compare_exchange_strong(mine, nullptr, std::memory_order_relaxed);
    }
    /// nullptr: it is empty.
    timer* take() noexcept {
        return empty() ? nullptr : timer_.exchange(nullptr, std::memory_order_relaxed);
    }

private:
    // Only who drives puts one here. So while one of its own lies here nobody else writes: others
    // leave only theirs. For one of those it has take(), a read-modify-write, as leave() is: one of
    // the two gets it.
    // relaxed: who leaves one has armed it, or heard of that. Who is too late finds it under the
    // lock, within which it was taken.
    std::atomic<timer*> timer_ = nullptr;
};

}  // namespace posthaste
