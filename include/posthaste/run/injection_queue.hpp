// The queue from which all workers of a pool take.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/concurrentqueue.hpp>
#include <posthaste/run/work_list.hpp>

#include <atomic>
#include <mutex>

namespace posthaste {

/// Where work comes in from outside, and what does not fit into a worker's ring. It counts what it
/// has, so that a worker about to sleep may ask whether there is any.
///
/// Ordering   what was done before put() happens before the take() that returns it.
/// Threads    any; a reader one at a time.
/// Cost       as detail::shared_queue, and one addition; put() always finds room, if there is no
///            memory in a list behind a lock.
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
    };

    void put(work& w) noexcept {
        if (!queue_.put(&w)) {
            const std::lock_guard guard(spill_lock_);
            spill_.put(w);
        }
        count_.fetch_add(1, std::memory_order_seq_cst);  // (1)
    }
    /// nullptr: it appears empty; what another thread puts just now may be overlooked.
    work* take(reader& by) noexcept {
        if (count_.load(std::memory_order_relaxed) <= 0) return nullptr;
        work* w = by.reader_.take();
        if (!w) {
            const std::lock_guard guard(spill_lock_);
            w = spill_.take();
        }
        if (w) count_.fetch_sub(1, std::memory_order_relaxed);
        return w;
    }
    bool empty() const noexcept {
        return count_.load(std::memory_order_seq_cst) <= 0;  // (1)
    }

private:
    // (1), seq_cst: who puts, then looks for sleepers; who goes to sleep announces it, then asks
    //     whether this is empty. Otherwise both could miss: see parking.
    // relaxed: the count only decides whether to look, and its thread looks again before it sleeps.
    // Below zero is a taker that was faster than the putter's count.
    queue queue_;
    alignas(detail::cache_line) std::atomic<long> count_ = 0;
    std::mutex spill_lock_;
    work_list spill_;  // guarded by spill_lock_
};

}  // namespace posthaste
