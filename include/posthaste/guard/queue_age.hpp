// Whether a queue has grown old.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>

#include <algorithm>

namespace posthaste {

/// The rule of `shed`, apart from any call: CoDel (Nichols, Jacobson, RFC 8289) in the form that
/// folly gives it for requests. If the least that anything waited during an interval is more than
/// the target, the queue does not run dry any more: it is overloaded, for the next interval. Then
/// what has waited for more than twice the target is refused; but for the first of each interval,
/// which finds out how things are. Unlike folly's, it is not overloaded after an interval in which
/// nothing came.
///
/// Threads    one at a time.
class queue_age {
public:
    queue_age(duration target, duration interval) noexcept : target_(target), interval_(interval) {}

    /// One leaves the queue, where it was for so long. True: it is refused.
    bool too_old(time_point now, duration waited) noexcept {
        last_ = waited, last_at_ = now;
        if (now < end_) {
            least_ = std::min(least_, waited);
            return overloaded_ && waited > bearable();
        }
        overloaded_ = least_ > target_ && now < saturating_add(end_, interval_);
        end_ = saturating_add(now, interval_);
        least_ = waited;
        return false;
    }
    /// One comes. True: it would be refused when it leaves. For twice the target what the last one
    /// waited is believed.
    bool too_long(time_point now) const noexcept {
        return overloaded_ && now < end_ && last_ > bearable() &&
               now < saturating_add(last_at_, bearable());
    }

    bool overloaded() const noexcept { return overloaded_; }
    /// Until the interval is over; more than zero.
    duration rest(time_point now) const noexcept { return std::max(end_ - now, duration(1)); }

private:
    duration bearable() const noexcept {
        return saturating_add(time_point(target_), target_).time_since_epoch();
    }

    const duration target_, interval_;
    time_point end_{};  // of the interval
    duration least_{};  // that anything waited in it
    duration last_{};  // that anything waited
    time_point last_at_{};
    bool overloaded_ = false;
};

}  // namespace posthaste
