// The time for a quarter of the price, a little late.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <ctime>

namespace posthaste::detail {

/// steady_clock as of the system's last tick, 1 to 10 ms apart, where there is such a thing (Linux:
/// CLOCK_MONOTONIC_COARSE, the same clock); elsewhere exact.
struct coarse_clock {
    /// It is that late at most, unless the whole machine stood still.
    static constexpr std::chrono::milliseconds late{20};

    static std::chrono::steady_clock::time_point now() noexcept {
#if defined(__linux__) && defined(CLOCK_MONOTONIC_COARSE)
        std::timespec t{};
        if (clock_gettime(CLOCK_MONOTONIC_COARSE, &t) == 0) {
            const auto since = std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
            return std::chrono::steady_clock::time_point(since);
        }
#endif
        return std::chrono::steady_clock::now();
    }
};

}  // namespace posthaste::detail
