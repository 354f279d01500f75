// Messages that wait to be delivered again.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/failure.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/mode.hpp>
#include <posthaste/wait/home.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>

namespace posthaste {

/// Those of one endpoint, and how it repeats. Each waits for its time, or until all are hurried.
///
/// Threads    any.
class redeliveries {
public:
    redeliveries(home& at, const redelivery& how) noexcept : at_(at), how_(how) {}
    redeliveries(const redeliveries&) = delete;

    /// Its handler has failed, `why` is kept. True: again, after a delay.
    POSTHASTE_NOINLINE bool repeats(envelope& e, failure& why) noexcept {
        if (!e.is_tracked || e.tracked()->attempt >= how_.attempts) return false;
        verdict v{why.code(), why.retry_after()};
        if (why.exception()) {
            detail::examine<failed>(why.exception(), [&](const failed& thrown) {
                v = {thrown.why().code(), thrown.why().retry_after()};
            });
        }
        if (v.why == code::rejected || v.why == code::undecodable) return false;
        const duration longest = backed_off(e.tracked()->attempt);
        const auto half = static_cast<std::uint64_t>(longest.count() / 2);
        const auto random = static_cast<duration::rep>(at_.random() % (half + 1));
        e.tracked()->delay = std::max(longest - duration(random), v.after);
        e.tracked()->note(std::move(why));
        ++e.tracked()->attempt;
        return true;
    }
    /// Does the lane wait for the next attempt, too?
    bool in_place(const envelope& e) const noexcept {
        return e.tracked()->attempt - 1 <= how_.in_place;
    }

    /// Has `then` posted when its time has come; it has to call leave().
    void wait(detail::tracking& t, work& then) noexcept {
        const std::lock_guard guard(mutex_);
        t.home = &at_, t.then = &then;
        t.going_on.store(false, std::memory_order_relaxed);
        t.earlier = nullptr, t.later = first_;
        if (first_) first_->earlier = &t;
        first_ = &t;
        if (hurried_) t.go_on();
        else at_.arm(t, saturating_add(at_.now(), t.delay));
    }
    /// It goes on: `enter()` puts it where it is seen from now on.
    template <typename Enter>
    void leave(detail::tracking& t, Enter enter) noexcept {
        const std::lock_guard guard(mutex_);
        at_.disarm(t);
        (t.earlier ? t.earlier->later : first_) = t.later;
        if (t.later) t.later->earlier = t.earlier;
        enter();
    }
    bool none_waits() const noexcept {
        const std::lock_guard guard(mutex_);
        return !first_;
    }
    /// From now on nobody waits for his time.
    void hurry() noexcept {
        const std::lock_guard guard(mutex_);
        hurried_ = true;
        for (detail::tracking* t = first_; t; t = t->later) {
            at_.disarm(*t);
            t->go_on();
        }
    }

    void count() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
    std::uint64_t counted() const noexcept { return count_.load(std::memory_order_relaxed); }

private:
    struct verdict {
        code why;
        duration after;
    };
    duration backed_off(unsigned attempt) const noexcept {
        duration d = how_.delay;
        for (unsigned i = 1; i < attempt && d < how_.max_delay; ++i)
            d = d > how_.max_delay / 2 ? how_.max_delay : 2 * d;
        return std::min(d, how_.max_delay);
    }

    home& at_;
    const redelivery how_;
    mutable std::mutex mutex_;  // guards the two below, and the places of those that wait
    detail::tracking* first_ = nullptr;
    bool hurried_ = false;
    std::atomic<std::uint64_t> count_ = 0;  // relaxed: exact at rest
};

}  // namespace posthaste
