// A lock for sections of a few instructions.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>

#include <atomic>
#include <thread>

namespace posthaste::detail {

/// Guards a list or two. Of user code only what a keyed endpoint asks of a key runs under one. A
/// pool's clock fires under one all that is due by then: who waits gives way meanwhile.
/// Meets Lockable: use std::lock_guard.
class spin_lock {
public:
    void lock() noexcept {
        if (!try_lock()) wait_for_it();
    }
    bool try_lock() noexcept {
        return !held_.exchange(true, std::memory_order_acquire);  // (1)
    }
    /// False: it is held, and by whom it may take long.
    bool lock_unless(const std::atomic<bool>& long_held) noexcept {
        while (!try_lock()) {
            if (long_held.load(std::memory_order_relaxed)) return false;
            std::this_thread::yield();
        }
        return true;
    }
    void unlock() noexcept { held_.store(false, std::memory_order_release); }  // (2)

private:
    // Twice as long from one look to the next: the holder has the line to itself meanwhile.
    POSTHASTE_NOINLINE void wait_for_it() noexcept {
        for (int pauses = 1; held_.load(std::memory_order_relaxed) || !try_lock();) {
            if (pauses > 32) {
                std::this_thread::yield();  // the holder may have lost its core
                continue;
            }
            for (int i = 0; i != pauses; ++i) pause();
            pauses *= 2;
        }
    }

    // (1) acquires what the last holder did before (2); (2) releases it.
    std::atomic<bool> held_ = false;
};

}  // namespace posthaste::detail
