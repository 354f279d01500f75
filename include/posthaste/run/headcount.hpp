// How many tasks there are whose end is waited for.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/run/executor.hpp>

#include <atomic>
#include <cstddef>

namespace posthaste::detail {

/// Counts the tasks of an executor, and whoever waits for their end as one more. Where that runs
/// one piece of work after the other, it counts its own without a locked instruction, which each
/// time would wait for the memory of the task before (spawn_bench).
///
/// Threads    come() and the waiter any; the rest the executor's, at work.
class headcount {
public:
    explicit headcount(const executor& at) noexcept : only_(at.one_by_one() ? &at : nullptr) {}
    headcount(const headcount&) = delete;

    /// One more. True: it is to arrive() as it begins.
    POSTHASTE_OF_THIS_THREAD bool come() noexcept {
        if (only_ && only_->here()) return come_here(), false;
        all_.fetch_add(1, std::memory_order_relaxed);
        return only_ != nullptr;
    }
    void arrive() noexcept {
        if (here_++ != 0) all_.fetch_sub(1, std::memory_order_relaxed);
    }
    /// True: the last one, and nobody waits any more.
    bool leave() noexcept {
        if (only_ && --here_ != 0) return false;
        return stand();
    }

    /// The waiter ceases to be counted; true: he was the last one.
    bool stand() noexcept { return all_.fetch_sub(1, std::memory_order_acq_rel) == 1; }  // (1)
    void stand_no_more() noexcept { all_.fetch_add(1, std::memory_order_relaxed); }
    bool of_waiter_alone() const noexcept {
        return all_.load(std::memory_order_acquire) == 1;  // (1)
    }

private:
    void come_here() noexcept {
        if (here_++ == 0) all_.fetch_add(1, std::memory_order_relaxed);
    }

    // (1) releases what each task did to the last one, or the waiter, who acquires it.
    // relaxed: whoever makes it more is counted himself, or known to one who is.
    const executor* const only_;
    std::size_t here_ = 0;  // of only_, at work: so many, which all_ counts as one
    std::atomic<std::size_t> all_ = 1;
};

}  // namespace posthaste::detail
