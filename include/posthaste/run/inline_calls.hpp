// A worker's calls that run on its own stack, to be watched.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/asymmetric_fence.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/wait/home.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>

namespace posthaste {

/// The calls whose handlers run on a worker's own stack, each within the one before; and the way in
/// for a watcher, who ends those whose time is over while the worker is blocked. The worker comes
/// and goes in nanoseconds, the watcher looks now and then: so the lock between them is taken by
/// the watcher alone, unless it has announced that it will look.
///
/// Threads    begin() and end() the worker; announce() and look() the watcher.
/// Cost       begin() and end() a store each, where the system has an asymmetric_fence.
class alignas(detail::cache_line) inline_calls {
public:
    explicit inline_calls(detail::asymmetric_fence f) noexcept : fence_(f) {}

    /// From now on the watcher may end it. Then the worker has to see to it that somebody watches:
    /// pool_clock.start_watching().
    void begin(inline_call& c) noexcept {
        c.outer = innermost_.load(std::memory_order_relaxed);
        innermost_.store(&c, std::memory_order_release);  // (1)
        fence_.light();  // (2)
    }
    /// The innermost. False: the watcher has ended it. It touches it no more, either way.
    bool end(inline_call& c) noexcept {
        innermost_.store(c.outer, std::memory_order_release);  // (1)
        fence_.light();  // (3)
        if (looks_.load(std::memory_order_acquire)) return end_beside_a_look(c);  // (4)
        return !c.taken;
    }

    /// Before a look(), with a heavy() fence between them.
    void announce() noexcept { looks_.store(true, std::memory_order_relaxed); }
    /// Ends what is over by now. False: there was nothing to watch.
    bool look(time_point now) noexcept {
        bool any = false;
        const std::lock_guard guard(lock_);
        for (inline_call* c = innermost_.load(std::memory_order_acquire); c; c = c->outer) {  // (1)
            if (c->taken) continue;
            any = true;
            if (c->allowance != forever) {
                c->deadline = std::min(c->deadline, saturating_add(now, c->allowance));
                c->allowance = forever;
            }
            c->taken = c->deadline <= now && c->expire(*c);
        }
        looks_.store(false, std::memory_order_release);  // (4)
        return any;
    }

private:
    // Whichever of the two comes second under the lock sees what the other has done.
    POSTHASTE_NOINLINE bool end_beside_a_look(const inline_call& c) noexcept {
        const std::lock_guard guard(lock_);
        return !c.taken;
    }

    // (1) releases the calls, from the innermost outwards, to the look that acquires them.
    // (2) A worker begins, then looks whether it is watched; the clock stops watching, passes the
    //     heavy fence, and looks a last time: pool_clock (3). Otherwise both could miss.
    // (3) A worker ends a call, then asks whether there is a look; the watcher announces it, passes
    //     the heavy fence, then looks. Otherwise both could miss, and the watcher find a call that
    //     is not there any more.
    // (4) releases what the last look did to a call to the worker that ends it without the lock.
    // relaxed: the worker reads what it wrote itself; what is announced the fence makes known.
    std::atomic<inline_call*> innermost_ = nullptr;  // written by the worker
    std::atomic<bool> looks_ = false;  // written by the watcher: it will look, or does
    detail::asymmetric_fence fence_;
    detail::spin_lock lock_;
};

}  // namespace posthaste
