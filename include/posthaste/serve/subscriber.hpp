// One subscription: its endpoint, and who still needs it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/topic_tree.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/endpoint_core.hpp>
#include <posthaste/serve/lazy_endpoint.hpp>
#include <posthaste/wait/event.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace posthaste {

class switchboard;

namespace detail {
/// A place in the switchboard's list: a subscriber's, or that of somebody who walks through it.
struct subscriber_link {
    subscriber_link* before = this;
    subscriber_link* after = this;
    const bool walks;

    explicit subscriber_link(bool w) noexcept : walks(w) {}
    subscriber_link(const subscriber_link&) = delete;
    void join_after(subscriber_link& l) noexcept {
        before = &l, after = l.after;
        before->after = this, after->before = this;
    }
    void leave() noexcept {
        before->after = after, after->before = before;
        before = after = this;
    }
};
}  // namespace detail

/// An endpoint that comes and goes. It is held by the switchboard while it is subscribed, by those
/// who know it as listening to a topic, by the user's handle, and by each lane that goes to rest;
/// whoever lets go of it last destroys it. Once it takes no more and is at rest, its handler is
/// destroyed: by whoever ended it, or by the lane that was the last to rest.
class subscriber final : public endpoint_keeper,
                         public topic_tree::leaf,
                         public detail::subscriber_link {
public:
    /// Held twice: by the switchboard, and by the handle to come.
    /// Without a name it is called by its pattern.
    subscriber(switchboard& on, std::string pattern, const std::string& name,
               detail::owned<endpoint_plan> p)
        : leaf(std::move(pattern)),
          subscriber_link(false),
          on_(on),
          name_(name.empty() ? nullptr : detail::make_owned<const std::string>(name)),
          how_(p->only()),
          endpoint_(std::move(p)) {}

    lazy_endpoint& endpoint() noexcept { return endpoint_; }
    /// nullptr: no memory for it. While it is subscribed.
    endpoint_core* needed() noexcept {
        endpoint_core* const made = endpoint_.made();
        return made ? made : endpoint_.make(name(), this);
    }
    const std::string& name() const noexcept { return name_ ? *name_ : pattern(); }
    const handler_entry& how() const noexcept { return how_; }

    /// Takes nothing more. `finish`: handles what is queued; or else it is given up.
    /// False: it had ended before.
    bool end(bool finish) noexcept;
    /// Set when its handler is gone.
    event& retired() noexcept { return retired_; }

    /// Requires   somebody holds it.
    void hold_once() noexcept { state_.fetch_add(one_hold, std::memory_order_relaxed); }
    /// False: it is about to be destroyed. Only where it is in the list, under the list's lock.
    bool try_hold() noexcept {
        std::uint64_t seen = state_.load(std::memory_order_relaxed);
        do {
            if ((seen & holds) == 0) return false;
        } while (!state_.compare_exchange_weak(seen, seen + one_hold, std::memory_order_relaxed));
        return true;
    }
    void let_go() noexcept {
        if ((state_.fetch_sub(one_hold, std::memory_order_acq_rel) & holds) == one_hold)  // (1)
            destroy();
    }

    // --- for lanes ---

    void hold() noexcept override { state_.fetch_add(one_lane, std::memory_order_relaxed); }
    void rested() noexcept override {
        std::uint64_t seen = state_.load(std::memory_order_relaxed);
        while (!(seen & closed)) {
            if (state_.compare_exchange_weak(seen, seen - one_lane,
                                             std::memory_order_release,  // (2)
                                             std::memory_order_relaxed)) {
                return;
            }
        }
        state_.fetch_or(closed, std::memory_order_acq_rel);  // (4)
        retire();
        if ((state_.fetch_sub(one_lane, std::memory_order_acq_rel) & holds) == one_hold)  // (1)
            destroy();
    }

    /// Also while a lane is between its rest and the end of what it does here.
    bool busy() const noexcept {
        const std::uint64_t seen = state_.load(std::memory_order_acquire);  // (5)
        return (seen & holds) == 0 || (seen & lanes) != 0 || !endpoint_.idle();
    }

private:
    static constexpr std::uint64_t one_hold = 1, holds = 0xffff'ffff;
    static constexpr std::uint64_t one_lane = (std::uint64_t{1} << 32) + one_hold;
    static constexpr std::uint64_t closed = std::uint64_t{1} << 63, ending = closed >> 1;
    static constexpr std::uint64_t gone = ending >> 1;
    static constexpr std::uint64_t lanes = ~(closed | ending | gone | holds);

    void retire() noexcept;
    void destroy() noexcept;

    switchboard& on_;
    const detail::owned<const std::string> name_;  // nullptr: the pattern
    const handler_entry& how_;
    lazy_endpoint endpoint_;
    event retired_;

    // state_: the holds, lanes that hold it among them; those lanes; `ending`: somebody ends it;
    //     `closed`: its endpoint is shut; `gone`: its handler is.
    // (1) releases the last use of each holder to the last of all, who acquires it and destroys.
    // (2) releases that the lane rests to (3): either whoever ends it finds it at rest, or the lane
    //     finds it closed, as both change the same word. And all the lane did here to (5).
    // (3) acquires that, and releases that the endpoint is shut to (4), which acquires it.
    // (4) also releases that the lane rests, and acquires that others do: of those that rest at
    //     once, one finds all at rest.
    // (5) acquires what lanes did, so that a bus that finds none here may go.
    // relaxed: a look that (4) follows; whoever holds it more holds it already, or has the list's
    // lock; `ending` and `gone` decide who does what, and hand nothing over.
    std::atomic<std::uint64_t> state_ = 2 * one_hold;
};

}  // namespace posthaste
