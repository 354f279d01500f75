// Who sleeps, who looks for work, who needs to be woken.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/atomics.hpp>
#include <posthaste/detail/cache_line.hpp>

#include <cstdint>

namespace posthaste {

/// The counts by which a pool decides to wake nobody, or one. No wake-up is lost: a worker that
/// sleeps announces it and looks for work once more; who brings work makes it visible and looks for
/// sleepers then. In the order of all seq_cst operations one of the two looks comes last.
///
/// Threads    any. The list of sleepers itself is in sleepers.hpp, behind a lock.
/// Cost       need_wake() is one load while nobody sleeps.
template <typename Atomics = detail::std_atomics>
class basic_parking {
public:
    /// After work was made visible (by a seq_cst operation): should somebody be woken? Not while
    /// one is looking for work anyway.
    bool need_wake() const noexcept {
        const std::uint64_t seen = word_.load(std::memory_order_seq_cst);  // (1)
        return sleepers(seen) != 0 && searchers(seen) == 0;
    }

    /// A worker out of work begins to look around; false: enough others do.
    bool start_search(std::uint32_t workers) noexcept {
        const std::uint64_t seen = word_.load(std::memory_order_relaxed);
        if (2 * searchers(seen) >= workers) return false;
        word_.fetch_add(one_searcher, std::memory_order_relaxed);
        return true;
    }
    /// It found some; true: it was the last one, somebody else should look for more.
    bool stop_search() noexcept {
        return searchers(word_.fetch_sub(one_searcher, std::memory_order_seq_cst)) == 1;  // (2)
    }

    /// It goes to sleep. Afterwards it must look for work once more.
    void sleep(bool was_searching) noexcept {
        word_.fetch_add(one_sleeper - (was_searching ? one_searcher : 0),
                        std::memory_order_seq_cst);  // (2)
    }
    /// A sleeper was taken off the list, and looks for work now.
    void wake() noexcept { word_.fetch_add(one_searcher - one_sleeper, std::memory_order_relaxed); }

    std::uint32_t asleep() const noexcept {
        return sleepers(word_.load(std::memory_order_relaxed));
    }

private:
    static constexpr std::uint64_t one_sleeper = 1, one_searcher = std::uint64_t{1} << 32;
    static std::uint32_t sleepers(std::uint64_t w) noexcept {
        return static_cast<std::uint32_t>(w);
    }
    static std::uint32_t searchers(std::uint64_t w) noexcept {
        return static_cast<std::uint32_t>(w >> 32);
    }

    // Without seq_cst: the poster's "work is there" and its look (1), the worker's announcement (2)
    // and its look for work, could each miss the other, and the work would lie until the next post.
    // relaxed: asleep() is a hint; start_search() may err by a few. Becoming a searcher only keeps
    // others from waking somebody; each who did will sleep or stop searching, by (2), and look.
    alignas(detail::cache_line)
        typename Atomics::template atomic<std::uint64_t> word_ = std::uint64_t{0};
};

using parking = basic_parking<>;

}  // namespace posthaste
