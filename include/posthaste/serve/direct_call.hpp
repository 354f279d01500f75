// One request, and nothing between it and its caller.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: the ways a call may go, from one to the next, in one piece.

#include <posthaste/base/result.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/call.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/message.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace posthaste::detail {

POSTHASTE_NOINLINE inline endpoint_core* make_endpoint_of(const address& to,
                                                          const message_type& type) noexcept {
    return to.find(type).to;
}
/// How the endpoint handles such a message, if it is at the caller's home and nothing speaks
/// against that it begins at once; else nullptr.
POSTHASTE_ALWAYS_INLINE const handler_entry* way_at_once(const address& to,
                                                         const message_type& type,
                                                         const frame& f) noexcept {
    endpoint_core* at = to.endpoint.made();
    if (!at) at = make_endpoint_of(to, type);
    if (!at) return nullptr;
    if (f.at != static_cast<home*>(&at->home())) return at->fetch_mailbox(), nullptr;
    const handler_entry* const how = at->find(type);
    if (!how || to.shut() || f.under->stop_requested() || f.under->over()) return nullptr;
    return how->begin ? how : nullptr;
}
POSTHASTE_NOINLINE inline const handler_entry* way_in_envelope(const address& to,
                                                               const message_type& type,
                                                               const frame& f) noexcept {
    return way_at_once(to, type, f);
}
/// What became of a call that might be answered at once. Not `answered`: nothing has happened.
/// `watched`: it might be by answer_watched().
struct tried {
    endpoint_core::at_once what = endpoint_core::at_once::no;
    const handler_entry* how = nullptr;  ///< nullptr: it cannot begin at once
};
/// `failed`: a bus_keeper, or nothing.
template <typename... Failed>
POSTHASTE_NOINLINE tried answer_at_once(const address& to, const message_type& type, const frame& f,
                                        void* message, void* answer, Failed&... failed) noexcept {
    using enum endpoint_core::at_once;
    const handler_entry* const how = way_at_once(to, type, f);
    if (!how || !how->at_once) return {no, how};
    endpoint_core& at = *to.endpoint.made();
    if (at.is_watched()) return {at.has_queued() ? no : watched, how};
    return {at.answer_at_once(*how, message, answer, &failed...) ? answered : no, how};
}

/// One request, and nothing between it and its caller.
///
/// At once, if it can be: if the endpoint is idle, and its handler can neither stand still nor be
/// asked to stop, all is over when it has run. So it needs no envelope, no queue, no clock, and no
/// way to be given up; but on a pool somebody watches whether it blocks, and takes the caller
/// elsewhere when its time is over. A handler that can stand still has the message in an envelope;
/// if it ends without, it needs nothing else. Otherwise by a call_site.
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
        : to_(not_yet.to_), allowance_(not_yet.allowance_), envelope_(not_yet.envelope_) {
        if constexpr (small) {  // piece by piece: they were written so a moment ago
            if (not_yet.message_)
                message_.emplace(std::in_place, std::move(not_yet.message_->value));
        }
        not_yet.stage_ = stage::left;
    }
    ~direct_call() {
        if (answered()) std::destroy_at(&answer_);
        else if (stage_ != stage::left) clear();
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
        return detail::exchange(envelope_, nullptr);
    }
    /// The same, and it is gone.
    void forget() noexcept {
        message_.reset();
        if (envelope_) detail::exchange(envelope_, nullptr)->destroy();
    }

    /// True: the caller is suspended, and may have gone on elsewhere already.
    POSTHASTE_ALWAYS_INLINE bool begin(frame& f) noexcept {
        const tried t = try_at_once(f);
        return t.what != at_once::answered && go_on(f, t);
    }
    /// As begin(), where nobody would take the caller elsewhere; if it is not over at once, nothing
    /// has happened. `failed` keeps the bus where the answer is a failure.
    bool answered_at_once(const frame& f, bus_keeper& failed) noexcept {
        return try_at_once(f, failed).what == at_once::answered;
    }
    bool answered() const noexcept { return small && stage_ == stage::answered; }
    /// nullptr: not answered().
    result<reply>* answer() noexcept {
        if constexpr (small) return answered() ? &answer_ : nullptr;
        else return nullptr;
    }

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
    enum class stage : unsigned char { not_begun, answered, enveloped, cut_off, elsewhere, left };
    using at_once = endpoint_core::at_once;

    template <typename... Failed>
    POSTHASTE_ALWAYS_INLINE tried try_at_once(const frame& f, Failed&... failed) noexcept {
        if (allowance_ <= duration::zero()) return {};
        if (!message_) return {at_once::no, way_in_envelope(to_, type_of<M>, f)};
        const tried t = answer_at_once(to_, type_of<M>, f, std::addressof(message_->value),
                                       &answer_, failed...);
        if (t.what == at_once::answered) {
            message_.reset();
            stage_ = stage::answered;
        }
        return t;
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
                std::construct_at(&self.of.kept_, self.of.to_.owner.lock());
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
    POSTHASTE_NOINLINE at_once answered_watched(frame& f, const handler_entry& how) noexcept {
        if constexpr (small) {
            on_the_stack call(*this, f, std::move(message_->value));
            const at_once what = to_.endpoint.made()->answer_watched(
                how, std::addressof(*call.message), &call.answer, call);
            if (what == at_once::no) {
                message_.emplace(std::in_place, *std::move(call.message));
            } else if (what == at_once::answered) {
                message_.reset();
                std::construct_at(&answer_, std::move(call.answer));
                stage_ = stage::answered;
                call.drop(call);
            }
            return what;
        } else {
            return at_once::no;
        }
    }
    // The envelope is the caller's and the handler's: who is taken elsewhere finds it there.
    struct below : caller_below {
        direct_call& of;
        endpoint_core& at;
        below(direct_call& d, endpoint_core& to) noexcept
            : caller_below(d.to_.owner), of(d), at(to) {
            expire = [](inline_call& c) noexcept {
                below& self = static_cast<below&>(c);
                called<M>& e = *self.of.envelope_;
                frame& caller = *e.caller;
                e.deadline = c.deadline;  // says how late the reply will be
                if (!e.cell.settle(ending::expired).won) return false;
                self.of.stand(self.at, self.bus.lock());
                caller.wake();
                return true;
            };
        }
    };
    POSTHASTE_NOINLINE bool go_on(frame& f, tried t) noexcept {
        if (t.what == at_once::watched) {
            const at_once what = answered_watched(f, *t.how);
            if (what != at_once::no) return what == at_once::late;
        }
        called<M>* const e = call();
        if (!t.how || !e) return go_elsewhere(f);
        endpoint_core& to = *to_.endpoint.made();
        e->how = t.how;
        if (to.has_queued()) return queue_up(f, to);
        return begin_below(f, to);
    }
    POSTHASTE_NOINLINE bool begin_below(frame& f, endpoint_core& to) noexcept {
        called<M>* const e = envelope_;
        below here(*this, to);
        switch (call_site::begin_at_once(to, *e, *e, here, f, allowance_)) {
            case call_site::beginning::no: return queue_up(f, to);
            case call_site::beginning::answered: return stage_ = stage::enveloped, false;
            case call_site::beginning::gone: return true;
            case call_site::beginning::stands: break;
        }
        stand(to, std::move(here.kept));
        return site_.go_on_standing(f);
    }
    void stand(endpoint_core& at, std::shared_ptr<const void> kept) noexcept {
        stage_ = stage::elsewhere;
        std::construct_at(&site_, to_, at, *envelope_, *envelope_, allowance_, std::move(kept));
    }
    bool queue_up(frame& f, endpoint_core& to) noexcept {
        called<M>* const e = envelope_;
        stage_ = stage::elsewhere;
        return std::construct_at(&site_, to_, to, *e, *e, allowance_)->go_on_to(f);
    }
    POSTHASTE_NOINLINE bool go_elsewhere(frame& f) noexcept {
        called<M>* const e = envelope_;
        stage_ = stage::elsewhere;
        return std::construct_at(&site_, to_, e, e, allowance_)->begin(f);
    }
    POSTHASTE_NOINLINE result<reply> finish_elsewhere() noexcept {
        if (stage_ == stage::enveloped) [[likely]]
            return unwrap(nullptr);
        if (stage_ != stage::elsewhere) return come_back(nullptr);
        fetch_answer();
        ended_ = site_.end();
        if (!ended_) return come_back(nullptr);
        called<M>* const e = envelope_;
        result<reply> r = *std::move(e->answer);
        if (site_.leave_to_be_destroyed()) destroy(e);
        std::destroy_at(&site_);
        stage_ = stage::left;
        return r;
    }
    bool end_elsewhere() noexcept {
        if (stage_ == stage::cut_off) return false;
        if (stage_ == stage::enveloped) return static_cast<bool>(*envelope_->answer);
        fetch_answer();
        ended_ = site_.end();
        return ended_ && *envelope_->answer;
    }
    // From whoever answered elsewhere; what might have ended the call is disarmed meanwhile.
    POSTHASTE_ALWAYS_INLINE void fetch_answer() const noexcept {
        if (!envelope_) return;
        constexpr std::size_t most = 7 * cache_line;
        const auto* const from = reinterpret_cast<const std::byte*>(envelope_);
        for (std::size_t at = 0; at < std::min(sizeof(called<M>), most); at += cache_line)
            prefetch(from + at);
    }
    result<reply> come_back(message_id* known_by) noexcept {
        if (stage_ == stage::cut_off)
            return failure_at(to_.name, code::deadline_exceeded, effect::unknown,
                              "the handler was running");
        if (stage_ == stage::enveloped) return unwrap(known_by);
        if (known_by) {
            if (const message_id id = site_.id()) *known_by = id;
        }
        result<reply> r = ended_ ? *std::move(envelope_->answer) : result<reply>(site_.why());
        site_.leave();
        return r;
    }
    POSTHASTE_ALWAYS_INLINE result<reply> unwrap(message_id* known_by) noexcept {
        if (known_by) *known_by = envelope_->id;
        result<reply> r = *std::move(envelope_->answer);
        discard();
        return r;
    }
    void discard() noexcept {
        stage_ = stage::left;
        destroy(envelope_);
    }
    static void destroy(called<M>* e) noexcept {
        std::destroy_at(e);
        deallocate(e, sizeof(called<M>));
    }
    POSTHASTE_NOINLINE void clear() noexcept {
        if (stage_ == stage::elsewhere) std::destroy_at(&site_);
        else if (stage_ == stage::cut_off) std::destroy_at(&kept_);
        else if (envelope_) discard();
    }

    const address& to_;
    duration allowance_;
    called<M>* envelope_ = nullptr;
    std::optional<place> message_;
    stage stage_ = stage::not_begun;
    bool ended_ = false;  // elsewhere, and there is an answer in the envelope
    union {
        answered_here answer_;  // if it was answered with no envelope
        call_site site_;  // elsewhere
        std::shared_ptr<const void> kept_;  // what to_ is a part of, if it was cut off
    };
};

}  // namespace posthaste::detail
