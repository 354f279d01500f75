// A call that goes through its client's policies.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: the way in and the way out are told in one piece.

#include <posthaste/base/result.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/call.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/hedged_call.hpp>
#include <posthaste/serve/policy.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/sleep.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace posthaste {

/// Takes a call through the layers of its client: inwards, to the callee, and out again; from one
/// place to stand still to the next. It needs no coroutine: what the call and the pauses wake is a
/// node in here, and only when all is over the caller itself goes on.
///
/// It goes on   at the caller's home.
/// Threads      one at a time.
class guarded_call {
public:
    guarded_call(const address& to, const std::shared_ptr<const call_settings>& by,
                 bool idempotent) noexcept
        : to_(to), by_(by), idempotent_(idempotent) {}
    guarded_call(const guarded_call&) = delete;

    /// True: it stands still, and the caller will go on when it is over; *this may be gone already.
    POSTHASTE_NOINLINE bool begin(frame& caller) noexcept {
        caller_ = &caller;
        step_.at = caller.at;
        step_.under = caller.under;
        passage& p = passage_.emplace(*caller.at, idempotent_);
        p.under_ = caller.under;
        p.allowance = by_->deadline;
        return go(way::in, 0, nullptr);
    }
    /// The caller's frame is destroyed where it stands: gives back what the layers hold.
    void abandon() noexcept {
        for (std::size_t i = inside_; i != 0; --i) at(i - 1).abandon(slots_[i - 1]);
        inside_ = 0;
    }

protected:
    virtual ~guarded_call() = default;

    /// Begins an attempt, woken by `f`, which may take so long. True: it stands still, and *this
    /// may be gone already.
    virtual bool start(frame& f, duration allowance) noexcept = 0;
    /// Keeps the attempt's outcome: why it failed, or nullptr.
    virtual const failure* finish() noexcept = 0;
    /// The same, where a layer says it.
    virtual const failure* fail(failure why) noexcept = 0;
    virtual const failure* supply(layer& by) noexcept = 0;

    /// Where layers have let it go to.
    passage& at_hand() noexcept { return *passage_; }
    const address& to() const noexcept { return to_; }
    const call_settings& settings() const noexcept { return *by_; }
    /// Of the last attempt that had one: a later one does not undo it.
    effect had_effect() const noexcept { return effect_; }

private:
    enum class way : unsigned char { in, out };

    layer& at(std::size_t i) const noexcept { return *by_->layers[i]; }

    // From layer i on; outwards with `why`, or a value. True: it stands still; false: it is over.
    bool go(way to, std::size_t i, const failure* why) noexcept {
        passage& p = *passage_;
        for (;;) {
            if (to == way::out) {
                inside_ = i;
                if (i == 0) return false;
                --i;
                p.allowance =
                    entries_[i].until == forever ? forever : entries_[i].until - p.passed_;
                p.extra = entries_[i].extra;
                const verdict v = at(i).leave(p, slots_[i], why);
                if (!why) continue;
                if (v.what == verdict::kind::supply) why = supply(at(i));
                if (v.what != verdict::kind::again) continue;
                if (!allowed(v.after)) {
                    at(i).abandon(slots_[i]);
                    continue;
                }
                ++i;
                if (v.after > duration::zero()) return pause(v.after, i);
                time_passes();
                to = way::in;
            } else if (i == by_->layers.size()) {
                inside_ = i;
                if (start(step_, p.allowance)) return true;
                why = finished();
                to = way::out;
            } else {
                entries_[i] = {p.allowance == forever ? forever : p.allowance + p.passed_, p.extra};
                const verdict v = at(i).enter(p, slots_[i]);
                if (v.what == verdict::kind::refuse) {
                    why = fail(std::move(p.refusal()));
                    to = way::out;
                    continue;
                }
                ++i;
                if (v.what == verdict::kind::later && v.after > duration::zero())
                    return pause(v.after, i);
            }
        }
    }
    const failure* finished() noexcept {
        const failure* const why = finish();
        if (why && why->effect() != effect::none) effect_ = why->effect();
        return why;
    }
    bool allowed(duration after) noexcept {
        return !passage_->stopped() && std::max(after, duration::zero()) < passage_->time_left();
    }
    void time_passes() noexcept {
        passage& p = *passage_;
        const duration passed = p.since_begin(p.now());
        if (p.allowance != forever) p.allowance -= passed - p.passed_;
        p.passed_ = passed;
    }
    // Then inwards from `i`; if it is cancelled meanwhile or its time is over, outwards. It never
    // ends at once: a stop that was requested already is found in the next turn.
    bool pause(duration d, std::size_t i) noexcept {
        inside_ = i;
        if (!kept_) kept_ = to_.owner.lock();
        const duration left = passage_->time_left();
        late_ = left <= d;
        nap_.emplace(saturating_add(passage_->now(), std::min(d, left)), forever);
        if (!nap_->stand(step_)) step_.wake();
        return true;
    }
    void go_on() noexcept {
        frame& caller = *caller_;
        bool stands = false;
        if (nap_) {
            const bool slept = nap_->await_resume().has_value();
            nap_.reset();
            time_passes();
            if (slept && !late_) {
                stands = go(way::in, inside_, nullptr);
            } else {
                const bool late = std::exchange(late_, false) && slept;
                stands = go(way::out, inside_,
                            fail(late ? failure::because(code::deadline_exceeded, effect_,
                                                         "it was held back")
                                      : failure::because(code::cancelled, effect_,
                                                         "between two attempts")));
            }
        } else {
            stands = go(way::out, inside_, finished());
        }
        if (!stands) caller.run(caller);
    }

    struct node : frame {
        explicit node(guarded_call& c) noexcept : frame(nullptr), of(c) {
            run = [](work& w) noexcept { static_cast<node&>(static_cast<frame&>(w)).of.go_on(); };
        }
        guarded_call& of;
    };

    const address& to_;
    std::shared_ptr<const void> kept_;  // what to_ is a part of, once no attempt keeps it
    const std::shared_ptr<const call_settings> by_;
    const bool idempotent_;
    bool late_ = false;  // when the pause is over, so is its time
    effect effect_ = effect::none;  // of an attempt that had one
    frame* caller_ = nullptr;
    std::size_t inside_ = 0;  // so many layers it has to come out of
    node step_{*this};
    std::optional<passage> passage_;
    std::optional<detail::sleeping> nap_;
    struct entry {  // how a layer was entered, to be restored on the way out
        duration until;  // the allowance, from the beginning of the call
        extra_calls* extra;
    };
    std::array<entry, max_layers> entries_;
    std::array<layer::slot, max_layers> slots_;
};

namespace detail {

template <typename M>
inline constexpr bool idempotent = false;
template <typename M>
    requires requires {
        { M::idempotent } -> std::convertible_to<bool>;
    }
inline constexpr bool idempotent<M> = M::idempotent;

/// The requests that a client's policies make of one call. Lives in recycled memory.
template <typename M>
class attempts final : public guarded_call {
    using reply = reply_t<M>;
    static constexpr bool copies = std::is_copy_constructible_v<M>;
    struct none {};

public:
    attempts(const address& to, called<M>* e, const std::shared_ptr<const call_settings>& by)
        : guarded_call(to, by, idempotent<M>) {
        if constexpr (copies) {
            if (by->repeats) copy_.emplace(std::as_const(e->template as<M>()));
        }
        next_ = e;
        id_ = e->id;
    }
    ~attempts() {
        abandon();
        if (hedged_) hedged<M>::destroy(hedged_);
        if (next_) next_->destroy();
    }
    static void destroy(attempts* a) noexcept {
        std::destroy_at(a);
        deallocate(a);
    }

    result<reply> take() noexcept {
        if (!*outcome_ && outcome_->error().effect() == effect::none &&
            had_effect() != effect::none) {
            failure why = std::move(*outcome_).error();
            outcome_.emplace(std::move(why.effect(had_effect())));
        }
        return *std::move(outcome_);
    }

private:
    bool start(frame& f, duration allowance) noexcept override {
        called<M>* e = std::exchange(next_, nullptr);
        if constexpr (copies) {
            if (!e && copy_) {
                e = guarded([&] { return make_envelope<called<M>>(std::as_const(*copy_)); },
                            [](const std::exception_ptr&) -> called<M>* { return nullptr; });
            }
        }
        if (settings().hedge) {
            if (hedge(e)) return hedged_->begin(f, allowance);
            e = nullptr;
        }
        if (e) {
            e->id = id_;
            e->watch = settings().watch;
        }
        attempt_.emplace(to(), e, allowance);
        return attempt_->begin(f);
    }
    const failure* finish() noexcept override {
        if (hedged_) {
            outcome_.emplace(hedged_->take());
            hedged<M>::destroy(std::exchange(hedged_, nullptr));
            return why();
        }
        outcome_.emplace(attempt_->end(&id_));
        attempt_.reset();
        return why();
    }
    // Several requests instead of one; the first is e. False: no memory, and e is gone.
    POSTHASTE_NOINLINE bool hedge(called<M>* e) noexcept {
        if constexpr (copies) {
            void* const memory = e ? allocate(sizeof(hedged<M>)) : nullptr;
            if (memory)
                hedged_ = ::new (memory) hedged<M>(to(), e, *copy_, id_, settings(), at_hand());
        }
        if (!hedged_ && e) e->destroy();
        return hedged_;
    }
    const failure* fail(failure f) noexcept override {
        outcome_.emplace(std::move(add_to_path(f, to().name)));
        return why();
    }
    const failure* supply(layer& by) noexcept override {
        result<reply> given{failure(outcome_->error())};
        by.supply(&reply_key<reply>, outcome_->error(), &given);
        outcome_.emplace(std::move(given));
        return why();
    }
    const failure* why() const noexcept { return *outcome_ ? nullptr : &outcome_->error(); }

    called<M>* next_ = nullptr;  // what the next attempt sends; nullptr: another copy
    [[no_unique_address]] std::conditional_t<copies, std::optional<M>, none> copy_;
    message_id id_;  // the first attempt's that came so far
    hedged<M>* hedged_ = nullptr;  // instead of attempt_, where there may be several at once
    std::optional<direct_call<M>> attempt_;
    std::optional<result<reply>> outcome_;
};

}  // namespace detail

/// What client.call() gives: `co_await` it for a result<reply>.
///
/// Requires   when it is awaited, the bus or a client of it is still there.
template <typename M>
class [[nodiscard]] call_operation {
public:
    static constexpr bool keeps_home = true;
    call_operation(const address& to, detail::called<M>* e, duration allowance) noexcept
        : direct_(to, e, allowance) {}
    /// Through policies; without memory for that, it will be refused.
    call_operation(const address& to, detail::called<M>* e,
                   const std::shared_ptr<const call_settings>& by) noexcept
        : direct_(to, nullptr, forever) {
        if (!e) return;
        guard_ = detail::guarded(
            [&] { return detail::make_envelope<detail::attempts<M>>(to, e, by); },
            [](const std::exception_ptr&) -> detail::attempts<M>* { return nullptr; });
        if (!guard_) e->destroy();
    }
    call_operation(call_operation&& not_yet) noexcept
        : direct_(std::move(not_yet.direct_)), guard_(std::exchange(not_yet.guard_, nullptr)) {}
    ~call_operation() {
        if (guard_) detail::attempts<M>::destroy(guard_);
    }

    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        return begin(h.promise());
    }
    /// For those who have a frame, and no coroutine in it; false: it is over already.
    bool begin(frame& f) noexcept { return guard_ ? guard_->begin(f) : direct_.begin(f); }
    result<reply_t<M>> await_resume() noexcept { return guard_ ? guard_->take() : direct_.end(); }

private:
    detail::direct_call<M> direct_;
    detail::attempts<M>* guard_ = nullptr;
};

}  // namespace posthaste
