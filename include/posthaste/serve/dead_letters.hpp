// Where messages end that nobody could handle.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/failure.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/redelivery.hpp>
#include <posthaste/serve/shared_message.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthaste {

/// A message that was accepted and not handled, and why.
class dead_letter {
public:
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

    /// The message; nullptr if it is no M, or was moved into a handler that then failed: a handler
    /// that takes `const M&` leaves it intact.
    template <typename M>
    const M* get() const noexcept {
        if (!envelope_ || !intact_ || type_ != &detail::type_of<M>) return nullptr;
        return envelope_->kind->shared ? &envelope_->as<const M>() : &envelope_->as<M>();
    }

private:
    friend class dead_letters;
    struct destroyer {
        // The sender of one that waited for room may still look at it: then it goes with him.
        void operator()(envelope* e) const noexcept {
            if (!e->call() || e->call()->cell.handler_leaves()) e->destroy();
        }
    };
    using content = std::unique_ptr<envelope, destroyer>;

    dead_letter(content e, std::string_view endpoint, failure reason, time_point since, bool intact)
        : endpoint_(endpoint),
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

    std::string endpoint_;
    failure reason_;
    time_point since_;
    time_point first_seen_;
    std::optional<failure> last_error_;
    const detail::message_type* type_;
    content envelope_;
    unsigned attempts_;
    bool intact_;
};

/// Keeps the latest dead letters of a bus, until it is destroyed, and tells somebody of each.
///
/// Threads    any; the hook runs on whatever thread gives the message up, perhaps on several at
///            once.
class dead_letters {
    using shared_letter = std::shared_ptr<const dead_letter>;

public:
    using hook = std::function<void(const dead_letter&)>;

    explicit dead_letters(std::size_t capacity = 1024) : capacity_(capacity) {}
    dead_letters(const dead_letters&) = delete;

    /// Called for each dead letter, before it is kept. What it throws is dropped, and counted.
    void on_letter(hook h) {
        auto shared = std::make_shared<const hook>(std::move(h));
        const std::lock_guard guard(mutex_);
        hook_ = std::move(shared);
    }

    /// Looks at each letter that is kept now, the oldest first.
    template <typename F>
    void for_each(F f) const {
        std::vector<shared_letter> all;
        {
            const std::lock_guard guard(mutex_);
            all.assign(kept_.begin(), kept_.end());
        }
        for (const shared_letter& l : all) f(*l);
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
        std::list<shared_letter> gone;  // destroyed after the lock is given back
        const std::lock_guard guard(mutex_);
        gone.swap(kept_);
    }

    // --- for endpoints ---

    /// Takes the envelope over. Without memory it is only counted.
    void put(envelope& e, std::string_view endpoint, failure reason, time_point now,
             bool intact) noexcept {
        dead_letter::content content(&e);
        std::list<shared_letter> letter, gone;  // destroyed after the lock is given back
        detail::guarded(
            [&] {
                shared_letter made(
                    new dead_letter(std::move(content), endpoint, std::move(reason), now, intact));
                letter.push_back(std::move(made));
            },
            [](const std::exception_ptr&) {});
        if (!letter.empty()) tell(*letter.front());
        const std::lock_guard guard(mutex_);
        ++total_;
        kept_.splice(kept_.end(), letter);
        if (kept_.size() > capacity_) gone.splice(gone.end(), kept_, kept_.begin());
    }

    /// The bus is gone: what is here may hold clients of it, and so the bus itself.
    void end() noexcept {
        std::shared_ptr<const hook> gone;
        {
            const std::lock_guard guard(mutex_);
            gone.swap(hook_);
        }
        clear();
    }

private:
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

    mutable std::mutex mutex_;  // guards all below
    std::list<shared_letter> kept_;
    std::shared_ptr<const hook> hook_;
    std::size_t capacity_;
    std::uint64_t total_ = 0;
    std::uint64_t hook_failures_ = 0;
};

}  // namespace posthaste
