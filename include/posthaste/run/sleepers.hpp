// The workers that sleep, and how one of them is woken.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/sleep_word.hpp>
#include <posthaste/run/parking.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace posthaste {

/// A pool's sleeping workers. No wake-up is lost, as parking says; a worker is woken once for each
/// time it falls asleep, the last one first.
///
/// Threads    any; a berth is one worker's.
/// Cost       work_is_there() is one load while nobody sleeps.
class sleepers {
public:
    /// Where one worker sleeps. Requires: outlives whoever may wake it.
    class berth {
        friend sleepers;
        berth* below_ = nullptr;  // guarded by the sleepers' lock_
        bool asleep_ = false;     // the same
        std::atomic<std::uint32_t> woken_ = 0;
    };

    /// After work was made visible (by a seq_cst operation): wakes one, if one should be.
    void work_is_there() noexcept {
        if (counts_.need_wake()) wake_one();
    }

    /// As parking's.
    bool start_search(std::uint32_t workers) noexcept { return counts_.start_search(workers); }
    /// It found something. `anything()`: is there more for somebody?
    template <typename Anything>
    void stop_search(Anything anything) noexcept {
        if (counts_.stop_search() && anything()) work_is_there();
    }

    /// Sleeps, unless `anything()`, asked once it is announced, says that there is work. Afterwards
    /// the worker counts as one that searches.
    template <typename Anything>
    void sleep(berth& self, bool was_searching, Anything anything) noexcept {
        {
            const std::lock_guard guard(lock_);
            self.below_ = detail::exchange(first_, &self);
            self.asleep_ = true;
            counts_.sleep(was_searching);
        }
        if (anything()) {
            const std::lock_guard guard(lock_);
            if (self.asleep_) return unlist(self);
        }
        while (self.woken_.load(std::memory_order_relaxed) == 0)
            detail::sleep_while(self.woken_, 0);
        self.woken_.store(0, std::memory_order_relaxed);
    }
    /// Wakes the one that fell asleep last; false: all are awake.
    bool wake_one() noexcept {
        berth* b = nullptr;
        {
            const std::lock_guard guard(lock_);
            if (!(b = first_)) return false;
            unlist(*b);
        }
        b->woken_.store(1, std::memory_order_relaxed);
        detail::wake_sleeper(b->woken_);  // without the lock, which it would meet
        return true;
    }

private:
    void unlist(berth& b) noexcept {
        berth** link = &first_;
        while (*link != &b) link = &(*link)->below_;
        *link = b.below_;
        b.asleep_ = false;
        counts_.wake();
    }

    // A berth's woken_ is set once for each time it was listed, by who took it off; its worker, who
    // waits for that, clears it before it is listed again. relaxed: it says nothing else; lock_
    // orders one time after the other, and what a worker is woken for it looks for itself.
    parking counts_;
    std::mutex lock_;
    berth* first_ = nullptr;  // guarded by lock_
};

}  // namespace posthaste
