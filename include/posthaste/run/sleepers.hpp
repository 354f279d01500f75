// The workers that sleep, and how one of them is woken.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/run/parking.hpp>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>

namespace posthaste {

/// A pool's sleeping workers. No wake-up is lost, as parking says; a worker is woken once for each
/// time it falls asleep, the last one first.
///
/// Threads    any; a berth is one worker's.
/// Cost       work_is_there() is one load while nobody sleeps.
class sleepers {
public:
    /// Where one worker sleeps.
    class berth {
        friend sleepers;
        berth* below_ = nullptr;  // guarded by the sleepers' lock_
        bool asleep_ = false;     // the same
        std::mutex lock_;
        std::condition_variable changed_;
        bool woken_ = false;  // guarded by its own lock_
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
            self.below_ = std::exchange(first_, &self);
            self.asleep_ = true;
            counts_.sleep(was_searching);
        }
        if (anything()) {
            const std::lock_guard guard(lock_);
            if (self.asleep_) return unlist(self);
        }
        std::unique_lock guard(self.lock_);
        self.changed_.wait(guard, [&self] { return self.woken_; });
        self.woken_ = false;
    }
    /// Wakes the one that fell asleep last; false: all are awake.
    bool wake_one() noexcept {
        berth* b = nullptr;
        {
            const std::lock_guard guard(lock_);
            if (!(b = first_)) return false;
            unlist(*b);
        }
        const std::lock_guard guard(b->lock_);
        b->woken_ = true;
        b->changed_.notify_one();
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

    parking counts_;
    std::mutex lock_;
    berth* first_ = nullptr;  // guarded by lock_
};

}  // namespace posthaste
