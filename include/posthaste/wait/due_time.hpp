// When an allowance ends, the same for all who ask.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/detail/config.hpp>

#include <atomic>
#include <limits>

namespace posthaste::detail {

/// When an allowance ends, for all who may need to know: who is first reads the clock, the others
/// hear the same.
class due_time {
public:
    POSTHASTE_NOINLINE time_point settle(const clock& at, duration allowance) noexcept {
        const duration::rep seen = word_.load(std::memory_order_relaxed);
        return seen != open ? time_point(duration(seen)) : settle_by(at.now(), allowance);
    }
    /// For who has read it already.
    time_point settle_by(time_point now, duration allowance) noexcept {
        duration::rep seen = open;
        const time_point mine = saturating_add(now, allowance);
        return word_.compare_exchange_strong(seen, mine.time_since_epoch().count(),
                                             std::memory_order_relaxed)
                   ? mine
                   : time_point(duration(seen));
    }
    /// `never`: nobody has asked yet.
    time_point settled() const noexcept {
        const duration::rep seen = word_.load(std::memory_order_relaxed);
        return seen == open ? never : time_point(duration(seen));
    }

private:
    static constexpr duration::rep open = std::numeric_limits<duration::rep>::min();
    std::atomic<duration::rep> word_ = open;  // relaxed: the number is all there is
};

}  // namespace posthaste::detail
