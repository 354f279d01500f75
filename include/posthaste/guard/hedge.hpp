// Asks once more what takes longer than usual.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/shared_as.hpp>
#include <posthaste/guard/budget.hpp>
#include <posthaste/guard/in_range.hpp>
#include <posthaste/guard/latency_window.hpp>
#include <posthaste/serve/hedged_call.hpp>
#include <posthaste/serve/policy.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

namespace posthaste {

struct hedge_options {
    double percentile = 95;  ///< of first requests that have been answered by then; 50 to 99.9
    unsigned attempts = 2;   ///< at a call, in all; 2 to 5
    duration least = std::chrono::milliseconds(1);  ///< no sooner, however quick; more than zero
    unsigned least_calls = 50;  ///< not before so many are known; 1 to 1,000,000
    duration window = std::chrono::seconds(10);  ///< what is known; more than zero
};

namespace detail {

/// A hedge at work.
class hedging final : public hedger {
public:
    explicit hedging(const hedge_options& o) : options_(o), known_(o.window), own_({}) {
        in_range(o.percentile >= 50 && o.percentile <= 99.9,
                 "hedge: percentile must be 50 to 99.9");
        in_range(o.attempts >= 2 && o.attempts <= most_attempts, "hedge: attempts must be 2 to 5");
        in_range(o.least > duration::zero(), "hedge: least must be more than zero");
        in_range(o.least_calls >= 1 && o.least_calls <= 1'000'000,
                 "hedge: least_calls must be 1 to 1,000,000");
        in_range(o.window > duration::zero(), "hedge: window must be more than zero");
    }

    duration begin(passage& p, time_point now) noexcept override {
        if (!p.extra) own_.earn(p);
        return p.idempotent() ? delay(now) : forever;
    }
    unsigned attempts() const noexcept override { return options_.attempts; }
    bool take(passage& p) noexcept override {
        extra_calls& extra = p.extra ? *p.extra : own_;
        if (!extra.take(p)) return false;
        sent_.fetch_add(1, std::memory_order_relaxed);
        return true;
    }
    void took(time_point now, duration d) noexcept override {
        known_.add(now, d);
        if (added_.fetch_add(1, std::memory_order_relaxed) % 32 == 31) look(now);
    }
    void leave_alone(time_point until) noexcept override {
        const duration::rep t = until.time_since_epoch().count();
        duration::rep seen = alone_.load(std::memory_order_relaxed);
        while (seen < t && !alone_.compare_exchange_weak(seen, t, std::memory_order_relaxed)) {}
    }
    time_point alone_until() const noexcept override {
        return time_point(duration(alone_.load(std::memory_order_relaxed)));
    }
    void helped() noexcept override { helped_.fetch_add(1, std::memory_order_relaxed); }

    /// forever: too little is known.
    duration delay(time_point now) noexcept {
        const duration known(delay_.load(std::memory_order_relaxed));
        const bool old = now.time_since_epoch().count() >= look_at_.load(std::memory_order_relaxed);
        return old || known == forever ? look(now) : known;
    }
    std::uint64_t sent() const noexcept { return sent_.load(std::memory_order_relaxed); }
    std::uint64_t won() const noexcept { return helped_.load(std::memory_order_relaxed); }

private:
    duration look(time_point now) noexcept {
        duration d = forever;
        if (known_.size(now) >= options_.least_calls)
            d = std::max(known_.percentile(now, options_.percentile), options_.least);
        const time_point again = saturating_add(now, options_.window / 8);
        delay_.store(d.count(), std::memory_order_relaxed);
        look_at_.store(again.time_since_epoch().count(), std::memory_order_relaxed);
        return d;
    }

    const hedge_options options_;
    latency_window known_;
    spare_account own_;  // for calls without a budget outside
    // What was last seen in known_, and when to look again, if not every 32 calls. Relaxed, all:
    // who sees an old value waits as long as would have been right a moment ago.
    std::atomic<duration::rep> delay_ = forever.count();
    std::atomic<duration::rep> look_at_ = duration::min().count();
    std::atomic<duration::rep> alone_ = duration::min().count();
    std::atomic<std::uint64_t> added_ = 0, sent_ = 0, helped_ = 0;
};

}  // namespace detail

/// Makes a second request where the first has not been answered in the time in which 95 of a
/// hundred are, and goes by the one that is answered first; the other is cancelled. So a call is
/// slow only if two requests are, for a few requests more ("The Tail at Scale", Jeffrey Dean, Luiz
/// André Barroso, CACM 2013).
///
///     auto spare = budget();
///     auto stock = bus.client<check>("inventory", deadline(300ms) | spare | retry() | hedge());
///
/// How long that is, it measures, of the last ten seconds' calls: how long first requests took, and
/// of those that another one was quicker than, how long they had been waited for. As long as it
/// knows of fewer than 50 it makes no second request, nor sooner than after 1 ms. With more
/// `attempts`, as much time again passes before each.
///
/// Only messages that may be handled twice (`static constexpr bool idempotent = true`) are asked
/// for again; of others there is one request. All requests of a call have the same id, so a handler
/// with dedup() takes them for one. It helps where the second request does not wait for the first:
/// at a parallel endpoint, or one with several places to go; and not where the first is handled on
/// the caller's own thread, by a handler that does not suspend.
///
/// There is no other request past the deadline; where the budget outside has nothing left (without
/// one it has one of its own with the default options, shared by its copies); after a failure; or
/// sooner than a failure's retry_after() says, that of another call included. If all requests have
/// failed, the last failure is the call's.
///
/// Each request passes the policies inside: a limit counts two, a breaker hears of both, but not of
/// one that was cancelled. What repeats calls stands outside: retry() | hedge().
///
/// Requires   one for each callee: its copies share what they measured.
/// Errors     `failed` with `rejected` from the constructor, where an option is out of its range.
/// Threads    any, several at once.
/// Cost       a copy of each message, two looks at the clock, recycled memory, and three additions
///            on shared words; a timer and a turn of the executor, if the first request is not over
///            at once; a look through the histogram (6 KiB) every 32 calls.
/// Cancel     all requests are, and awaited.
class hedge {
public:
    static constexpr bool repeats = true;
    static constexpr bool hedges = true;

    explicit hedge(const hedge_options& o = {}) : core_(std::in_place, o) {}

    void apply(call_settings& s) const {
        s.hedge = core_;
        s.hedged_from = s.layers.size();
        s.repeats = true;
    }

    /// After how long it makes a second request, just now; forever: it knows too little.
    duration delay(const clock& c) const noexcept { return core_->delay(c.now()); }
    /// Requests beside the first ones, since it was made.
    std::uint64_t sent() const noexcept { return core_->sent(); }
    /// Of those, how many were the first to be answered.
    std::uint64_t won() const noexcept { return core_->won(); }

private:
    detail::shared_as<hedger, detail::hedging> core_;
};

}  // namespace posthaste
