// Points in time, spans of it, and who tells it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <ratio>
#include <type_traits>

namespace posthaste {

/// Nanoseconds; ±292 years.
using duration = std::chrono::nanoseconds;

/// Of a clock that never goes back. Under `simulation` it is virtual.
using time_point = std::chrono::time_point<std::chrono::steady_clock, duration>;

inline constexpr duration forever = duration::max();     ///< "no limit", spelled out
inline constexpr time_point never = time_point::max();   ///< when `forever` is over

/// Who tells the time. An executor is one.
class clock {
public:
    virtual time_point now() const noexcept = 0;
    /// The same for a fifth of the price, 20 ms late at most; exact where time is virtual.
    virtual time_point coarse_now() const noexcept { return now(); }
    /// For who waits long: not before now(), 20 ms after it at most, for as little.
    virtual time_point soon() const noexcept { return now(); }

protected:
    ~clock() = default;
};

/// Any std::chrono duration as ours. What does not fit saturates; NaN counts as zero.
template <typename Rep, typename Period>
constexpr duration to_duration(std::chrono::duration<Rep, Period> d) noexcept {
    using wide = std::chrono::duration<long double, std::nano>;
    const long double ns = std::chrono::duration_cast<wide>(d).count();
    if (ns != ns) return duration::zero();
    if (ns >= static_cast<long double>(duration::max().count())) return duration::max();
    if (ns <= static_cast<long double>(duration::min().count())) return duration::min();
    // An odd period, as 1/60 s: duration_cast would overflow in between.
    using factor = std::ratio_divide<Period, std::nano>;
    constexpr bool odd = factor::num != 1 && factor::den != 1;
    constexpr bool through_ns = odd || std::is_floating_point_v<Rep>;
    if constexpr (through_ns) return duration(static_cast<duration::rep>(ns));
    else return std::chrono::duration_cast<duration>(d);
}
constexpr duration to_duration(duration d) noexcept { return d; }

/// `t + d`, staying at `never` or time_point::min() instead of overflowing.
constexpr time_point saturating_add(time_point t, duration d) noexcept {
    const auto since = t.time_since_epoch();
    if (d >= duration::zero()) return since > duration::max() - d ? never : t + d;
    return since < duration::min() - d ? time_point::min() : t + d;
}

}  // namespace posthaste
