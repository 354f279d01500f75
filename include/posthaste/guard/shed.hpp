// Calls are refused when their queue grows old.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/shared_as.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/guard/in_range.hpp>
#include <posthaste/guard/queue_age.hpp>
#include <posthaste/serve/policy.hpp>
#include <posthaste/serve/queue_watch.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace posthaste {

struct shed_options {
    /// More than this nothing should have to wait; more than zero.
    duration target = std::chrono::milliseconds(5);
    /// In so long at least one should have waited for less; at least `target`.
    duration interval = std::chrono::milliseconds(100);
};

namespace detail {

/// queue_age for many callers and handlers at once.
class shedding final : public queue_watch {
public:
    explicit shedding(const shed_options& o) : age_(o.target, o.interval) {
        in_range(o.target > duration::zero(), "shed: target must be more than zero");
        in_range(o.interval >= o.target, "shed: interval must be target or more");
    }

    duration turn_away(time_point now) noexcept override {
        const std::lock_guard guard(lock_);
        return refuse_if(age_.too_long(now), now);
    }
    duration turn_down(time_point now, duration waited) noexcept override {
        const std::lock_guard guard(lock_);
        return refuse_if(age_.too_old(now, waited), now);
    }

    bool overloaded() const noexcept {
        const std::lock_guard guard(lock_);
        return age_.overloaded();
    }
    std::uint64_t refused() const noexcept {
        const std::lock_guard guard(lock_);
        return refused_;
    }

private:
    duration refuse_if(bool really, time_point now) noexcept {
        if (!really) return duration::zero();
        ++refused_;
        return age_.rest(now);
    }

    mutable spin_lock lock_;  // guards both
    queue_age age_;
    std::uint64_t refused_ = 0;
};

/// One outside of the other: who refuses a call first, refuses it alone.
class both_watch final : public queue_watch {
public:
    both_watch(std::shared_ptr<queue_watch> outer, std::shared_ptr<queue_watch> inner) noexcept
        : outer_(std::move(outer)), inner_(std::move(inner)) {}
    duration turn_away(time_point now) noexcept override {
        const duration later = outer_->turn_away(now);
        return later > duration::zero() ? later : inner_->turn_away(now);
    }
    duration turn_down(time_point now, duration waited) noexcept override {
        const duration later = outer_->turn_down(now, waited);
        return later > duration::zero() ? later : inner_->turn_down(now, waited);
    }
    bool asks(const queue_watch& one) const noexcept override {
        return outer_->asks(one) || inner_->asks(one);
    }

private:
    const std::shared_ptr<queue_watch> outer_, inner_;
};

}  // namespace detail

/// Refuses calls when the queue they would wait in has grown old: those that have waited too long,
/// as they leave it, and new ones before they queue. So what is answered is answered in time, and
/// a queue that has grown does not stay. What is sent is never refused by it.
///
///     auto stock = bus.client<check>("inventory", deadline(300ms) | shed());
///
/// Copies share what they know, so they are for one endpoint. Of two, both refuse; one given twice
/// counts once.
///
/// Errors     `overloaded`, none, with retry_after: the end of the interval.
///            Throws failed{rejected}: a target of zero or less, an interval below it.
/// Threads    any.
/// Cost       nothing for a call that does not queue; for others a clock and a short lock.
class shed {
public:
    explicit shed(const shed_options& o = {}) : state_(std::in_place, o) {}

    void apply(call_settings& s) const {
        const std::shared_ptr<queue_watch>& mine = state_;
        if (!s.watch) s.watch = mine;
        else if (!s.watch->asks(*mine))
            s.watch = detail::shared_as<queue_watch, detail::both_watch>(
                std::in_place, s.watch, mine);  // copied: it stays where this throws
    }

    /// As it was when the last call left the queue.
    bool overloaded() const noexcept { return state_->overloaded(); }
    /// Calls that were, so far.
    std::uint64_t refused() const noexcept { return state_->refused(); }

private:
    detail::shared_as<queue_watch, detail::shedding> state_;
};

}  // namespace posthaste
