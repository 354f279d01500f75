// One request, and nothing between it and its caller.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/call.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/message.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace posthaste::detail {

/// The endpoint, if it is at the caller's home, and how it handles the message, if its handler can
/// neither stand still nor be asked to stop.
struct way_at_once {
    POSTHASTE_ALWAYS_INLINE way_at_once(const address& address, const message_type& type,
                                        const frame& f, bool may_be_watched) noexcept
        : to(address.endpoint.made()) {
        if (!to || f.at != static_cast<home*>(&to->home())) return;
        const handler_entry* const entry = to->find(type);
        if (!entry || !entry->at_once) return;
        watched = to->is_watched();
        if (watched && !may_be_watched) return;
        if (address.shut() || f.under->stop_requested()) return;
        if (!f.under->over()) how = entry;
    }
    endpoint_core* const to;
    bool watched = false;
    const handler_entry* how = nullptr;  // nullptr: it is to go another way
};
/// Not `answered`: nothing has happened. `watched`: it might be by answer_watched().
POSTHASTE_NOINLINE inline endpoint_core::at_once answer_at_once(const address& to,
                                                                const message_type& type,
                                                                const frame& f, void* message,
                                                                void* answer) noexcept {
    using at_once = endpoint_core::at_once;
    const way_at_once way(to, type, f, false);
    if (!way.how) return way.watched ? at_once::watched : at_once::no;
    return way.to->answer_at_once(*way.how, message, answer) ? at_once::answered : at_once::no;
}
/// The same where somebody may take the caller elsewhere meanwhile.
POSTHASTE_NOINLINE inline endpoint_core::at_once answer_watched(const address& to,
                                                                const message_type& type,
                                                                const frame& f, void* message,
                                                                void* answer,
                                                                watched_call& by) noexcept {
    const way_at_once way(to, type, f, true);
    return way.how ? way.to->answer_watched(*way.how, message, answer, by)
                   : endpoint_core::at_once::no;
}

/// One request, and nothing between it and its caller.
///
/// At once, if it can be: if the endpoint is idle, and its handler can neither stand still nor be
/// asked to stop, all is over when it has run. So it needs no envelope, no queue, no clock, and no
/// way to be given up; but on a pool somebody watches whether it blocks, and takes the caller
/// elsewhere when its time is over. Otherwise by a call_site.
///
/// Threads    one at a time: whoever moves the call on.
template <typename M>
class direct_call {
    using reply = reply_t<M>;
    // Stays in the caller's frame until it is known where it goes. What is larger would only be
    // moved about, and the frame grow by it.
    static constexpr bool small = sizeof(boxed<M>) + sizeof(result<reply>) <= 256;
    struct never_here {
        M& value;
    };
    using place = std::conditional_t<small, boxed<M>, never_here>;
    using answered_here = std::conditional_t<small, result<reply>, bool>;

public:
    /// Builds the message. If that throws, or there is no memory for it, it will be refused.
    template <typename... Args>
    direct_call(const address& to, duration allowance, std::in_place_t, Args&&... args) noexcept
        : to_(to), allowance_(allowance) {
        if constexpr (small) {
            guarded([&] { message_.emplace(std::in_place, std::forward<Args>(args)...); },
                    [](const std::exception_ptr&) {});
        } else {
            envelope_ = make_or_not<called<M>>(std::forward<Args>(args)...);
        }
    }
    /// Of a message in its envelope; nullptr: there was no memory for it, it will be refused.
    direct_call(const address& to, called<M>* e, duration allowance) noexcept
        : to_(to), allowance_(allowance), envelope_(e) {}
    direct_call(direct_call&& not_yet) noexcept
        : to_(not_yet.to_),
          allowance_(not_yet.allowance_),
          envelope_(std::exchange(not_yet.envelope_, nullptr)),
          message_(std::move(not_yet.message_)) {}
    ~direct_call() {
        if (stage_ == stage::not_begun && envelope_) envelope_->destroy();
        if (answered()) std::destroy_at(&answer_);
    }

    const address& to() const noexcept { return to_; }
    /// What the handler is to know the message by, if that was decided.
    message_id known_by() const noexcept { return envelope_ ? envelope_->id : message_id(); }

    /// Before begin().
    void allow(duration allowance) noexcept { allowance_ = allowance; }
    /// The same: the message; nullptr: there is none.
    const M* message() const noexcept {
        if (message_) return std::addressof(message_->value);
        return envelope_ ? &envelope_->box.value : nullptr;
    }
    /// The same, once it is to be in an envelope; nullptr: no memory.
    called<M>* call() noexcept {
        if (message_) {
            envelope_ = make_or_not<called<M>>(std::move(message_->value));
            message_.reset();
        }
        return envelope_;
    }
    /// The same, but a policy has held it back.
    void held_back() noexcept {
        using enum request::at_once;
        if (envelope_ && envelope_->handled_at_once == unless_held_back)
            envelope_->handled_at_once = barred;
    }
    /// The same, but then it is the caller's, and begin() will be refused.
    called<M>* give_away() noexcept {
        static_cast<void>(call());
        return std::exchange(envelope_, nullptr);
    }
    /// The same, and it is gone.
    void forget() noexcept {
        message_.reset();
        if (envelope_) std::exchange(envelope_, nullptr)->destroy();
    }

    /// True: the caller is suspended, and may have gone on elsewhere already.
    bool begin(frame& f) noexcept {
        at_once how = try_at_once(f);
        if (how == at_once::watched) how = answered_watched(f);
        return how == at_once::no ? go_elsewhere(f) : how == at_once::late;
    }
    /// As begin(), where nobody would take the caller elsewhere; if it is not over at once, nothing
    /// has happened.
    bool answered_at_once(const frame& f) noexcept { return try_at_once(f) == at_once::answered; }
    bool answered() const noexcept { return small && stage_ == stage::answered; }

    /// end() and take() in one.
    result<reply> finish() noexcept {
        if constexpr (small) {
            if (answered()) return std::move(answer_);
        }
        return finish_elsewhere();
    }
    /// Once, at the caller's: is there a value to take()?
    bool end() noexcept { return answered() ? static_cast<bool>(answer_) : end_elsewhere(); }
    /// Then, once. `known_by`: gets what the handler knew the message by, if it was begun, and
    /// could ask for it.
    result<reply> take(message_id* known_by = nullptr) noexcept {
        if constexpr (small) {
            if (answered()) return std::move(answer_);
        }
        return come_back(known_by);
    }

private:
    enum class stage : unsigned char { not_begun, answered, cut_off, elsewhere };
    using at_once = endpoint_core::at_once;

    at_once try_at_once(const frame& f) noexcept {
        if (!message_ || allowance_ <= duration::zero()) return at_once::no;
        const at_once how =
            answer_at_once(to_, type_of<M>, f, std::addressof(message_->value), &answer_);
        if (how == at_once::answered) {
            message_.reset();
            stage_ = stage::answered;
        }
        return how;
    }
    // The message and the answer are not a part of the caller, who may be gone before the handler's
    // end.
    struct on_the_stack : watched_call {
        direct_call& of;
        frame& caller;
        std::optional<M> message;
        union {
            result<reply> answer;  // once the handler has ended
        };
        on_the_stack(direct_call& d, frame& f, M&& m) noexcept
            : of(d), caller(f), message(std::move(m)) {
            allowance = d.allowance_;
            deadline = f.under->deadline();
            expire = [](inline_call& c) noexcept {
                on_the_stack& self = static_cast<on_the_stack&>(c);
                self.of.stage_ = stage::cut_off;
                self.of.kept_ = self.of.to_.owner.lock();
                self.caller.wake();
                return true;
            };
            drop = [](watched_call& c) noexcept {
                on_the_stack& self = static_cast<on_the_stack&>(c);
                self.message.reset();
                std::destroy_at(&self.answer);
            };
        }
        ~on_the_stack() {}
    };
    POSTHASTE_NOINLINE at_once answered_watched(frame& f) noexcept {
        if constexpr (small) {
            on_the_stack call(*this, f, std::move(message_->value));
            const at_once how = answer_watched(to_, type_of<M>, f, std::addressof(*call.message),
                                               &call.answer, call);
            if (how == at_once::no) {
                message_.emplace(std::in_place, *std::move(call.message));
            } else if (how == at_once::answered) {
                message_.reset();
                std::construct_at(&answer_, std::move(call.answer));
                stage_ = stage::answered;
                call.drop(call);
            }
            return how;
        } else {
            return at_once::no;
        }
    }
    POSTHASTE_NOINLINE bool go_elsewhere(frame& f) noexcept {
        called<M>* const e = call();
        stage_ = stage::elsewhere;
        return site_.emplace(to_, e, e, allowance_).begin(f);
    }
    POSTHASTE_NOINLINE result<reply> finish_elsewhere() noexcept {
        end_elsewhere();
        return come_back(nullptr);
    }
    bool end_elsewhere() noexcept {
        if (stage_ == stage::cut_off) return false;
        ended_ = site_->end();
        return ended_ && *envelope_->answer;
    }
    result<reply> come_back(message_id* known_by) noexcept {
        if (stage_ == stage::cut_off)
            return failure_at(to_.name, code::deadline_exceeded, effect::unknown,
                              "the handler was running");
        if (known_by) {
            if (const message_id id = site_->id()) *known_by = id;
        }
        result<reply> r = ended_ ? *std::move(envelope_->answer) : result<reply>(site_->why());
        site_->leave();
        return r;
    }

    const address& to_;
    duration allowance_;
    called<M>* envelope_ = nullptr;
    std::optional<place> message_;
    stage stage_ = stage::not_begun;
    bool ended_ = false;  // elsewhere, and there is an answer in the envelope
    union {
        answered_here answer_;  // if it was answered at once
    };
    std::optional<call_site> site_;
    std::shared_ptr<const void> kept_;  // what to_ is a part of, if it was cut off
};

}  // namespace posthaste::detail
