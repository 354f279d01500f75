// What a worker runs next, and whether it is held up.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/wait/home.hpp>

#include <atomic>

namespace posthaste {

/// A worker's next-up slot, as Go's and Tokio's: what was made ready last runs first, on the same
/// worker, while it is in the cache. Others leave it alone, unless the worker is held up: it does
/// not come back from what it runs, as somebody finds out who watches.
///
/// Ordering   what was done before put() happens before the take() or steal() that returns it.
/// Threads    begin(), put() and take() the owner; watch() the watcher; steal() and to_steal() any.
/// Cost       put() and take() one exchange each.
class alignas(detail::cache_line) next_slot {
public:
    /// What lay there before is given back, nullptr if nothing did. Then the owner has to see to it
    /// that somebody watches: pool_clock.start_watching().
    work* put(work& w) noexcept {
        return work_.exchange(&w, std::memory_order_seq_cst);  // (1) (2)
    }
    /// nullptr: it is empty.
    work* take() noexcept { return work_.exchange(nullptr, std::memory_order_relaxed); }
    /// To those who do not take, only a hint.
    bool empty() const noexcept { return !work_.load(std::memory_order_relaxed); }

    /// The owner begins with a piece of work.
    void begin() noexcept {
        begun_.store(begun_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        held_up_.store(false, std::memory_order_relaxed);
    }

    /// Is there something that others may take? It may have gone when they do.
    bool to_steal() const noexcept { return held_up_.load(std::memory_order_relaxed) && !empty(); }
    work* steal() noexcept {
        if (!to_steal()) return nullptr;
        return work_.exchange(nullptr, std::memory_order_acquire);  // (3)
    }

    /// Finds, from one call to the next, whether the owner has come back, and lets others steal if
    /// not. False: there is nothing to watch until the next put().
    bool watch() noexcept {
        const unsigned begun = begun_.load(std::memory_order_relaxed);
        if (detail::exchange(begun_before_, begun) != begun) return true;
        if (!work_.load(std::memory_order_seq_cst)) return false;  // (2)
        hold_up();
        return true;
    }
    /// The owner does not come back: others may steal.
    void hold_up() noexcept { held_up_.store(true, std::memory_order_relaxed); }

private:
    // (1) releases a piece of work to (3).
    // (2), seq_cst: a worker fills its slot, then looks whether it is watched; the watcher goes,
    //     then looks at the slot: pool_clock (3). Otherwise both could miss, and what lies here
    //     wait for as long as its worker is held up.
    // (3) acquires it from (1).
    // relaxed: only the owner puts, so what it takes is its own; begun_ and held_up_ are hints that
    // are looked at again: as long as something lies here, watch() says that it goes on.
    std::atomic<work*> work_ = nullptr;
    std::atomic<unsigned> begun_ = 0;
    unsigned begun_before_ = 0;  // the watcher's own
    std::atomic<bool> held_up_ = false;
};

}  // namespace posthaste
