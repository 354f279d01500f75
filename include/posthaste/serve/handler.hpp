// A user's callable, and the messages it takes.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: what a handler may be, and how each is run, in one piece.

#include <posthaste/base/result.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/lane.hpp>
#include <posthaste/serve/message.hpp>
#include <posthaste/serve/outbox.hpp>
#include <posthaste/serve/stream.hpp>

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace posthaste {

/// The callable of an endpoint, its type forgotten.
class handler {
public:
    using entry = handler_entry;

    handler(const entry* entries, std::size_t count) noexcept : entries_(entries), count_(count) {}
    handler(const handler&) = delete;
    virtual ~handler() = default;

    /// They outlive the handler.
    const entry* entries() const noexcept { return entries_; }
    std::size_t entry_count() const noexcept { return count_; }

private:
    const entry* const entries_;
    const std::size_t count_;
};

namespace detail {

template <typename H, typename M>
concept takes_message = std::invocable<H&, M&&>;
template <typename H, typename M>
concept takes_message_and_context = std::invocable<H&, M&&, context&>;
template <typename H, typename M>
concept takes_message_and_outbox =
    !takes_message<H, M> && !takes_message_and_context<H, M> && std::invocable<H&, M&&, outbox&>;
template <typename H, typename M>
concept takes =
    takes_message<H, M> || takes_message_and_context<H, M> || takes_message_and_outbox<H, M>;

template <typename H, typename M>
decltype(auto) invoke_handler(H& h, M& m, outbox& out) {
    [[maybe_unused]] context& ctx = out.context();
    if constexpr (takes_message_and_context<H, M>) return std::invoke(h, std::move(m), ctx);
    else if constexpr (takes_message<H, M>) return std::invoke(h, std::move(m));
    else return std::invoke(h, std::move(m), out);
}
template <typename H, typename M>
using returned_by =
    decltype(invoke_handler(std::declval<H&>(), std::declval<M&>(), std::declval<outbox&>()));

template <typename T>
struct unwrapped {
    using type = T;
};
template <typename T>
struct unwrapped<task<T>> : unwrapped<T> {};
template <typename T>
struct unwrapped<result<T>> {
    using type = T;
};

template <typename H, typename R, typename... Ps>
constexpr bool takes_just() noexcept {
    if constexpr (std::is_class_v<H>) {
        return requires { static_cast<R (H::*)(Ps...)>(&H::operator()); } ||
               requires { static_cast<R (H::*)(Ps...) const>(&H::operator()); };
    } else {
        return std::is_convertible_v<H, R (*)(Ps...)>;
    }
}
/// Does it take the message by reference, so that it is intact afterwards? R: what it returns.
template <typename H, typename M, typename R>
constexpr bool leaves_intact() noexcept {
    return takes_just<H, R, const M&>() || takes_just<H, R, const M&, context&>() ||
           takes_just<H, R, const M&, outbox&>();
}

POSTHASTE_NOINLINE inline failure thrown_failure(const std::exception_ptr& thrown) noexcept {
    failure f(code::handler_failed, effect::complete);
    guarded(
        [&] { f = failure(code::handler_failed, effect::complete, describe<std::string>(thrown)); },
        [](const std::exception_ptr&) {});  // no memory for its text
    f.exception(thrown);
    return f;
}

template <typename H, typename M>
consteval bool checked_answer() {
    if constexpr (takes<H, M>) {
        using value = typename unwrapped<std::remove_cvref_t<returned_by<H, M>>>::type;
        using reply = reply_t<M>;
        static_assert(
            !std::is_void_v<reply> || std::is_void_v<value>,
            "the handler returns a value, but the message names no reply; write using reply = T "
            "in the message, or return nothing");
        static_assert(
            std::is_void_v<reply> || std::is_convertible_v<value, reply>,
            "the handler does not return the message's reply; return M::reply, result<M::reply>, "
            "or a task of either");
    }
    return true;
}
template <typename H, typename M>
consteval bool checked_handler() {
    static_assert(checked_message<M>());
    static_assert(takes<H, M>,
                  "the handler does not take this message; write [](M m) or [](const M& m), "
                  "with or without a second parameter context& or outbox&");
    return checked_answer<H, M>();
}

/// Runs one handler on one message type; a const M is a message that is shared.
template <typename H, typename M>
class handling {
    using returned = returned_by<H, M>;
    using given = std::remove_cvref_t<returned>;
    using reply = reply_t<M>;

public:
    /// It yields the values of a stream; a task may give somebody else's.
    static constexpr bool streams = !a_task<given> && a_stream<typename unwrapped<given>::type>;
    static constexpr bool hears_stop = a_task<given> || streams ||
                                       takes_message_and_context<H, M> ||
                                       takes_message_and_outbox<H, M>;

    /// It has no part in anything but the message, which is its own.
    static constexpr bool plain = !hears_stop && !std::is_const_v<M>;
    static failure* answer(H& h, void* message, void* answer) noexcept {
        M& m = *static_cast<M*>(message);
        auto* const place = static_cast<result<reply>*>(answer);
        guarded(
            [&] {
                if constexpr (std::is_void_v<given>)
                    std::invoke(h, std::move(m)), std::construct_at(place);
                else std::construct_at(place, std::invoke(h, std::move(m)));
            },
            [&](const std::exception_ptr& e) { std::construct_at(place, thrown_failure(e)); });
        return failed(*place);
    }

    /// Requires   !hears_stop.
    static bool each(H& h, lane& l, envelope& first, int& budget) noexcept {
        if constexpr (hears_stop) return true;
        else
            return l.hand_each<M>(
                first, budget, [&](M& m) { return hand(h, m, l); },
                [&](auto& asked) { return fill(h, asked, l); });
    }

    static bool start(H& h, lane& l) noexcept {
        M& m = l.handled().as<M>();
        if constexpr (a_task<given>) {
            given t;
            const bool threw = guarded(
                [&] { return t = invoke_handler(h, m, l.out()), false; },
                [&](const std::exception_ptr& e) { return close(l, thrown_failure(e)), true; });
            if (threw) return true;
            if (!t) {
                close(l, no_task());
                return true;
            }
            promise_base& p = t.promise();
            t.let_go();
            return l.start(p, &finish);
        } else if constexpr (streams) {
            result<reply> r = guarded(
                [&] { return result<reply>(invoke_handler(h, m, l.out())); },
                [](const std::exception_ptr& e) { return result<reply>(thrown_failure(e)); });
            auto* const p = r ? r->to_start() : nullptr;
            if (!p) return close(l, std::move(r)), true;  // refused, or somebody else's stream
            hand_out(l, *p, std::move(r));
            return l.start(*p, &finish_stream);
        } else {
            guarded(
                [&] {
                    if constexpr (std::is_void_v<given>)
                        invoke_handler(h, m, l.out()), close(l, result<reply>());
                    else close(l, result<reply>(invoke_handler(h, m, l.out())));
                },
                [&](const std::exception_ptr& e) { close(l, thrown_failure(e)); });
            return true;
        }
    }

    /// Requires   !streams, and a message of its own.
    static bool begin(H& h, lane& l, caller_below& caller, failure*& why) noexcept {
        auto& e = static_cast<called<M>&>(l.handled());
        if constexpr (!a_task<given>) {
            why = fill(h, e, l);
        } else {
            given t = guarded([&] { return given(invoke_handler(h, e.box.value, l.out())); },
                              [&](const std::exception_ptr& x) {
                                  e.answer.emplace(thrown_failure(x));
                                  return given();
                              });
            if (t) {
                auto& p = t.promise();
                const auto task =
                    std::coroutine_handle<typename given::promise_type>::from_promise(p);
                if (!l.start_below(task, p, &finish, caller)) return t.let_go(), false;
                take_outcome(p, e.answer);
            } else if (!e.answer) {
                e.answer.emplace(no_task());
            }
            why = failed(*e.answer);
        }
        return true;
    }

private:
    // The answer is in the envelope then; gives the failure in that, or nullptr.
    static failure* fill(H& h, called<M>& e, lane& l) noexcept {
        guarded(
            [&] {
                if constexpr (std::is_void_v<given>)
                    invoke_handler(h, e.box.value, l.out()), e.answer.emplace();
                else e.answer.emplace(invoke_handler(h, e.box.value, l.out()));
            },
            [&](const std::exception_ptr& x) { e.answer.emplace(thrown_failure(x)); });
        return failed(*e.answer);
    }
    static failure* failed(result<reply>& r) noexcept {
        if (r) return nullptr;
        failure&& why = std::move(r).error();
        return &why;
    }
    static failure no_task() noexcept {
        return failure::because(code::no_reply, effect::complete, "it returned no task");
    }
    template <typename Promise>
    static void take_outcome(Promise& p, std::optional<result<reply>>& to) noexcept {
        using value = typename given::value_type;
        if (!p.value()) to.emplace(thrown_failure(p.thrown()));
        else if constexpr (std::is_void_v<value>) to.emplace();
        else if constexpr (!std::is_reference_v<value> &&
                           std::is_nothrow_constructible_v<result<reply>, value>)
            to.emplace(std::move(*p.value()));
        else
            guarded([&] { to.emplace(p.take()); },
                    [&](const std::exception_ptr& e) {  // of a conversion
                        to.emplace(thrown_failure(e));
                    });
    }
    // False: it has failed, and its case is closed.
    static bool hand(H& h, M& m, lane& l) noexcept {
        return guarded(
            [&] {
                if constexpr (std::is_void_v<given>) return std::invoke(h, std::move(m)), true;
                else {
                    result<reply> r(std::invoke(h, std::move(m)));
                    return r ? true : (close(l, std::move(r)), false);
                }
            },
            [&](const std::exception_ptr& e) { return close(l, thrown_failure(e)), false; });
    }
    // The coroutine has ended, or is to be destroyed where it stands.
    static void finish(lane& l, bool ended) noexcept {
        if constexpr (a_task<given>) {
            using promise = typename given::promise_type;
            auto& p = static_cast<promise&>(l.running());
            const auto h = std::coroutine_handle<promise>::from_promise(p);
            if (!ended) {
                h.destroy();
                return close(l, failure::because(code::no_reply, effect::unknown,
                                                 "the handler was destroyed"));
            }
            std::optional<result<reply>> r;
            take_outcome(p, r);
            h.destroy();
            close(l, *std::move(r));
        }
    }
    // The caller has the stream as soon as its producer is about to start.
    template <typename Producer>
    static void hand_out(lane& l, Producer& p, result<reply> r) noexcept {
        envelope& e = l.handled();
        const bool asked = e.call();
        p.start(l, asked);
        if (!asked) return;  // nobody wants it: the producer ends at its first co_yield
        static_cast<called<M>&>(e).answer.emplace(std::move(r));
        l.answer_early();
    }
    static void finish_stream(lane& l, bool ended) noexcept {
        auto& p = static_cast<typename reply::promise_type&>(l.running());
        auto& rest = p.retire();
        const std::exception_ptr thrown = p.thrown();
        const cut cut_short = p.ended_by();
        p.self.destroy();
        std::optional<failure> why;
        if (!ended) {
            why = failure::because(code::no_reply, effect::unknown, "the handler was destroyed");
        } else if (thrown) {
            why = thrown_failure(thrown);
        } else if (cut_short == cut::expired) {
            why = failure::because(code::deadline_exceeded, effect::unknown,
                                   "the stream is not over");
        } else if (cut_short == cut::stopped) {
            why =
                failure::because(code::cancelled, effect::unknown, "the handler was asked to stop");
        }
        l.close_case(why ? &*why : nullptr, leaves_intact<H, M, returned>());
        rest.end(why ? &*why : nullptr);
        rest.leave_behind();
    }
    static void close(lane& l, result<reply>&& r) noexcept {
        envelope& e = l.handled();
        constexpr bool intact = std::is_const_v<M> || leaves_intact<H, M, returned>();
        if (!r) {
            failure why = std::move(r).error();
            l.close_case(&why, intact);
            return;
        }
        if constexpr (!std::is_const_v<M>) {  // nobody waits for the end of one that many share
            if (e.call()) static_cast<called<M>&>(e).answer.emplace(std::move(r));
        }
        l.close_case(nullptr, intact);
    }
};

/// The handler for the callable H and the messages Ms.
template <typename H, typename... Ms>
class handler_of final : public handler {
    static_assert((checked_handler<H, Ms>() && ...));

public:
    explicit handler_of(H h) : handler(entries.data(), entries.size()), h_(std::move(h)) {}

private:
    template <typename M>
    static consteval auto answers() -> decltype(handler::entry::at_once) {
        if constexpr (!handling<H, M>::plain) return nullptr;
        else
            return [](handler& self, void* message, void* answer) noexcept {
                return handling<H, M>::answer(static_cast<handler_of&>(self).h_, message, answer);
            };
    }
    template <typename M>
    static consteval auto begins() -> decltype(handler::entry::begin) {
        if constexpr (handling<H, M>::streams || std::is_const_v<M>) return nullptr;
        else
            return [](handler& self, lane& l, caller_below& caller, failure*& why) noexcept {
                return handling<H, M>::begin(static_cast<handler_of&>(self).h_, l, caller, why);
            };
    }
    template <typename M>
    static bool each(handler& self, lane& l, envelope& first, int& budget) noexcept {
        return handling<H, M>::each(static_cast<handler_of&>(self).h_, l, first, budget);
    }
    H h_;
    static constexpr std::array<handler::entry, sizeof...(Ms)> entries{
        {{&type_of<Ms>,
          [](handler& self, lane& l) noexcept {
              return handling<H, Ms>::start(static_cast<handler_of&>(self).h_, l);
          },
          handling<H, Ms>::hears_stop, answers<Ms>(),
          handling<H, Ms>::hears_stop ? nullptr : &handler_of::template each<Ms>,
          begins<Ms>()}...}};
};

template <typename H, typename M>
concept takes_const = takes<H, const M>;

/// Hands the message to the callable as a const one: it may be needed again.
template <typename H>
class keeping_handler {
public:
    explicit keeping_handler(H h) : h_(std::move(h)) {}

    template <typename M, typename... With>
        requires std::invocable<H&, const M&, With&...>
    decltype(auto) operator()(const M& m, With&... with) {
        return std::invoke(h_, m, with...);
    }

private:
    H h_;
};

}  // namespace detail

}  // namespace posthaste
