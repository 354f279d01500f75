// How a breaker is set up, and what it tells.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/base/failure.hpp>

#include <chrono>
#include <cstdint>
#include <functional>

namespace posthaste {

/// What a breaker does with calls.
enum class circuit : unsigned char {
    closed,     ///< lets them through, and counts how they end
    open,       ///< refuses them for a time
    half_open,  ///< lets a few through, to see how they end
    held_open,  ///< refuses them until close()
};

/// Whether a failure tells that the callee is in trouble. Not of that kind are what the caller is
/// to answer for (`cancelled, rejected, would_deadlock, undecodable`), what fails at once anyhow
/// (`no_handler`), and what another breaker of the same client refused.
inline bool tells_of_trouble(const failure& f) noexcept {
    switch (f.code()) {
        case code::deadline_exceeded:
        case code::overloaded:
        case code::handler_failed:
        case code::no_reply:
        case code::closed:
        case code::unavailable: return true;
        case code::circuit_open: return f.effect() != effect::none;  // the callee met one
        default: return false;
    }
}

struct breaker_options {
    double ratio = 0.5;  ///< of failed calls that opens it; above 0, at most 1
    duration slow = forever;  ///< a call that takes longer is slow; more than zero
    double slow_ratio = 0.5;  ///< of slow calls that opens it; above 0, at most 1
    int least_calls = 20;  ///< fewer, in a window, do not open it; at least 1
    duration window = std::chrono::seconds(10);  ///< the ratios are of; more than zero
    duration open_for = std::chrono::seconds(5);  ///< at first; more than zero
    duration open_at_most = std::chrono::seconds(60);  ///< where doubling ends; >= open_for
    int probes = 3;  ///< while half open; 1 to 100
    bool dry_run = false;  ///< refuses nothing, and counts what it would have
    /// Does this failure count? Called by many threads at a time. One that does not, and is of
    /// `effect::complete`, counts as an answer; others tell nothing of the callee.
    std::function<bool(const failure&)> counts = &tells_of_trouble;
};

/// What a breaker saw: calls that ended within its window, up to the last that did; and since ever,
/// those it refused (in a dry run: would have), and those that ended too late to tell it anything.
struct breaker_counts {
    std::uint64_t calls = 0, failed = 0, slow = 0, refused = 0, late = 0;
};

}  // namespace posthaste
