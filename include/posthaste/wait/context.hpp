// What travels with a message and down the awaits.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/base/message_id.hpp>
#include <posthaste/detail/assert.hpp>
#include <posthaste/detail/coarse_clock.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/min_max.hpp>
#include <posthaste/wait/due_time.hpp>
#include <posthaste/wait/home.hpp>
#include <posthaste/wait/stop.hpp>

#include <cstddef>
#include <cstdint>

namespace posthaste {

class lane;

/// How long the work at hand may take, and whether it is still wanted. A handler takes it as
/// `context&`; any coroutine has it by `co_await this_context`. Nested calls inherit it.
///
/// Threads    any may ask: it belongs to one handler or task, and to all that that runs at once.
class context {
public:
    context() = default;
    context(posthaste::home& h, time_point deadline, stop_token stop) noexcept
        : home_(&h), stop_(stop), deadline_(deadline) {}
    /// The same, listening to another stop.
    context(const context& other, stop_token stop) noexcept : context(other) { stop_ = stop; }
    /// The same, listening to another stop, and given up at `end` at the latest.
    context(const context& other, stop_token stop, time_point end) noexcept : context(other, stop) {
        deadline_ = detail::min(deadline_, end);
    }
    context(const context& other) noexcept
        : home_(other.home_),
          stop_(other.stop_),
          deadline_(other.deadline()),
          lane_(other.lane_),
          id_(other.id_),
          attempt_(other.attempt_),
          slot_(other.slot_) {}
    context& operator=(const context& other) noexcept {
        deadline_ = other.deadline(), due_ = nullptr;
        home_ = other.home_, stop_ = other.stop_, lane_ = other.lane_, id_ = other.id_;
        attempt_ = other.attempt_, slot_ = other.slot_;
        return *this;
    }

    /// When whoever waits for this gives up; `never` if nobody does.
    time_point deadline() const noexcept { return due_ ? nearer_deadline() : deadline_; }
    /// As expired(), but as a rule it takes a coarse look at the clock; an exact one where its own
    /// allowance begins to be counted by that.
    bool over() const noexcept { return (due_ || deadline_ != never) && is_over(); }
    /// `forever` without a deadline; zero when it has passed.
    duration time_left() const noexcept {
        const time_point end = deadline();
        if (end == never) return forever;
        const time_point now = home_->now();
        return end <= now ? duration::zero() : duration(end - now);
    }
    bool expired() const noexcept { return time_left() == duration::zero(); }

    /// Requested when the caller gives up, the scope is cancelled or the bus ends.
    stop_token stop() const noexcept { return stop_; }
    bool stop_requested() const noexcept { return stop_.stop_requested(); }

    /// The executor this runs on.
    posthaste::home& home() const noexcept {
        POSTHASTE_ASSERT(home_);
        return *home_;
    }

    /// 1 the first time, more when the message is delivered again.
    unsigned attempt() const noexcept { return attempt_; }
    /// Which of the messages that its endpoint handles at a time this is: 0 to n - 1 at a
    /// parallel(n) endpoint, 0 at a serial one. Until its end no other one is in that slot, and
    /// what the last one there did has happened before: what each slot has for itself needs no
    /// lock. Where keys or reentrance decide how many there are: below the most there ever were.
    std::size_t slot() const noexcept { return slot_; }
    /// Of the message at hand; the same when it is delivered or called again.
    posthaste::message_id message_id() const noexcept { return id_; }

private:
    friend class lane;
    friend class call_site;

    POSTHASTE_NOINLINE time_point nearer_deadline() const noexcept {
        return detail::min(deadline_, due_->settle(*home_, allowance_));
    }
    POSTHASTE_NOINLINE bool is_over() const noexcept {
        time_point end = deadline_;
        if (due_) {
            const time_point settled = due_->settled();
            if (settled == never) {
                const time_point now = home_->now();
                return detail::min(end, due_->settle_by(now, allowance_)) <= now;
            }
            end = detail::min(end, settled);
        }
        if (end == never || home_->coarse_now() + detail::coarse_clock::late < end) return false;
        return end <= home_->now();
    }

    posthaste::home* home_ = nullptr;
    stop_token stop_;
    time_point deadline_ = never;
    // Besides, the call's own allowance, from when somebody first asks; nullptr: it has none.
    detail::due_time* due_ = nullptr;
    duration allowance_ = forever;
    lane* lane_ = nullptr;  // whose handler this is, or works for; nullptr: no handler
    posthaste::message_id id_;
    unsigned attempt_ = 1;
    std::uint32_t slot_ = 0;
};

}  // namespace posthaste
