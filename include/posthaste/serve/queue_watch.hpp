// Who has calls refused when a queue grows old.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>

namespace posthaste {

/// Asked about each call that has to queue, by those who read the clock there anyway. More than
/// zero: the call is refused, `overloaded`, and may try again after so long.
///
/// Threads    any, several at once.
class queue_watch {
public:
    queue_watch() = default;
    queue_watch(const queue_watch&) = delete;
    virtual ~queue_watch() = default;

    /// One is about to queue.
    virtual duration turn_away(time_point now) noexcept = 0;
    /// One has left the queue, where it was for so long, and is about to be handled.
    virtual duration turn_down(time_point now, duration waited) noexcept = 0;
    /// That one is asked when this one is.
    virtual bool asks(const queue_watch& one) const noexcept { return this == &one; }
};

}  // namespace posthaste
