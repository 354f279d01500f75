// A message to be sent at its time, in its sender's hand.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/schedule.hpp>

#include <concepts>
#include <exception>
#include <memory>
#include <utility>

namespace posthaste {

/// What client.send_after(), send_at() and send_every() give: true if the message was accepted,
/// to be sent when it is due; otherwise error() says why not.
///
///     auto reminder = users.send_after(30min, 122);
///     if (reminder.cancel()) ...   // it was not sent, and will not be
///
/// Destroying it changes nothing: the message is sent all the same.
///
/// Threads    one at a time.
class scheduled {
public:
    scheduled(result<void> outcome) noexcept : outcome_(std::move(outcome)) {}
    scheduled(failure why) noexcept : outcome_(std::move(why)) {}
    scheduled(scheduled&& other) noexcept { take(other); }
    scheduled& operator=(scheduled&& other) noexcept {
        if (this == &other) return *this;
        let_go();
        return take(other), *this;
    }
    ~scheduled() { let_go(); }

    explicit operator bool() const noexcept { return outcome_.has_value(); }
    /// Requires   it was refused.
    const failure& error() const noexcept { return outcome_.error(); }

    /// True: it was in time. The message was not sent, and will not be; of one that is sent again
    /// and again, no further one will be, but for one that is on its way at this moment. False: it
    /// was too late, or there is nothing to cancel (any more).
    /// Threads    from any, also from the message's handler.
    bool cancel() noexcept { return to_ && to_->later->cancel(item_); }

private:
    template <typename Item, typename... Args>
    friend scheduled send_later(std::shared_ptr<const address> to, Args&&... args) noexcept;

    void take(scheduled& other) noexcept {
        outcome_ = std::move(other.outcome_);
        to_ = std::move(other.to_);
        if (to_) to_->later->hand_over(other.item_, &item_);
    }
    void let_go() noexcept {
        if (to_) to_->later->hand_over(item_, nullptr);
    }

    result<void> outcome_;
    std::shared_ptr<const address> to_;
    schedule::item* item_ = nullptr;  // guarded by the schedule
};

namespace detail {

/// A message that is sent once.
template <typename M>
struct delayed final : sent<M>, schedule::item {
    template <typename... Args>
    delayed(const address& to, const address::route& where, time_point first, duration,
            Args&&... args)
        : sent<M>(std::forward<Args>(args)...), item(to, where, first, duration::zero()) {
        this->kind = &kind_of<delayed>;
        this->how = where.how;
    }
    envelope* message() noexcept override { return this; }
    void drop() noexcept override { this->destroy(); }
};

/// One that is sent again and again: a copy each time.
template <typename M>
struct repeated final : schedule::item {
    static_assert(std::copy_constructible<M>,
                  "send_every: the message is copied each time it is sent; make it copyable, or "
                  "write a task that loops over sleep_until() and send()");
    boxed<M> box;

    template <typename... Args>
    repeated(const address& to, const address::route& where, time_point first, duration period,
             Args&&... args)
        : item(to, where, first, period),
          box(std::in_place, std::forward<Args>(args)...),
          how(where.how) {}
    envelope* message() noexcept override {
        envelope* const e =
            guarded([&]() -> envelope* { return make_envelope<sent<M>>(std::as_const(box.value)); },
                    [](const std::exception_ptr&) -> envelope* { return nullptr; });
        if (e) e->how = how;
        return e;
    }
    void drop() noexcept override {
        std::destroy_at(this);
        deallocate(this);
    }

private:
    const handler_entry* const how;
};

}  // namespace detail

/// Builds an Item from what it wants to know, and hands it to the schedule of the bus.
template <typename Item, typename... Args>
scheduled send_later(std::shared_ptr<const address> to, Args&&... args) noexcept {
    Item* const i = detail::guarded(
        [&] { return detail::make_envelope<Item>(*to, std::forward<Args>(args)...); },
        [](const std::exception_ptr&) -> Item* { return nullptr; });
    if (!i) {
        return detail::failure_at(to->name, code::overloaded, effect::none,
                                  "no memory for the message");
    }
    scheduled made{result<void>()};
    made.to_ = std::move(to);
    if (made.to_->later->add(*i, made.item_)) return made;
    i->drop();
    return detail::failure_at(made.to_->name, code::closed);
}

}  // namespace posthaste
