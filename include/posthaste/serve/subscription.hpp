// What ties a subscriber to its topics.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/serve/bus_core.hpp>
#include <posthaste/serve/subscriber.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace posthaste {

/// Which topics somebody listens to, and how: for bus.subscribe(). A pattern: `*` stands for one
/// token, and `>` at the end for one or more.
///
///     topics("orders.*").named("audit").latest()
class topics {
public:
    topics(std::string_view pattern) : pattern_(pattern) {}
    topics(const std::string& pattern) : pattern_(pattern) {}
    topics(const char* pattern) : pattern_(pattern) {}

    /// What it is called in counts, accounts and failures; otherwise by its pattern. Several may
    /// have one name: then they are counted together.
    topics named(std::string_view name) const {
        topics changed = *this;
        changed.name_ = name;
        changed.is_named_ = true;
        return changed;
    }
    /// First it hears the latest message of each of its topics, if a publisher keeps that: see
    /// `keep_latest`. If there are more than its queue has room for, the rest is refused.
    topics latest() const {
        topics changed = *this;
        changed.latest_ = true;
        return changed;
    }

    const std::string& pattern() const noexcept { return pattern_; }
    const std::string& name() const noexcept { return is_named_ ? name_ : pattern_; }
    bool is_named() const noexcept { return is_named_; }
    bool wants_latest() const noexcept { return latest_; }

private:
    std::string pattern_, name_;
    bool is_named_ = false, latest_ = false;
};

/// A handler that listens to topics: for as long as this lives, or until unsubscribe(). From
/// bus.subscribe().
///
///     subscription s = bus.subscribe<order_placed>("orders.*", handler);
///     s.unsubscribe();         // nothing more is started; what is queued is given up
///     auto mine = co_await s.finish();  // or: takes nothing more, and handles what is queued
///     s.keep();                // or: it stays until the bus ends
///
/// After unsubscribe() or the destructor no handler is started; one that has been may still be
/// running, on another thread or suspended: what it refers to may go once finish() has returned.
/// What was queued ends in dead_letters, as `closed`, and in the account as `left`.
///
/// Threads    one at a time, but any, and also inside a handler, its own too. It may outlive the
///            bus.
class [[nodiscard]] subscription {
public:
    subscription() noexcept = default;  ///< of nothing
    subscription(subscription&& o) noexcept
        : core_(std::move(o.core_)),
          who_(detail::exchange(o.who_, nullptr)),
          ended_(detail::exchange(o.ended_, true)) {}
    subscription& operator=(subscription o) noexcept {
        std::swap(core_, o.core_), std::swap(who_, o.who_), std::swap(ended_, o.ended_);
        return *this;
    }
    ~subscription() {
        if (!who_) return;
        who_->end(false);
        who_->let_go();
    }

    /// Errors     rejected: it has unsubscribed before, or is of nothing. closed: the bus is gone.
    result<void> unsubscribe() noexcept {
        if (detail::exchange(ended_, true)) return not_subscribed();
        if (!who_->end(false)) return detail::failure_at(name(), code::closed);
        return {};
    }
    /// Takes nothing more, handles what is queued, and gives its account once all of that has ended
    /// and its handler is destroyed. Not to be awaited by its own handler, which it would wait for.
    /// Errors     as unsubscribe(); cancelled: it goes on without being awaited.
    template <typename Account = account>
    [[nodiscard]] task<result<Account>> finish() {
        if (detail::exchange(ended_, true)) return refuse<Account>(not_subscribed());
        static_cast<void>(who_->end(true));
        return wait_for<Account>(core_, hold(*who_));
    }
    /// It lasts until the bus ends. This is of nothing then.
    void keep() noexcept {
        ended_ = true;
        if (who_) detail::exchange(who_, nullptr)->let_go();
        core_.reset();
    }

    /// All zero, if it is of nothing.
    account counts() const { return who_ ? who_->endpoint().counts() : account(); }
    std::string_view name() const noexcept {
        return who_ ? std::string_view(who_->name()) : std::string_view();
    }
    std::string_view pattern() const noexcept {
        return who_ ? std::string_view(who_->pattern()) : std::string_view();
    }

private:
    friend class bus;
    // Takes over a hold.
    subscription(std::shared_ptr<bus_core> core, subscriber& who) noexcept
        : core_(std::move(core)), who_(&who), ended_(false) {}

    class hold {
    public:
        explicit hold(subscriber& s) noexcept : who(&s) { s.hold_once(); }
        hold(hold&& o) noexcept : who(detail::exchange(o.who, nullptr)) {}
        ~hold() {
            if (who) who->let_go();
        }
        subscriber* who;
    };
    // Templates: g++ makes code of a coroutine that is none wherever this is included.
    template <typename Account>
    static task<result<Account>> wait_for(std::shared_ptr<bus_core> core, hold held) {
        static_cast<void>(core);  // it lives as long as this
        auto done = co_await held.who->retired().wait();
        if (!done) co_return std::move(done).error();
        co_return held.who->endpoint().counts(true);
    }
    template <typename Account>
    static task<result<Account>> refuse(failure why) {
        co_return why;
    }
    failure not_subscribed() const noexcept {
        const detail::literal why = who_ ? detail::literal("it has unsubscribed already")
                                         : detail::literal("there is no subscription");
        return detail::failure_at(name(), code::rejected, effect::none, why);
    }

    std::shared_ptr<bus_core> core_;  // goes after who_
    subscriber* who_ = nullptr;
    bool ended_ = true;
};

}  // namespace posthaste
