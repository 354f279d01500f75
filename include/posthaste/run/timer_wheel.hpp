// Timers by when they are due, arming and disarming in O(1).  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/wait/timer.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace posthaste {

/// A hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987)
/// of 8 levels with 64 slots, a tick of 2^16 ns (65.5 µs): all of 64-bit time. A timer lies on the
/// level of the highest digit in which it differs from `now`; so everything on a lower level is due
/// before everything on a higher one, and the first slot in use holds the next timer to the
/// nanosecond. Most are disarmed soon: so they get their slot not before somebody asks for the next
/// one, or some have come together.
///
/// Threads    one at a time; executors guard theirs.
/// Cost       arm and disarm O(1) without allocation, but one arm in 64 gives 64 of them a slot;
///            each timer moves down at most 7 times.
class timer_wheel {
public:
    timer_wheel() = default;
    timer_wheel(const timer_wheel&) = delete;

    /// Requires   t is not armed; due is not `never`.
    void arm(timer& t, time_point due) noexcept {
        t.due = due;
        t.armed = true;
        t.level = no_level;
        append(unsorted_, t);
        if (++count_unsorted_ == most_unsorted) sort();
    }
    void disarm(timer& t) noexcept {
        if (!t.armed) return;
        t.armed = false;
        if (t.level != no_level) return remove(t);
        --count_unsorted_;
        leave(unsorted_, t);
    }
    bool empty() const noexcept { return levels_in_use_ == 0 && !unsorted_; }

    /// When the next timer is due; `never` if there is none. Never later than that.
    time_point next_due() noexcept {
        sort();
        if (empty()) return never;
        const auto level = static_cast<std::size_t>(std::countr_zero(levels_in_use_));
        const timer* const first = slots_[level][first_slot(level)];
        time_point due = first->due;
        for (const timer* t = first->next; t != first; t = t->next) due = std::min(due, t->due);
        return due;
    }

    /// Fires all that are due by `now`, in the order of their slots, then of their arming.
    void advance(time_point now) noexcept {
        sort();
        const std::uint64_t target = std::max(now_, tick_of(now));
        while (levels_in_use_ != 0) {
            const auto level = static_cast<std::size_t>(std::countr_zero(levels_in_use_));
            const std::size_t slot = first_slot(level);
            const std::uint64_t begin = begin_of(level, slot);
            if (begin > target) break;
            now_ = std::max(now_, begin);
            if (level == 0) {
                if (!fire(slot, now)) break;  // the rest of this tick is not due yet
            } else {
                move_down(level, slot);
            }
        }
        now_ = target;
    }

private:
    static constexpr std::size_t levels = 8, slots = 64;
    static constexpr unsigned char no_level = levels;
    static constexpr unsigned most_unsorted = 64;  // under the executor's lock, as a rule

    static std::uint64_t tick_of(time_point t) noexcept {
        const auto ns = t.time_since_epoch().count();
        return ns <= 0 ? 0 : static_cast<std::uint64_t>(ns) >> 16;
    }
    std::size_t first_slot(std::size_t level) const noexcept {
        return static_cast<std::size_t>(std::countr_zero(in_use_[level]));
    }
    std::uint64_t begin_of(std::size_t level, std::size_t slot) const noexcept {
        const auto above = 6 * (level + 1);
        return ((now_ >> above) << above) | (static_cast<std::uint64_t>(slot) << (6 * level));
    }

    void insert(timer& t) noexcept {
        const std::uint64_t tick = std::max(now_, tick_of(t.due));
        const auto highest = static_cast<std::size_t>(std::bit_width((tick ^ now_) | 1) - 1);
        const std::size_t level = highest / 6;
        const std::size_t slot = (tick >> (6 * level)) % slots;
        t.level = static_cast<unsigned char>(level);
        t.slot = static_cast<unsigned char>(slot);
        append(slots_[level][slot], t);
        in_use_[level] |= std::uint64_t{1} << slot;
        levels_in_use_ |= 1u << level;
    }
    void remove(timer& t) noexcept {
        if (!leave(slots_[t.level][t.slot], t)) return;
        in_use_[t.level] &= ~(std::uint64_t{1} << t.slot);
        if (in_use_[t.level] == 0) levels_in_use_ &= ~(1u << t.level);
    }
    void sort() noexcept {
        if (unsorted_) give_slots();
    }
    POSTHASTE_NOINLINE void give_slots() noexcept {  // in the order of their arming
        while (timer* const t = unsorted_) {
            leave(unsorted_, *t);
            insert(*t);
        }
        count_unsorted_ = 0;
    }
    static void append(timer*& ring, timer& t) noexcept {
        if (!ring) {
            ring = t.next = t.before = &t;
            return;
        }
        t.next = ring;
        t.before = ring->before;
        t.before->next = ring->before = &t;
    }
    // True: it was the last one.
    static bool leave(timer*& ring, timer& t) noexcept {
        if (t.next == &t) return ring = nullptr, true;
        t.before->next = t.next;
        t.next->before = t.before;
        if (ring == &t) ring = t.next;
        return false;
    }
    // False if some timer of the slot is not due yet.
    bool fire(std::size_t slot, time_point now) noexcept {
        timer* kept = nullptr;  // the first of those that stay: they come round again
        while (timer* t = slots_[0][slot]) {
            if (t == kept) return false;
            if (t->due > now) {
                if (!kept) kept = t;
                slots_[0][slot] = t->next;
                continue;
            }
            remove(*t);
            t->armed = false;
            t->fire(*t);  // may destroy t
        }
        return true;
    }
    void move_down(std::size_t level, std::size_t slot) noexcept {
        while (timer* t = slots_[level][slot]) {
            remove(*t);
            insert(*t);
        }
    }

    std::array<std::array<timer*, slots>, levels> slots_{};  // rings, by their first
    std::array<std::uint64_t, levels> in_use_{};  // bit n: slot n has a ring
    unsigned levels_in_use_ = 0;
    unsigned count_unsorted_ = 0;
    timer* unsorted_ = nullptr;  // a ring, too
    std::uint64_t now_ = 0;  // ticks
};

}  // namespace posthaste
