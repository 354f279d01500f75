// A lock for sections of a few instructions.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>

#include <atomic>
#include <thread>

namespace posthaste::detail {

/// Guards a list or two; never held while user code runs. Meets Lockable: use std::lock_guard.
class spin_lock {
public:
    void lock() noexcept {
        for (int spins = 0; !try_lock(); ++spins) {
            if (spins < 40) pause();
            else std::this_thread::yield();  // the holder may have lost its core
        }
    }
    bool try_lock() noexcept {
        return !held_.exchange(true, std::memory_order_acquire);  // (1)
    }
    void unlock() noexcept { held_.store(false, std::memory_order_release); }  // (2)

private:
    // (1) acquires what the last holder did before (2); (2) releases it.
    std::atomic<bool> held_ = false;
};

}  // namespace posthaste::detail
