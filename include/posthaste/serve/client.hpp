// Typed access to an endpoint.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/make_shared.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/call.hpp>
#include <posthaste/serve/guarded_call.hpp>
#include <posthaste/serve/held_message.hpp>
#include <posthaste/serve/message.hpp>
#include <posthaste/serve/permit.hpp>
#include <posthaste/serve/policy.hpp>
#include <posthaste/serve/scheduled.hpp>
#include <posthaste/serve/send_operation.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace posthaste {

/// Calls, and sends to, the endpoint of one name; from bus.client<M...>(name).
///
///     auto users = bus.client<get_profile>("users");
///     result<profile> p = co_await users.call(123);   // builds get_profile{123} in place
///     result<void> ok = users.send(122);              // accepted, or refused at once
///
/// With several message types say which: `account.call<deposit>(5)`, or pass a message.
///
/// Threads    any; copies are cheap, and may outlive the bus: then they answer `closed`.
template <typename... Ms>
class client {
    static_assert(sizeof...(Ms) > 0, "a client carries messages; write bus.client<M>(name)");
    static_assert((detail::checked_message<Ms>() && ...));

    template <typename M>
    static constexpr bool carries = (std::same_as<M, Ms> || ...);
    template <typename... Args>
    static constexpr bool one_of_mine =
        sizeof...(Args) == 1 && (carries<std::remove_cvref_t<Args>> && ...);
    template <typename... Args>
    static constexpr bool unsafe =
        one_of_mine<Args...> &&
        ((!std::is_reference_v<Args> && detail::unsafe_temporary<Args>) && ...);
    template <typename M, typename... Args>
    static constexpr bool builds = requires(Args&&... args) { M{std::forward<Args>(args)...}; };
    using first = std::tuple_element_t<0, std::tuple<Ms...>>;

    // The message that these arguments are, or are the members of.
    template <typename... Args>
    struct picked {
        static_assert(
            sizeof...(Ms) == 1 && builds<first, Args...>,
            "these arguments make no message of this client; write the members as in M{...}, "
            "pass an M, or name M in bus.client<M...>(name)");
        using type = first;
    };
    template <typename M>
        requires one_of_mine<M>
    struct picked<M> {
        using type = std::remove_cvref_t<M>;
    };

public:
    client(std::shared_ptr<const address> to, call_settings settings)
        : to_(std::move(to)), deadline_(settings.deadline) {
        if (!settings.layers.empty() || settings.watch || settings.hedge)
            policies_ =
                detail::make_shared<const call_settings>(detail::parted(std::move(settings)));
    }

    const std::string& name() const noexcept { return to_->name; }

    /// Asks, and awaits the reply: `result<reply>`, or `result<void>` of a message without one.
    ///
    /// Errors     deadline_exceeded, cancelled, overloaded (full, or no memory), no_handler,
    ///            handler_failed, no_reply, closed; each says by effect() whether the handler can
    ///            have run.
    /// Ordering   after what the same coroutine or thread sent to this endpoint before.
    /// Cost       an idle endpoint on the caller's executor runs the handler at once, without a
    ///            queue. No operator new in the steady state.
    /// Cancel     gives up; the handler is not started, or asked to stop.
    template <std::nullptr_t = nullptr, typename... Args>
        requires(!unsafe<Args...>)
    [[nodiscard]] auto call(Args&&... args) const noexcept {
        return called<typename picked<Args...>::type>(std::forward<Args>(args)...);
    }
    template <message M, typename... Args>
    [[nodiscard]] auto call(Args&&... args) const noexcept {
        static_assert(carries<M>,
                      "this client does not carry that message; name it in bus.client<M...>(name)");
        return called<M>(std::forward<Args>(args)...);
    }
    template <std::nullptr_t = nullptr, typename M>
        requires unsafe<M>
    [[nodiscard,
      deprecated("this compiler destroys a temporary message twice inside co_await (GCC PR 99576); "
                 "write call(members...), call(named), or call<M>(std::move(named))")]]
    auto call(M&& m) const noexcept {
        return called<M>(std::forward<M>(m));
    }

    /// Hands the message over: accepted, or refused. Never waits, never throws.
    ///
    /// Errors     overloaded (full, or no memory), no_handler, closed. The refusal may be ignored.
    /// Ordering   what one coroutine or thread sends to a serial or keyed endpoint is handled in
    ///            that order, on whatever threads the coroutine runs in between.
    /// Cost       lock-free; no operator new in the steady state.
    template <std::nullptr_t = nullptr, typename... Args>
        requires(!unsafe<Args...>)
    result<void> send(Args&&... args) const noexcept {
        return put<typename picked<Args...>::type>(std::forward<Args>(args)...);
    }
    template <message M, typename... Args>
    result<void> send(Args&&... args) const noexcept {
        static_assert(carries<M>,
                      "this client does not carry that message; name it in bus.client<M...>(name)");
        return put<M>(std::forward<Args>(args)...);
    }
    template <std::nullptr_t = nullptr, typename M>
        requires unsafe<M>
    [[deprecated(
        "this compiler destroys a temporary message twice inside co_await (GCC PR 99576); "
        "write send(members...), send(named), or send<M>(std::move(named))")]]
    result<void> send(M&& m) const noexcept {
        return put<M>(std::forward<M>(m));
    }

    /// As send(), but waits for room in a queue that is full and made with when_full::wait.
    ///
    ///     if (auto ok = co_await log.send_when_room(line); !ok) ...   // then it was not accepted
    ///
    /// Errors     as send(); deadline_exceeded, cancelled: the message was not accepted.
    template <std::nullptr_t = nullptr, typename... Args>
        requires(!unsafe<Args...>)
    [[nodiscard]] auto send_when_room(Args&&... args) const noexcept {
        return sent<typename picked<Args...>::type>(std::forward<Args>(args)...);
    }
    template <message M, typename... Args>
    [[nodiscard]] auto send_when_room(Args&&... args) const noexcept {
        static_assert(carries<M>,
                      "this client does not carry that message; name it in bus.client<M...>(name)");
        return sent<M>(std::forward<Args>(args)...);
    }
    template <std::nullptr_t = nullptr, typename M>
        requires unsafe<M>
    [[nodiscard,
      deprecated("this compiler destroys a temporary message twice inside co_await (GCC PR 99576); "
                 "write send_when_room(members...), send_when_room(named), or "
                 "send_when_room<M>(std::move(named))")]]
    auto send_when_room(M&& m) const noexcept {
        return sent<M>(std::forward<M>(m));
    }

    /// A place in the queue, for what the permit will send: `result<permit<M>>`. Waits for one
    /// where the queue is full and made with when_full::wait.
    ///
    /// Errors     as send_when_room(); overloaded, where a full queue lets nobody wait.
    template <message M = first>
    [[nodiscard]] reserve_operation<M> reserve() const noexcept {
        static_assert(carries<M>,
                      "this client does not carry that message; name it in bus.client<M...>(name)");
        return reserve_operation<M>(to_, detail::make_or_not<detail::place_request<M>>(),
                                    deadline_);
    }

    /// As send(), but later: after a delay, or at a point in time; at once, if that has passed.
    /// When it is due it takes its place in the queue; if that is full or shut it is a dead letter.
    ///
    ///     users.send_after(250ms, 122);
    ///     auto reminder = users.send_at(time, 122);   // reminder.cancel() says if it was in time
    ///
    /// Errors     as send(); rejected: it would never be due. What is not due when the bus drains
    ///            is a dead letter, and counted in the drain's account.
    /// Ordering   none among several, but by their times.
    /// Cost       a timer, on the bus's executor; one recycled block.
    template <typename Rep, typename Period, typename... Args>
    scheduled send_after(std::chrono::duration<Rep, Period> delay, Args&&... args) const noexcept {
        return send_after<typename picked<Args...>::type>(delay, std::forward<Args>(args)...);
    }
    template <message M, typename Rep, typename Period, typename... Args>
    scheduled send_after(std::chrono::duration<Rep, Period> delay, Args&&... args) const noexcept {
        return put_at<M, detail::delayed>(never, to_duration(delay), duration::zero(),
                                          std::forward<Args>(args)...);
    }
    template <std::nullptr_t = nullptr, typename... Args>
    scheduled send_at(time_point due, Args&&... args) const noexcept {
        return send_at<typename picked<Args...>::type>(due, std::forward<Args>(args)...);
    }
    template <message M, typename... Args>
    scheduled send_at(time_point due, Args&&... args) const noexcept {
        return put_at<M, detail::delayed>(due, forever, duration::zero(),
                                          std::forward<Args>(args)...);
    }
    /// As send(), again and again: the first time after one period. The n-th is due n periods from
    /// now, without drift; where the executor is late, those that were missed are left out, as are
    /// those for which there is no memory. One that finds the queue full is a dead letter. It ends
    /// when it is cancelled, or the bus drains.
    ///
    ///     auto beat = users.send_every(1s, 122);   // beat.cancel() ends it
    ///
    /// Requires   the message can be copied.
    /// Errors     as send(); rejected: a period that is not more than zero, or is forever.
    template <typename Rep, typename Period, typename... Args>
    scheduled send_every(std::chrono::duration<Rep, Period> period, Args&&... args) const noexcept {
        return send_every<typename picked<Args...>::type>(period, std::forward<Args>(args)...);
    }
    template <message M, typename Rep, typename Period, typename... Args>
    scheduled send_every(std::chrono::duration<Rep, Period> period, Args&&... args) const noexcept {
        const duration each = to_duration(period);
        if (each <= duration::zero())
            return refused(code::rejected, "send_every: the period must be more than zero");
        return put_at<M, detail::repeated>(never, each, each, std::forward<Args>(args)...);
    }

private:
    friend class outbox;
    template <typename M, typename... Args>
    call_operation<M> called(Args&&... args) const noexcept {
        return call_operation<M>(*to_, deadline_, policies_, std::in_place,
                                 std::forward<Args>(args)...);
    }
    template <typename M, typename... Args>
    send_operation<M> sent(Args&&... args) const noexcept {
        const address& to = *to_;
        const duration allowed = deadline_;
        return send_operation<M>(
            to, detail::make_or_not<detail::sent<M>>(std::forward<Args>(args)...), allowed);
    }
    // What its message is built of, or the message, may be all that keeps this client.
    template <typename M, typename... Args>
    result<void> put(Args&&... args) const noexcept {
        const address& to = *to_;
        const address::route route = to.find(detail::type_of<M>);
        if (to.shut()) return refused(code::closed);
        if (!route.how) return refused(route.why(), route.why_not());
        envelope* const e = detail::make_or_not<detail::sent<M>>(std::forward<Args>(args)...);
        if (!e) return detail::no_memory_at(to.name);
        e->how = route.how;
        if (route.to->put_at_once(*e)) return {};
        const auto admission = route.to->put(*e, false);
        if (admission == endpoint_core::admission::accepted) return {};
        failure why = detail::not_admitted(to.name, admission);
        e->destroy();
        return why;
    }
    // At `due`, or after `delay`, unless that is forever.
    template <typename M, template <typename> typename Item, typename... Args>
    scheduled put_at(time_point due, duration delay, duration period,
                     Args&&... args) const noexcept {
        static_assert(carries<M>,
                      "this client does not carry that message; name it in bus.client<M...>(name)");
        const address::route route = to_->find(detail::type_of<M>);
        if (to_->shut()) return refused(code::closed);
        if (!route.how) return refused(route.why(), route.why_not());
        const time_point now = to_->home.now();
        if (delay != forever) due = saturating_add(now, delay);
        if (due == never) return refused(code::rejected, "it would never be due");
        if (due <= now) return put<M>(std::forward<Args>(args)...);
        return send_later<Item<M>>(to_, route, due, period, std::forward<Args>(args)...);
    }
    template <typename M, typename... Args>
    result<void> hold(outbox& out, Args&&... args) const noexcept {
        static_assert(carries<M>,
                      "this client does not carry that message; name it in bus.client<M...>(name)");
        const address::route route = to_->find(detail::type_of<M>);
        if (to_->shut()) return refused(code::closed);
        if (!route.how) return refused(route.why(), route.why_not());
        return detail::hold_message<M>(out, to_, route, std::forward<Args>(args)...);
    }
    // At `due`, or after `delay`, unless that is forever.
    template <typename M, typename... Args>
    result<void> hold_until(outbox& out, time_point due, duration delay,
                            Args&&... args) const noexcept {
        const address::route route = to_->find(detail::type_of<M>);
        if (to_->shut()) return refused(code::closed);
        const time_point now = to_->home.now();
        if (delay != forever) due = saturating_add(now, delay);
        if (due <= now || !route.how) return hold<M>(out, std::forward<Args>(args)...);
        if (to_->draining.load(std::memory_order_relaxed)) return refused(code::closed);
        if (due == never) return refused(code::rejected, "it would never be due");
        return detail::hold_until<M>(out, to_, route, due, std::forward<Args>(args)...);
    }
    failure refused(code c, detail::literal why = "") const noexcept {
        return detail::failure_at(to_->name, c, effect::none, why);
    }

    std::shared_ptr<const address> to_;
    duration deadline_;
    std::shared_ptr<const call_settings> policies_;  // null: but for the deadline there are none
};

}  // namespace posthaste
