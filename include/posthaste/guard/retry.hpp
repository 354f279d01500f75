// Calls once more what failed.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/shared_as.hpp>
#include <posthaste/guard/budget.hpp>
#include <posthaste/guard/in_range.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/policy.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace posthaste {

struct retry_options {
    unsigned attempts = 3;                           ///< in all, 1 to 100
    duration base = std::chrono::milliseconds(20);  ///< at most, before the second; then twice that
    duration cap = std::chrono::milliseconds(500);  ///< and never more
};

namespace detail {

/// A retry at work. Its slot: `a` counts the attempts.
class repetition final : public layer {
public:
    explicit repetition(retry_options o)
        : layer(outcomes::failures), options_(o), own_(budget_options{}) {
        in_range(o.attempts >= 1 && o.attempts <= 100, "retry: attempts: must be 1 to 100");
        in_range(o.base >= duration::zero(), "retry: base: must be zero or more");
        in_range(o.cap >= o.base && o.cap < forever,
                 "retry: cap: must be base or more, and not forever");
    }

    verdict enter(passage& p, slot& s) noexcept override {
        s.a = 1;
        if (!p.extra) {
            own_.earn(p);
            p.extra = &own_;  // for a hedge, too
        }
        return {};
    }
    verdict leave(passage& p, slot& s, const failure* why) noexcept override {
        if (!why || s.a >= options_.attempts || !may_help(p, *why)) return {};
        const duration delay = saturating_sum(why->retry_after(), backoff(p, s.a));
        if (delay >= p.time_left() || p.stopped()) return {};
        extra_calls& extra = p.extra ? *p.extra : own_;
        if (!extra.take(p)) return {};
        ++s.a;
        p.extra = &extra;  // as at the entrance
        return {verdict::kind::again, delay};
    }

private:
    static bool may_help(const passage& p, const failure& why) noexcept {
        switch (why.code()) {
            case code::cancelled:
            case code::closed:
            case code::no_handler:
            case code::would_deadlock:
            case code::rejected:
            case code::undecodable: return false;
            default: return why.effect() == effect::none || p.idempotent();
        }
    }
    // Anything from zero to base * 2^(attempts - 1), or cap.
    duration backoff(const passage& p, std::uint64_t attempts) const noexcept {
        duration most = options_.base;
        for (std::uint64_t i = 1; i < attempts && most < options_.cap; ++i)
            most = most > options_.cap / 2 ? options_.cap : most * 2;
        const auto range = static_cast<std::uint64_t>(most.count()) + 1;
        return duration(static_cast<duration::rep>(p.random() % range));
    }
    static duration saturating_sum(duration a, duration b) noexcept {
        return a > forever - b ? forever : std::max(a, duration::zero()) + b;
    }

    const retry_options options_;
    spare_account own_;  // for calls without a budget outside
};

}  // namespace detail

/// Makes a call again that failed without having done anything, after a random while: up to 20 ms
/// before the second attempt, 40 ms before the third, and so on, up to 500 ms ("full jitter", Marc
/// Brooker, AWS, 2015), and not before the failure's retry_after().
///
///     auto stock = bus.client<check>("inventory", deadline(300ms) | retry({.attempts = 5}));
///
/// What the handler may have done it does not repeat, unless the message allows it:
///
///     static constexpr bool idempotent = true;   // beside its reply
///
/// It never repeats what failed with `cancelled`, `closed`, `no_handler`, `would_deadlock`,
/// `rejected` or `undecodable`; nor past the deadline, nor if the budget outside has nothing left:
/// then the failure at hand is the call's. Without a budget it has one of its own with the default
/// options, shared by its copies. A message is copied when the call is made, for later attempts.
///
/// Errors     `failed` with `rejected` from the constructor, where an option is out of its range.
/// Threads    any, several at once.
/// Cost       a copy of the message; without a budget outside, what a budget costs.
/// Cancel     is heard between two attempts as well.
class retry {
public:
    static constexpr bool repeats = true;

    explicit retry(retry_options o = {}) : core_(std::in_place, o) {}

    void apply(call_settings& s) const {
        s.layers.push_back(core_);
        s.repeats = true;
    }

private:
    detail::shared_as<layer, detail::repetition> core_;
};

template <>
struct detail::layers_of<retry> {
    using type = known_layers<repetition>;
};

}  // namespace posthaste
