// What a handler sends if it succeeds.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/serve/message.hpp>
#include <posthaste/wait/context.hpp>

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string_view>
#include <utility>

namespace posthaste {

class bus;
class outbox;
template <typename... Ms>
class client;
template <typename M>
class permit;
template <typename M>
class publisher;

namespace detail {

/// Something that an outbox holds. One of the two is called, once; then it is not the outbox's any
/// more.
class held_effect {
public:
    virtual void release() noexcept = 0;
    virtual void drop() noexcept = 0;

protected:
    ~held_effect() = default;

private:
    friend class posthaste::outbox;
    held_effect* before_ = nullptr;  // the one that was held just before
};

}  // namespace detail

/// Holds back what a handler sends and publishes until it has succeeded; if it fails, all of that
/// vanishes, and nobody has heard of it. A handler that takes one has one, anew for each message:
///
///     bus.handle<sale>("sales", serial.at_least_once(),
///                      [pay, sold](const sale& s, outbox& out) -> task<result<void>> {
///                          out.send(pay, s.rider, s.price);  // as pay.send(s.rider, s.price)
///                          out.publish(sold, s.rider);  // as sold.publish(s.rider)
///                          co_return co_await enter_in_the_book(s);  // if it fails, none is sent
///                      });
///
/// It succeeds when it returns without a failure, whether or not its caller still waits. Then all
/// is sent before its caller goes on and, where order is kept, before the next message. If its
/// message is delivered again, each attempt begins with an empty outbox, so what it sends is sent
/// once. What does not go through the outbox is not held: clients' own sends, and calls, whose
/// handlers have outboxes of their own. There is no send_every: somebody must keep its handle, to
/// cancel it, for longer than this handler lasts; send him a message, and let him begin.
///
/// Errors     what is refused is refused at once, as if it were sent: closed, no_handler,
///            overloaded (full, or no memory), rejected. What is accepted finds room: a send keeps
///            a place in the queue until the handler ends. A queue that drops is never full, and
///            drops when the message comes. If the queue is shut meanwhile, by the end of a drain's
///            grace, it is a dead letter, `closed`; if its bus is destroyed, it goes with that.
/// Ordering   all is sent in the order in which the handler gave it, but for what is sent later; a
///            plain send of the handler overtakes it.
/// Threads    any, of the handler and of the tasks that it waits for. It must not be used after the
///            handler's end.
/// Cost       one recycled block each, two for a topic's message and for one that is sent later;
///            one more for a topic that is given by its name and has more than 15 characters. A
///            handler without it pays for a look at a pointer.
class outbox {
public:
    explicit outbox(posthaste::context& of) noexcept : context_(of) {}
    outbox(const outbox&) = delete;

    /// Of the handler: a handler takes a context& or an outbox&.
    posthaste::context& context() const noexcept { return context_; }

    /// As `to.send(args...)`.
    template <std::nullptr_t = nullptr, typename... Ms, typename... Args>
    result<void> send(const client<Ms...>& to, Args&&... args) noexcept {
        using M = typename client<Ms...>::template picked<Args...>::type;
        return to.template hold<M>(*this, std::forward<Args>(args)...);
    }
    /// Of a client with several messages, as `to.send<M>(args...)`.
    template <message M, typename... Ms, typename... Args>
    result<void> send(const client<Ms...>& to, Args&&... args) noexcept {
        return to.template hold<M>(*this, std::forward<Args>(args)...);
    }

    /// As `into.send(args...)`, after `auto into = co_await c.reserve()`, which waits for room. If
    /// the handler fails, the place is given back.
    template <typename M, typename... Args>
    result<void> send(permit<M>& into, Args&&... args) noexcept {
        return into.hold(*this, std::forward<Args>(args)...);
    }

    /// As `to.send_after(delay, args...)`, but it cannot be cancelled. The time counts from now,
    /// not from the handler's end; if it is due before that, it is sent then.
    /// Errors     as client::send_after(). If the bus drains meanwhile, it is a dead letter.
    template <std::nullptr_t = nullptr, typename... Ms, typename Rep, typename Period,
              typename... Args>
    result<void> send_after(const client<Ms...>& to, std::chrono::duration<Rep, Period> delay,
                            Args&&... args) noexcept {
        using M = typename client<Ms...>::template picked<Args...>::type;
        return send_after<M>(to, delay, std::forward<Args>(args)...);
    }
    template <message M, typename... Ms, typename Rep, typename Period, typename... Args>
    result<void> send_after(const client<Ms...>& to, std::chrono::duration<Rep, Period> delay,
                            Args&&... args) noexcept {
        return to.template hold_until<M>(*this, never, to_duration(delay),
                                         std::forward<Args>(args)...);
    }
    template <std::nullptr_t = nullptr, typename... Ms, typename... Args>
    result<void> send_at(const client<Ms...>& to, time_point due, Args&&... args) noexcept {
        using M = typename client<Ms...>::template picked<Args...>::type;
        return send_at<M>(to, due, std::forward<Args>(args)...);
    }
    template <message M, typename... Ms, typename... Args>
    result<void> send_at(const client<Ms...>& to, time_point due, Args&&... args) noexcept {
        return to.template hold_until<M>(*this, due, forever, std::forward<Args>(args)...);
    }

    /// As `to.publish(args...)`, to those who listen when the handler has succeeded. Whose queue is
    /// full then is counted there, as refused.
    template <typename M, typename... Args>
    result<void> publish(const publisher<M>& to, Args&&... args) noexcept {
        return to.hold(*this, std::forward<Args>(args)...);
    }
    /// As `on.publish<E>(topic, args...)`.
    template <typename E, typename... Args>
    result<void> publish(bus& on, std::string_view topic, Args&&... args) noexcept;

    // --- for clients and publishers ---

    void hold(detail::held_effect& e) noexcept {
        const std::lock_guard guard(lock_);
        e.before_ = detail::exchange(last_, &e);
    }

    // --- for the lane, when the handler has ended ---

    bool empty() const noexcept { return !last_; }
    void release() noexcept {
        detail::held_effect* first = nullptr;
        for (auto* e = detail::exchange(last_, nullptr); e;) {
            detail::held_effect* const before = detail::exchange(e->before_, first);
            first = detail::exchange(e, before);
        }
        while (first) detail::exchange(first, first->before_)->release();
    }
    void drop() noexcept {
        auto* e = detail::exchange(last_, nullptr);
        while (e) detail::exchange(e, e->before_)->drop();
    }

private:
    posthaste::context& context_;
    detail::held_effect* last_ = nullptr;  // the others behind it
    detail::spin_lock lock_;  // guards last_, as long as the handler runs
};

}  // namespace posthaste
