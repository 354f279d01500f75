// Something to be done at a time, unless taken back.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/wait/due_time.hpp>

namespace posthaste {

/// A node of an executor's timer wheel, inside whatever waits. It is not owned by the wheel: who
/// armed it disarms it before it goes.
///
/// Requires   fire() is short: it runs under a lock, may post work, and must not arm or disarm.
struct timer {
    timer* next = nullptr;
    timer* before = nullptr;
    void* owner = nullptr;  ///< the executor's own: where it keeps it
    time_point due = never;
    void (*fire)(timer&) noexcept = nullptr;
    unsigned char level = 0;
    unsigned char slot = 0;
    bool armed = false;     ///< it is in a wheel

    explicit timer(void (*f)(timer&) noexcept) noexcept : fire(f) {}
    timer(const timer&) = delete;
};

/// One that is due when an allowance ends, or at a point in time, whichever is earlier.
struct allowance_timer : timer {
    duration allowance = forever;
    detail::due_time* counted = nullptr;  ///< for all who need to know when that is

    using timer::timer;
};

}  // namespace posthaste
