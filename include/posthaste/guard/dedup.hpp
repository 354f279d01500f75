// A message that comes again is not handled again.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/owned.hpp>
#include <posthaste/guard/in_range.hpp>
#include <posthaste/guard/past_messages.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/serve/handler.hpp>
#include <posthaste/serve/message.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace posthaste {

namespace detail {

/// Tells messages apart by context::message_id().
struct by_message_id {};

template <typename KeyOf, typename M>
decltype(auto) dedup_key(const KeyOf& key_of, const M& m, const context& ctx) {
    if constexpr (std::same_as<KeyOf, by_message_id>) return ctx.message_id();
    else return std::invoke(key_of, m);
}

/// A handler, and what it remembers.
template <typename H, typename KeyOf>
class deduped {
    template <typename M>
    using reply = result<reply_t<M>>;
    template <typename M>
    using returned = returned_by<H, M>;
    template <typename M>
    static consteval bool intact() {
        return leaves_intact<H, M, returned<M>>();
    }

public:
    deduped(H h, KeyOf key_of, duration window, std::size_t most)
        : h_(std::move(h)), key_of_(std::move(key_of)), window_(window), most_(most) {}

    /// The message is the envelope's, and stays there as long as this runs.
    template <typename M>
        requires std::same_as<M, std::remove_cvref_t<M>> && takes<H, M> && (!intact<M>())
    task<reply<M>> operator()(M&& m, outbox& out) {
        return handle(m, out);
    }
    template <typename M>
        requires takes<H, M> && (intact<M>())
    task<reply<M>> operator()(const M& m, outbox& out) {
        return handle(const_cast<M&>(m), out);  // which its handler takes as const
    }

private:
    template <typename M>
    using key_type = std::remove_cvref_t<decltype(dedup_key(
        std::declval<const KeyOf&>(), std::declval<const M&>(), std::declval<const context&>()))>;
    template <typename M>
    using past = past_messages<key_type<M>, reply_t<M>>;

    template <typename M>
    task<reply<M>> handle(M& m, outbox& out) {
        static_assert(std::is_void_v<reply_t<M>> || std::copy_constructible<reply_t<M>>,
                      "dedup: a message that comes again gets a copy of the reply; write a reply "
                      "that can be copied");
        static_assert(!borrows<key_type<M>>,
                      "dedup: the key is remembered when its message is gone; return a "
                      "std::string, not a std::string_view or a char*");
        const context& ctx = out.context();
        past<M>& known = past_of<M>();
        const key_type<M> key = dedup_key(key_of_, m, ctx);
        for (;;) {
            auto turn = known.come(key, ctx.home().now());
            if (turn.reply) co_return *std::move(turn.reply);
            if (turn.first) {
                const result<void> over = co_await turn.first->wait();
                if (!over) co_return over.error();
                continue;
            }
            if constexpr (a_task<std::remove_cvref_t<returned<M>>>) {
                auto work = invoke_handler(h_, m, out);
                if constexpr (std::is_void_v<typename decltype(work)::value_type>) {
                    co_await std::move(work);
                    co_return done<M>(turn, reply<M>(), ctx);
                } else {
                    reply<M> r = co_await std::move(work);
                    co_return done<M>(turn, std::move(r), ctx);
                }
            } else if constexpr (std::is_void_v<returned<M>>) {
                invoke_handler(h_, m, out);
                co_return done<M>(turn, reply<M>(), ctx);
            } else {
                reply<M> r = invoke_handler(h_, m, out);
                co_return done<M>(turn, std::move(r), ctx);
            }
        }
    }
    template <typename M>
    static reply<M> done(typename past<M>::turn& turn, reply<M> r, const context& ctx) {
        if (r) turn.keep(r, ctx.home().now());
        return r;
    }

    struct page {
        const message_type* type;
        std::shared_ptr<void> past;
    };
    template <typename M>
    past<M>& past_of() {
        const std::lock_guard guard(*lock_);
        for (const page& p : pages_) {
            if (p.type == &type_of<M>) return *static_cast<past<M>*>(p.past.get());
        }
        pages_.push_back({&type_of<M>, std::make_shared<past<M>>(window_, most_)});
        return *static_cast<past<M>*>(pages_.back().past.get());
    }

    H h_;
    KeyOf key_of_;
    duration window_;
    std::size_t most_;
    detail::owned<std::mutex> lock_ = detail::make_owned<std::mutex>();  // guards pages_
    std::vector<page> pages_;  // one for each type of message
};

}  // namespace detail

/// Makes a handler idempotent: for some time a message that comes again, with the same key, is not
/// handled again. If the first was handled well, what comes again gets a copy of its reply; if it
/// is being handled, what comes again waits for that; if it failed, it does not count.
///
///     app.handle<charge>("payment", dedup(10min, &charge::order)(handler));
///     app.handle<charge>("payment", dedup(10min)(handler));   // by context::message_id()
///
/// The key is a member of the message, or what a function makes of it; by default its id, which is
/// the same for all attempts at a call and for all deliveries. `most(n)`: the latest n are
/// remembered, of each type of message; 65,536 unless said otherwise.
///
/// Requires   the key can be kept when the message is gone: it is no std::string_view of it.
/// Errors     throws failed{rejected}: a window of zero or less, most(0).
/// Threads    any: of those that come at once on a parallel endpoint one is handled.
/// Cost       a coroutine, a lock and a hash look-up a message.
template <typename KeyOf = detail::by_message_id>
class dedup {
public:
    template <typename Rep, typename Period>
    explicit dedup(std::chrono::duration<Rep, Period> window, KeyOf key_of = {})
        : key_of_(std::move(key_of)), window_(to_duration(window)) {
        detail::in_range(window_ > duration::zero(), "dedup: window must be more than zero");
    }

    dedup most(std::size_t n) const {
        detail::in_range(n >= 1, "dedup: most must be 1 or more");
        dedup changed = *this;
        changed.most_ = n;
        return changed;
    }

    template <typename H>
    auto operator()(H handler) const {
        return detail::deduped<H, KeyOf>(std::move(handler), key_of_, window_, most_);
    }

private:
    KeyOf key_of_;
    duration window_;
    std::size_t most_ = 65536;
};

template <typename Rep, typename Period>
dedup(std::chrono::duration<Rep, Period>) -> dedup<>;
template <typename Rep, typename Period, typename KeyOf>
dedup(std::chrono::duration<Rep, Period>, KeyOf) -> dedup<KeyOf>;

}  // namespace posthaste
