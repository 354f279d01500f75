// How many calls a second a client makes.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/shared_as.hpp>
#include <posthaste/guard/in_range.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/policy.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

namespace posthaste {

struct rate_options {
    double per_second;   ///< calls; 1e-8 to 1e9
    double burst = 1;    ///< calls at once after a rest; 1 to 1e9, within 1e8 seconds
    duration wait = {};  ///< the longest a call is delayed; beyond, it is refused; zero or more
};

namespace detail {

/// A rate at work: the generic cell rate algorithm (ITU-T I.371, annex A), which keeps a token
/// bucket in one word. `next_` is when the bucket would be full again; a call moves it on by the
/// time of one token, and goes in no earlier than that is, less what a burst may take in advance.
class call_rate final : public layer {
public:
    explicit call_rate(const rate_options& o)
        : layer(outcomes::failures),
          each_(time_of(1, o.per_second)),
          ahead_(time_of(o.burst - 1, o.per_second)),
          wait_(o.wait) {
        in_range(o.per_second >= 1e-8 && o.per_second <= 1e9,
                 "rate: per_second must be 1e-8 to 1e9");
        in_range(o.burst >= 1 && o.burst <= 1e9 && o.burst <= o.per_second * 1e8,
                 "rate: burst must be 1 to 1e9, and no more than 1e8 seconds give");
        in_range(o.wait >= duration(0), "rate: wait must be zero or more");
    }

    verdict enter(passage& p, slot&) noexcept override {
        const time_point now = p.now();
        duration::rep seen = next_.load(std::memory_order_relaxed);
        for (;;) {
            const time_point full = std::max(time_point(duration(seen)), now);
            const time_point starts = saturating_add(full, -ahead_);
            const duration delay = std::max(starts - now, duration(0));
            if (delay > duration(0)) {
                const duration patience = std::min(wait_, p.time_left() - duration(1));
                if (delay > patience) return refuse(p, delay - patience);
            }
            const time_point then = saturating_add(full, each_);
            if (next_.compare_exchange_weak(seen, then.time_since_epoch().count(),
                                            std::memory_order_relaxed)) {
                return delay == duration(0) ? verdict() : verdict{verdict::kind::later, delay};
            }
        }
    }
    verdict leave(passage&, slot&, const failure*) noexcept override { return {}; }

    std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

private:
    // In whole nanoseconds, rounded up: never faster than asked for.
    static duration time_of(double calls, double per_second) noexcept {
        const std::chrono::duration<double, std::nano> exact(calls * 1e9 / per_second);
        const duration whole = to_duration(exact);
        return whole < exact && whole != forever ? whole + duration(1) : whole;
    }
    verdict refuse(passage& p, duration again) noexcept {
        refused_.fetch_add(1, std::memory_order_relaxed);
        p.refusal() = failure::because(code::overloaded, effect::none,
                                       "more calls a second than the rate allows");
        p.refusal().retry_after(again);
        return {verdict::kind::refuse};
    }

    const duration each_, ahead_, wait_;
    // Relaxed: one word, which orders nothing but itself.
    std::atomic<duration::rep> next_ = duration::min().count();
    std::atomic<std::uint64_t> refused_ = 0;  // relaxed: it only counts
};

}  // namespace detail

/// So many calls a second, and a burst after a rest. One too many fails at once with `overloaded`
/// and the time after which to try again; or, with `.wait`, is delayed for up to that.
///
///     auto mails = bus.client<send_mail>("mail", rate({.per_second = 10, .burst = 5}));
///     auto slow = bus.client<check>("partner", rate({.per_second = 2, .wait = 3s}));
///
/// A delayed call has its turn reserved when it is made. If it is given up meanwhile, the turn
/// stays spent: others do not move up. If its turn is not before its deadline, it is refused at
/// once.
///
/// The time between two calls is in whole nanoseconds, rounded up: of 3 million calls a second
/// 2.994 are made.
///
/// Errors     `failed` with `rejected` from the constructor, where an option is out of its range.
/// Ordering   turns are given in the order in which calls are made.
/// Threads    any, several at once.
/// Cost       a look at the clock and one change of a shared word a call; no allocation.
class rate {
public:
    explicit rate(const rate_options& o) : core_(std::in_place, o) {}

    void apply(call_settings& s) const { s.layers.push_back(core_); }

    /// Calls, since it was made.
    std::uint64_t refused() const noexcept { return core_->refused(); }

private:
    detail::shared_as<layer, detail::call_rate> core_;
};

template <>
struct detail::layers_of<rate> {
    using type = known_layers<call_rate>;
};

}  // namespace posthaste
