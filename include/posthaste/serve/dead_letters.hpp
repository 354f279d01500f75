// Where messages end that nobody could handle.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/failure.hpp>
#include <posthaste/base/result.hpp>
#include <posthaste/detail/fixed_array.hpp>
#include <posthaste/detail/make_shared.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/detail/shared_list.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/shared_message.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace posthaste {

/// Where a dead letter came from, and may go once more.
class takes_letters {
public:
    /// True: the envelope was taken over, as a new message.
    virtual result<void> take_again(envelope& e) noexcept = 0;

protected:
    ~takes_letters() = default;
};

/// A message that was accepted and not handled, and why.
class dead_letter {
public:
    /// Which of all that there have been, from 1.
    std::uint64_t number() const noexcept { return number_; }
    /// The endpoint it was for.
    const std::string& endpoint() const noexcept { return endpoint_; }
    /// The name of its type.
    std::string_view type() const noexcept { return type_->name; }
    const failure& reason() const noexcept { return reason_; }
    unsigned attempts() const noexcept { return attempts_; }
    time_point since() const noexcept { return since_; }
    /// When its message was accepted, where its endpoint delivers at least once; else since().
    time_point first_seen() const noexcept { return first_seen_; }
    /// What its handler said the last time; nullptr if it never ran.
    const failure* last_error() const noexcept {
        if (last_error_) return &*last_error_;
        return reason_.effect() == effect::none ? nullptr : &reason_;
    }

    /// The message; nullptr if it is no M, was requeued, or was moved into a handler that then
    /// failed: a handler that takes `const M&` leaves it intact.
    template <typename M>
    const M* get() const noexcept {
        if (!envelope_ || !intact_ || type_ != &detail::type_of<M>) return nullptr;
        return envelope_->kind->shared ? &envelope_->as<const M>() : &envelope_->as<M>();
    }

private:
    friend class dead_letters;
    friend detail::shared_list<dead_letter>;
    struct destroyer {
        void operator()(envelope* e) const noexcept { e->destroy(); }
    };
    using content = detail::owned<envelope, destroyer>;

    dead_letter(content e, std::string_view endpoint, takes_letters* from, failure reason,
                time_point since, bool intact)
        : endpoint_(endpoint),
          from_(from),
          reason_(std::move(reason)),
          since_(since),
          first_seen_(since),
          type_(&e->type()),
          envelope_(std::move(e)),
          attempts_(envelope_->attempt()),
          intact_(intact) {
        if (const auto* tracked = envelope_->tracked()) {
            first_seen_ = tracked->since;
            last_error_ = tracked->last;
        }
    }

    std::uint64_t number_ = 0;
    std::string endpoint_;
    takes_letters* from_;  // guarded by the dead_letters' mutex; nullptr: it is gone
    failure reason_;
    time_point since_;
    time_point first_seen_;
    std::optional<failure> last_error_;
    const detail::message_type* type_;
    content envelope_;
    unsigned attempts_;
    bool intact_;
    std::shared_ptr<dead_letter> next_;  // of those that are kept
};

/// Keeps the latest dead letters of a bus, until it is destroyed, and tells somebody of each.
///
/// Threads    any; the hook runs on whatever thread gives the message up, perhaps on several at
///            once.
class dead_letters {
    using shared_letter = std::shared_ptr<dead_letter>;

public:
    using hook = std::function<void(const dead_letter&)>;

    explicit dead_letters(std::size_t capacity = 1024) : capacity_(capacity) {}
    dead_letters(const dead_letters&) = delete;

    /// Called for each dead letter, before it is kept. What it throws is dropped, and counted.
    void on_letter(hook h) {
        auto shared = detail::make_shared<const hook>(std::move(h));
        const std::lock_guard guard(mutex_);
        hook_ = std::move(shared);
    }

    /// Looks at each letter that is kept now, the oldest first; requeue() and clear() may be called
    /// meanwhile. One thread at a time looks, requeues, or ends a subscriber: `f` must not wait for
    /// another such, or for whoever publishes or unsubscribes.
    template <typename F>
    void for_each(F f) const {
        const std::lock_guard looking(looking_);
        for (const shared_letter& l : all()) f(*l);
    }

    /// Sends a message to its endpoint once more, as a new one whose attempts count from 1; when it
    /// was first seen is kept. The letter is not kept any longer.
    ///
    /// Errors     rejected: no letter of that number is kept any more, or its message was moved
    ///            into the handler. overloaded, closed: refused by the endpoint; no_handler: that
    ///            has gone. The letter stays.
    result<void> requeue(std::uint64_t number) noexcept {
        const std::lock_guard looking(looking_);
        const shared_letter letter = kept(number);
        if (!letter)
            return failure::because(code::rejected, effect::none,
                                    "that letter is not kept any more");
        if (auto done = send_again(*letter); !done) return done;
        forget(number);
        return {};
    }
    result<void> requeue(const dead_letter& l) noexcept { return requeue(l.number()); }

    /// Those of which `which(const dead_letter&)` is true, as far as their endpoints accept them.
    /// Gives how many were.
    template <typename Which>
    std::size_t requeue_if(Which which) {
        std::size_t accepted = 0;
        for_each([&](const dead_letter& l) {
            if (which(l)) accepted += requeue(l).has_value();
        });
        return accepted;
    }

    std::size_t size() const {
        const std::lock_guard guard(mutex_);
        return kept_.size();
    }
    /// All there have been, also those that gave way to newer ones or found no memory.
    std::uint64_t total() const {
        const std::lock_guard guard(mutex_);
        return total_;
    }
    std::uint64_t hook_failures() const {
        const std::lock_guard guard(mutex_);
        return hook_failures_;
    }
    void clear() noexcept {
        detail::shared_list<dead_letter> gone;  // destroyed after the lock is given back
        const std::lock_guard guard(mutex_);
        gone.append(kept_);
    }

    // --- for endpoints ---

    /// Takes the envelope over, which may be requeued to `from`. Without memory it is only counted.
    void put(envelope& e, std::string_view endpoint, takes_letters* from, failure reason,
             time_point now, bool intact) noexcept {
        dead_letter::content content(&e);
        shared_letter made, gone;  // destroyed after the lock is given back
        detail::guarded(
            [&] {
                made.reset(new dead_letter(std::move(content), endpoint, from, std::move(reason),
                                           now, intact));
            },
            [](const std::exception_ptr&) {});
        {
            const std::lock_guard guard(mutex_);
            ++total_;
            if (made) made->number_ = total_;
        }
        if (!made) return;
        tell(*made);
        const std::lock_guard guard(mutex_);
        if (ended_) return;
        kept_.add(std::move(made));
        if (kept_.size() > capacity_) gone = kept_.take([](dead_letter&) { return true; });
    }

    /// An endpoint goes.
    void forget(const takes_letters& from) noexcept {
        const std::lock_guard looking(looking_);
        const std::lock_guard guard(mutex_);
        kept_.for_each([&](const shared_letter& l) {
            if (l->from_ == &from) l->from_ = nullptr;
        });
    }

    /// The bus is gone: what is here may hold clients of it, and so the bus itself. Nothing is kept
    /// any more.
    void end() noexcept {
        std::shared_ptr<const hook> gone;
        {
            const std::lock_guard guard(mutex_);
            gone.swap(hook_);
            ended_ = true;
        }
        clear();
    }

private:
    detail::fixed_array<shared_letter> all() const {
        const std::lock_guard guard(mutex_);
        detail::fixed_array<shared_letter> all(kept_.size());
        shared_letter* to = all.begin();
        kept_.for_each([&](const shared_letter& l) { *to++ = l; });
        return all;
    }
    shared_letter kept(std::uint64_t number) noexcept {
        const std::lock_guard guard(mutex_);
        return kept_.get([&](const dead_letter& l) { return l.number_ == number; });
    }
    void forget(std::uint64_t number) noexcept {
        shared_letter gone;  // destroyed after the lock is given back
        const std::lock_guard guard(mutex_);
        gone = kept_.take([&](const dead_letter& l) { return l.number_ == number; });
    }
    static result<void> send_again(dead_letter& l) noexcept {
        if (!l.envelope_ || !l.intact_)
            return failure::because(
                code::rejected, effect::none,
                "its message was moved into the handler; one that takes const M& leaves it whole");
        if (!l.from_)
            return failure::because(code::no_handler, effect::none, "its endpoint has gone");
        envelope& e = *l.envelope_.release();
        if (e.is_tracked || e.track(l.first_seen_)) {  // without memory it is as seen later
            e.tracked()->attempt = 1;
            if (const failure* const last = l.last_error())
                detail::guarded([&] { e.tracked()->note(*last); },
                                [](const std::exception_ptr&) {});
        }
        auto done = l.from_->take_again(e);
        if (!done) l.envelope_.reset(&e);
        return done;
    }
    void tell(const dead_letter& letter) noexcept {
        std::shared_ptr<const hook> h;
        {
            const std::lock_guard guard(mutex_);
            h = hook_;
        }
        if (!h || !*h) return;
        detail::guarded([&] { (*h)(letter); },
                        [&](const std::exception_ptr&) {
                            const std::lock_guard guard(mutex_);
                            ++hook_failures_;
                        });
    }

    mutable std::recursive_mutex looking_;  // before mutex_: held while letters are looked at
    mutable std::mutex mutex_;  // guards all below
    detail::shared_list<dead_letter> kept_;
    std::shared_ptr<const hook> hook_;
    std::size_t capacity_;
    std::uint64_t total_ = 0;
    std::uint64_t hook_failures_ = 0;
    bool ended_ = false;
};

}  // namespace posthaste
