// Several calls at once, each with its own result.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/wait/inner_stop.hpp>
#include <posthaste/wait/timer.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <tuple>
#include <utility>
#include <vector>

namespace posthaste {

namespace detail {

template <typename... Calls>
consteval bool checked_gather() {
    static_assert(
        (a_result<await_result_t<Calls>> && ...),
        "gather() takes calls, which end in a result; for other awaitables write when_all()");
    return true;
}

/// Of a gathering under a deadline: the branches know when their time is over; who goes on
/// nevertheless is asked to stop, and its `cancelled` told as what it is.
class gathering : public joint {
public:
    explicit gathering(duration allowed) noexcept : joint(nothing()), allowed_(allowed) {}
    gathering(gathering&& not_yet) noexcept
        : joint(std::move(not_yet)), allowed_(not_yet.allowed_) {}
    ~gathering() { close(); }

    void open(frame& parent) noexcept {
        joint::open(parent);
        const context& outer = *parent.under;
        due_ = std::min(outer.deadline(), saturating_add(parent.at->now(), allowed_));
        inner_.open(outer, due_);
    }
    template <typename T>
    void start(const task<result<T>>& branch) noexcept {
        auto& p = branch.promise();
        if (joint::start(p, &inner_.under(), &gathering::ended_later<T>)) ended(p);
        else stands_ = true;
    }
    template <typename A>
    void start(frameless<A>& branch) noexcept {
        using outcome = typename frameless<A>::value_type;
        if (!joint::start(branch, &inner_.under(), &gathering::outcome_is_here<outcome>)) {
            stands_ = true;
        }
    }
    /// After the last start(); true if some are still under way: then *this may be gone.
    bool suspend() noexcept {
        if (stands_) parent_->at->arm(alarm_, due_);
        return joint::suspend();
    }
    void close() noexcept {
        if (detail::exchange(stands_, false)) parent_->at->disarm(alarm_);
        inner_.close();
    }

private:
    template <typename T>
    void ended(task_promise<result<T>>& p) const noexcept {
        if (result<T>* const r = p.value()) judge(*r);
    }
    template <typename T>
    static void ended_later(promise_base& p) noexcept {
        gathering& self = static_cast<gathering&>(*static_cast<joint*>(p.owner()));
        self.ended(static_cast<task_promise<result<T>>&>(p));
        self.leave();
    }
    template <typename Outcome>
    static void outcome_is_here(joint& all, Outcome& r) noexcept {
        static_cast<gathering&>(all).judge(r);
    }
    template <typename T>
    void judge(result<T>& r) const noexcept {
        if (r || r.error().code() != code::cancelled || !late_.load(std::memory_order_relaxed))
            return;
        failure why = std::move(r).error();
        r = std::move(why.code(code::deadline_exceeded));
    }

    // A timer fires under a lock, and a stop calls whom it may concern: so it is posted.
    struct alarm : timer, work {
        explicit alarm(gathering& g) noexcept
            : timer([](timer& t) noexcept { static_cast<alarm&>(t).ring(); }), of(g) {
            run = [](work& w) noexcept { static_cast<alarm&>(w).stop(); };
        }
        void ring() noexcept {
            of.late_.store(true, std::memory_order_relaxed);
            if (of.join()) of.parent_->at->post(*this);
        }
        void stop() noexcept {
            of.inner_.request();
            of.leave();
        }
        gathering& of;
    };

    duration allowed_;
    time_point due_ = never;
    bool stands_ = false;  // some did not end at once: the alarm may be armed
    std::atomic<bool> late_ = false;  // relaxed: who is stopped for it comes after it by that stop
    inner_stop inner_;
    alarm alarm_{*this};
};

}  // namespace detail

/// Makes all the calls, and goes on when the last has ended; what failed is told beside what did
/// not.
///
///     auto page = co_await gather(stock.call(sku), price.call(sku));
///     auto& [left, cents] = page;                // result<int>, result<long>
///
/// Cost       no operator new in the steady state; what is no call takes a recycled frame.
/// Cancel     all of them are asked to stop, and awaited.
template <awaitable... Calls>
[[nodiscard]] auto gather(Calls... calls) {
    static_assert(detail::checked_gather<Calls...>());
    return detail::all_together<detail::joint>(detail::nothing(), calls...);
}

/// The same for any number of calls of one kind; gives a vector of their results.
/// Cost       besides, a vector of calls and one of results.
template <awaitable Call>
[[nodiscard]] auto gather(std::vector<Call> calls) {
    static_assert(detail::checked_gather<Call>());
    return detail::all_together<detail::joint>(detail::nothing(),
                                               detail::as_branches(std::move(calls)));
}

/// Makes all the calls, and goes on when the last has ended, or the time is over: what came until
/// then is there, and who has not answered is cancelled and awaited.
///
///     auto page = co_await gather(200ms, stock.call(sku), price.call(sku));
///     if (auto& left = std::get<0>(page); !left) note(left.error());   // deadline_exceeded, maybe
///
/// The calls and what they call inherit the deadline; the caller's own may be nearer.
///
/// Errors     each call its own; deadline_exceeded of those that came too late, with an effect() as
///            any other.
/// Cost       as gather() without a deadline, and a timer, unless all end at once.
/// Cancel     as gather() without a deadline; they say `cancelled`.
template <typename Rep, typename Period, awaitable... Calls>
[[nodiscard]] auto gather(std::chrono::duration<Rep, Period> within, Calls... calls) {
    static_assert(detail::checked_gather<Calls...>());
    return detail::all_together<detail::gathering>(to_duration(within), calls...);
}

/// The same for any number of calls of one kind; gives a vector of their results.
template <typename Rep, typename Period, awaitable Call>
[[nodiscard]] auto gather(std::chrono::duration<Rep, Period> within, std::vector<Call> calls) {
    static_assert(detail::checked_gather<Call>());
    return detail::all_together<detail::gathering>(to_duration(within),
                                                   detail::as_branches(std::move(calls)));
}

}  // namespace posthaste
