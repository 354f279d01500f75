// How calls ended lately.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/spin_lock.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace posthaste::detail {

/// Counts outcomes over a stretch of time: ten buckets, one filled at a time; when its tenth of the
/// stretch is over, the oldest is emptied and becomes the next. So it knows of nine tenths to ten.
///
/// Threads    any. What is counted just as the buckets turn may count a tenth early or late, and
///            what is counted just as they are emptied may be lost.
/// Cost       counting: one addition on a shared word.
class outcome_window {
public:
    struct totals {
        std::uint64_t calls = 0, failed = 0, slow = 0;  // a call may be both
    };

    explicit outcome_window(duration length) noexcept
        : step_(std::max(length / count, duration(1))) {}

    void add(time_point now, bool failed, bool slow) noexcept {
        if (is_over(now)) turn(now);
        bucket& b = buckets_[current_.load(std::memory_order_relaxed)];
        b.calls[which(failed, slow)].fetch_add(1, std::memory_order_relaxed);
    }
    totals sum(time_point now) noexcept {
        if (is_over(now)) turn(now);
        return sum();
    }
    /// As of the last time anything was counted.
    totals sum() const noexcept {
        totals t;
        for (const bucket& b : buckets_) {
            const auto of = [&b](bool failed, bool slow) {
                return b.calls[which(failed, slow)].load(std::memory_order_relaxed);
            };
            const std::uint64_t failed = of(true, false), slow = of(false, true);
            const std::uint64_t both = of(true, true);
            t.calls += of(false, false) + failed + slow + both;
            t.failed += failed + both;
            t.slow += slow + both;
        }
        return t;
    }
    void clear() noexcept {
        const std::lock_guard guard(lock_);
        for (bucket& b : buckets_) b.clear();
    }

private:
    static constexpr int count = 10;
    struct bucket {
        std::array<std::atomic<std::uint64_t>, 4> calls{};  // relaxed: they only count
        void clear() noexcept {
            for (auto& c : calls) c.store(0, std::memory_order_relaxed);
        }
    };

    static std::size_t which(bool failed, bool slow) noexcept {
        return (failed ? 1u : 0u) + (slow ? 2u : 0u);
    }
    bool is_over(time_point now) const noexcept {
        return now.time_since_epoch().count() >= ends_.load(std::memory_order_relaxed);
    }
    POSTHASTE_NOINLINE void turn(time_point now) noexcept {
        const std::lock_guard guard(lock_);
        if (!is_over(now)) return;  // another thread was quicker
        const time_point ends{duration(ends_.load(std::memory_order_relaxed))};
        if (now >= saturating_add(ends, step_ * (count - 1))) {  // nothing is recent any more
            for (bucket& b : buckets_) b.clear();
            end_at(saturating_add(now, step_));
            return;
        }
        const auto steps = (now - ends) / step_ + 1;
        std::size_t current = current_.load(std::memory_order_relaxed);
        for (auto i = steps; i != 0; --i) {
            current = (current + 1) % count;
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
    alignas(cache_line) std::array<bucket, count> buckets_{};  // away from what is only read
    spin_lock lock_;  // turning and emptying
};

}  // namespace posthaste::detail
