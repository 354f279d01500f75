// What happened lately, in buckets of time.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/spin_lock.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>

namespace posthaste::detail {

/// A stretch of time in `Count` buckets, one filled at a time; when its part of the stretch is
/// over, the oldest is emptied and becomes the next. So they know of all of it but one part, to all
/// of it. A bucket counts in atomics, and has clear().
///
/// Threads    any. What is counted just as the buckets turn may count a part early or late, and
///            what is counted just as they are emptied may be lost.
template <typename Bucket, int Count>
class time_buckets {
public:
    explicit time_buckets(duration length) noexcept
        : step_(std::max(length / Count, duration(1))) {}

    /// The one to count in.
    Bucket& at(time_point now) noexcept {
        turn_if_over(now);
        return buckets_[current_.load(std::memory_order_relaxed)];
    }
    /// What is known now.
    const std::array<Bucket, Count>& all(time_point now) noexcept {
        turn_if_over(now);
        return buckets_;
    }
    /// As of the last time that somebody gave.
    const std::array<Bucket, Count>& all() const noexcept { return buckets_; }
    void clear() noexcept {
        const std::lock_guard guard(lock_);
        for (Bucket& b : buckets_) b.clear();
    }

private:
    void turn_if_over(time_point now) noexcept {
        if (is_over(now)) turn(now);
    }
    bool is_over(time_point now) const noexcept {
        return now.time_since_epoch().count() >= ends_.load(std::memory_order_relaxed);
    }
    POSTHASTE_NOINLINE void turn(time_point now) noexcept {
        const std::lock_guard guard(lock_);
        if (!is_over(now)) return;  // another thread was quicker
        const time_point ends{duration(ends_.load(std::memory_order_relaxed))};
        if (now >= saturating_add(ends, step_ * (Count - 1))) {  // nothing is recent any more
            for (Bucket& b : buckets_) b.clear();
            end_at(saturating_add(now, step_));
            return;
        }
        const auto steps = (now - ends) / step_ + 1;
        std::size_t current = current_.load(std::memory_order_relaxed);
        for (auto i = steps; i != 0; --i) {
            current = (current + 1) % Count;
            buckets_[current].clear();
        }
        current_.store(current, std::memory_order_relaxed);
        end_at(saturating_add(ends, step_ * steps));
    }
    void end_at(time_point t) noexcept {
        ends_.store(t.time_since_epoch().count(), std::memory_order_relaxed);
    }

    const duration step_;
    // The bucket being filled, and when it is full. Relaxed: whoever sees one of them old counts
    // into a neighbour.
    std::atomic<std::size_t> current_ = 0;
    std::atomic<duration::rep> ends_ = duration::min().count();
    alignas(cache_line) std::array<Bucket, Count> buckets_{};  // away from what is only read
    spin_lock lock_;  // turning and emptying
};

}  // namespace posthaste::detail
