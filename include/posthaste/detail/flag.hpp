// Lets a thread wait until something is done.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace posthaste::detail {

/// Blocks threads, not coroutines. May be destroyed as soon as a wait has returned.
class flag {
public:
    void set() noexcept {
        const std::lock_guard guard(mutex_);
        set_.store(true, std::memory_order_relaxed);
        changed_.notify_all();  // under the lock: afterwards the waiter may be gone, and the flag
    }
    bool is_set() noexcept {
        if (!set_.load(std::memory_order_relaxed)) return false;
        const std::lock_guard guard(mutex_);  // whoever set it is done with it
        return true;
    }
    void wait() noexcept {
        std::unique_lock guard(mutex_);
        changed_.wait(guard, [this] { return set_.load(std::memory_order_relaxed); });
    }

    /// Also ends at a poke().
    void wait_for_poke() noexcept {
        std::unique_lock guard(mutex_);
        changed_.wait(guard, [this] { return set_.load(std::memory_order_relaxed) || poked_; });
        poked_ = false;
    }
    void poke() noexcept {
        const std::lock_guard guard(mutex_);
        poked_ = true;
        changed_.notify_all();
    }

    /// Gives up after `d`; of any length.
    template <typename Duration>
    void wait_for(Duration d) noexcept {
        std::unique_lock guard(mutex_);
        while (!set_.load(std::memory_order_relaxed) && d > Duration::zero()) {
            const Duration step =
                d < Duration(std::chrono::hours(1)) ? d : Duration(std::chrono::hours(1));
            changed_.wait_for(guard, step, [this] { return set_.load(std::memory_order_relaxed); });
            d -= step;
        }
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::atomic<bool> set_ = false;  // written under mutex_; relaxed: who finds it passes that
    bool poked_ = false;
};

}  // namespace posthaste::detail
