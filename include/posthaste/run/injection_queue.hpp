// The queue from which all workers of a pool take.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/concurrentqueue.hpp>
#include <posthaste/run/work_list.hpp>

#include <atomic>
#include <mutex>

namespace posthaste {

/// Where work comes in from outside, and what does not fit into a worker's ring. What finds nothing
/// there lies in a slot of one word, which is all that moves to the worker that looks for it; what
/// finds that full is queued, and counted, so that a worker about to sleep may ask whether there is
/// any. Takers that find both take turns, so that nothing waits for ever.
///
/// Ordering   what was done before put() happens before the take() that returns it.
/// Threads    any; a reader one at a time.
/// Cost       one compare-exchange; if the slot is full that of detail::shared_queue besides, and
///            one addition. put() always finds room, if there is no memory in a list behind a lock.
class injection_queue {
    using queue = detail::shared_queue<work>;

public:
    /// One taker's place in it. Requires: the queue outlives it.
    class reader {
    public:
        explicit reader(injection_queue& q) noexcept : reader_(q.queue_) {}

    private:
        friend injection_queue;
        queue::reader reader_;
        bool from_slot_ = false;  // the last one it took
    };

    void put(work& w) noexcept {
        work* none = nullptr;
        if (slot_.compare_exchange_strong(none, &w, std::memory_order_seq_cst,  // (1) (2)
                                          std::memory_order_relaxed))
            return;
        if (!queue_.put(&w)) {
            const std::lock_guard guard(spill_lock_);
            spill_.put(w);
        }
        count_.fetch_add(1, std::memory_order_seq_cst);  // (1)
    }
    /// nullptr: it appears empty; what another thread puts just now may be overlooked, and so may
    /// once what lies in the slot.
    work* take(reader& by) noexcept {
        const bool queued = count_.load(std::memory_order_relaxed) > 0;
        if (!queued || !by.from_slot_) {
            if (slot_.load(std::memory_order_relaxed)) {
                if (work* w = slot_.exchange(nullptr, std::memory_order_acquire)) {  // (3)
                    by.from_slot_ = true;
                    return w;
                }
            }
            if (!queued) return nullptr;
        }
        by.from_slot_ = false;
        work* w = by.reader_.take();
        if (!w) {
            const std::lock_guard guard(spill_lock_);
            w = spill_.take();
        }
        if (w) count_.fetch_sub(1, std::memory_order_relaxed);
        return w;
    }
    /// Only a hint, as cheap as can be.
    bool has_some() const noexcept {
        return slot_.load(std::memory_order_relaxed) || count_.load(std::memory_order_relaxed) > 0;
    }
    bool empty() const noexcept {
        return !slot_.load(std::memory_order_seq_cst) &&  // (1)
               count_.load(std::memory_order_seq_cst) <= 0;  // (1)
    }

private:
    // (1), seq_cst: who puts, then looks for sleepers; who goes to sleep announces it, then asks
    //     whether this is empty. Otherwise both could miss: see parking.
    // (2) releases what lies in the slot to (3), which acquires it.
    // relaxed: the count and a first look at the slot only decide whether to look, and their thread
    // looks again before it sleeps.
    // Below zero is a taker that was faster than the putter's count.
    alignas(detail::cache_line) std::atomic<work*> slot_ = nullptr;
    alignas(detail::cache_line) queue queue_;
    alignas(detail::cache_line) std::atomic<long> count_ = 0;
    std::mutex spill_lock_;
    work_list spill_;  // guarded by spill_lock_
};

}  // namespace posthaste
