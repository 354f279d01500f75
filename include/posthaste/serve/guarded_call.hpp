// A call that goes through its client's policies.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: the way in and the way out are told in one piece.

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/maybe.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/crossing.hpp>
#include <posthaste/serve/direct_call.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/hedged_call.hpp>
#include <posthaste/serve/policy.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/sleep.hpp>

#include <algorithm>
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
    /// `so_far`: where it has got to without this.
    guarded_call(const address& to, const call_settings& by, frame& caller,
                 detail::crossing&& so_far) noexcept
        : to_(to), kept_(to.owner.lock()), by_(by), caller_(&caller), way_(std::move(so_far)) {
        step_.at = caller.at;
        step_.under = caller.under;
    }
    guarded_call(const guarded_call&) = delete;

    /// The caller's frame is destroyed where it stands: gives back what the layers hold.
    void abandon() noexcept { way_.abandon(by_); }

protected:
    virtual ~guarded_call() {}

    /// Goes on as the layer said that it is at, or with an attempt, if it has passed all. True: it
    /// stands still, and the caller will go on when it is over; *this may be gone already. False:
    /// it is over.
    POSTHASTE_NOINLINE bool advance(verdict v) noexcept {
        for (;;) {
            const failure* why = nullptr;
            if (v.what == verdict::kind::later) return pause(v.after, false);
            if (v.what == verdict::kind::refuse) {
                why = refused();
            } else {
                if (start(step_, at_hand().allowance, why)) return true;
                if (!why) return way_.come_out(by_), false;
                failed(*why);
            }
            const next n = come_out(why);
            if (n != next::inwards) return n == next::stands;
            v = way_.pass(by_);
        }
    }
    /// The same after an attempt that has failed at once.
    POSTHASTE_NOINLINE bool advance(const failure& why) noexcept {
        failed(why);
        const next n = come_out(&why);
        return n == next::inwards ? advance(way_.pass(by_)) : n == next::stands;
    }
    /// Outwards from an attempt, with a value.
    void come_all_out() noexcept { way_.come_all_out(by_); }

    /// Begins an attempt, woken by `f`, which may take so long. True: it stands still, and *this
    /// may be gone already. False: it is over, as by finish().
    virtual bool start(frame& f, duration allowance, const failure*& why) noexcept = 0;
    /// The attempt is over: nullptr if it has a value; else why it failed, which is kept.
    virtual const failure* finish() noexcept = 0;
    /// The same, where a layer says it.
    virtual const failure* fail(failure why) noexcept = 0;
    virtual const failure* supply(layer& by) noexcept = 0;

    /// What an attempt wakes.
    frame& step() noexcept { return step_; }
    /// Where layers have let it go to.
    passage& at_hand() noexcept { return way_.at_hand; }
    const address& to() const noexcept { return to_; }
    const call_settings& settings() const noexcept { return by_; }
    /// It stood still before this attempt, or an earlier one: whoever began it is not here.
    bool stood() const noexcept { return stood_; }
    /// Of the last attempt that had one: a later one does not undo it.
    effect had_effect() const noexcept { return effect_; }

private:
    enum class next : unsigned char { over, inwards, stands };

    POSTHASTE_NOINLINE const failure* refused() noexcept {
        const failure* const why = fail(std::move(at_hand().refusal()));
        at_hand().refusal_.reset();
        return why;
    }
    // Outwards with `why`; inwards: from where it is.
    POSTHASTE_NOINLINE next come_out(const failure* why) noexcept {
        for (std::size_t& inside = way_.inside; inside != 0; --inside) {
            if (!why) return way_.come_out(by_), next::over;
            layer& l = *by_.layers[inside - 1];
            detail::stage& s = way_.stages[inside - 1];
            way_.restore(s);
            const verdict v = l.leave(at_hand(), s.slot, why);
            if (v.what == verdict::kind::supply) why = supply(l);
            if (v.what != verdict::kind::again) continue;
            if (!allowed(v.after)) {
                l.abandon(s.slot);
                continue;
            }
            if (v.after > duration::zero()) return pause(v.after, true), next::stands;
            time_passes();
            return next::inwards;
        }
        return next::over;
    }
    POSTHASTE_NOINLINE void failed(const failure& why) noexcept {
        at_hand().read_clock();
        if (why.effect() != effect::none) effect_ = why.effect();
    }
    bool allowed(duration after) noexcept {
        return !at_hand().stopped() && std::max(after, duration::zero()) < at_hand().time_left();
    }
    void time_passes() noexcept {
        passage& p = at_hand();
        const duration passed = p.since_begin(p.now());
        if (p.allowance != forever) p.allowance -= passed - p.passed_;
        p.passed_ = passed;
    }
    // Then inwards; if it is cancelled meanwhile or its time is over, outwards. It never
    // ends at once: a stop that was requested already is found in the next turn.
    POSTHASTE_NOINLINE bool pause(duration d, bool repeats) noexcept {
        repeats_ = repeats;
        const duration left = at_hand().time_left();
        late_ = left <= d;
        nap_.emplace(saturating_add(at_hand().now(), std::min(d, left)), forever);
        if (!nap_->stand(step_)) step_.wake();
        return true;
    }
    void go_on() noexcept {
        frame& caller = *caller_;
        stood_ = true;
        at_hand().read_clock();
        next n = next::inwards;
        if (!nap_) {
            const failure* const why = finish();
            if (why) failed(*why);
            n = come_out(why);
        } else {
            const bool slept = nap_->await_resume().has_value();
            nap_.reset();
            time_passes();
            const bool late = detail::exchange(late_, false);
            if (!slept || late)
                n = come_out(fail(
                    failure::because(slept ? code::deadline_exceeded : code::cancelled, effect_,
                                     repeats_ ? detail::literal("between two attempts")
                                              : detail::literal("it was held back"))));
        }
        if (n == next::inwards ? !advance(way_.pass(by_)) : n == next::over) caller.run(caller);
    }

    struct node : frame {
        explicit node(guarded_call& c) noexcept : frame(nullptr), of(c) {
            run = [](work& w) noexcept { static_cast<node&>(static_cast<frame&>(w)).of.go_on(); };
        }
        guarded_call& of;
    };

    const address& to_;
    const std::shared_ptr<const void> kept_;  // what to_ is a part of; not every attempt keeps it
    const call_settings& by_;
    bool late_ = false;  // when the pause is over, so is its time
    bool repeats_ = false;  // the pause is between two attempts
    bool stood_ = false;
    effect effect_ = effect::none;  // of an attempt that had one
    frame* const caller_;
    node step_{*this};
    detail::crossing way_;
    detail::maybe<detail::sleeping> nap_;
};

namespace detail {

template <typename M>
inline constexpr bool idempotent = false;
template <typename M>
    requires requires {
        { M::idempotent } -> std::convertible_to<bool>;
        requires !std::is_lvalue_reference_v<decltype((M::idempotent))> ||  // an enumerator
                     requires {
                         { &M::idempotent } -> std::convertible_to<const void*>;  // static
                     };
    }
inline constexpr bool idempotent<M> = M::idempotent;

struct no_spare {};
/// A copy of a message, for further requests; of one that cannot be copied there are none.
template <typename M>
using spare = std::conditional_t<std::copy_constructible<M>, std::optional<M>, no_spare>;

template <typename M>
bool copied(const M& m, std::optional<M>& into) noexcept {
    return guarded([&] { return into.emplace(m), true; },
                   [](const std::exception_ptr&) { return false; });
}

/// The requests that a client's policies make of one call, unless the first is answered at once and
/// well, by a caller whom nobody would take elsewhere. Lives in recycled memory.
template <typename M>
class attempts final : public guarded_call {
    using reply = reply_t<M>;

public:
    /// `attempt`: the first one, and the place for all others; `copy`: of its message, if there may
    /// be others. `known_by`: the first one's.
    attempts(const address& to, const call_settings& by, frame& caller, crossing&& so_far,
             direct_call<M>& attempt, spare<M>&& copy, message_id known_by) noexcept
        : guarded_call(to, by, caller, std::move(so_far)),
          attempt_(&attempt),
          copy_(std::move(copy)),
          id_(known_by) {}
    ~attempts() {
        if (hedged_) hedged<M>::destroy(hedged_);
    }
    POSTHASTE_NOINLINE static void destroy(attempts* a) noexcept {
        a->abandon();
        std::destroy_at(a);
        deallocate(a);
    }

    /// Goes on as the layers said.
    bool begin(verdict v) noexcept {
        if (v.what != verdict::kind::pass || settings().watch || settings().hedge)
            return advance(v);
        // As advance() does, with nothing in between.
        began_ = true;
        attempt_->allow(at_hand().allowance);
        if (attempt_->begin(step())) return true;
        if (attempt_->end()) return come_all_out(), false;
        return advance(*finish_otherwise());
    }
    /// The first attempt has failed already.
    bool begin_failed() noexcept {
        began_ = true;
        return advance(*finish_otherwise());
    }
    /// There is a value, or a failure, that is not the last attempt's own to give.
    bool has_outcome() const noexcept { return outcome_.has_value(); }
    result<reply> take() noexcept {
        result<reply>& r = *outcome_;
        if (!r && r.error().effect() == effect::none && had_effect() != effect::none) {
            failure why = std::move(r).error();
            return std::move(why.effect(had_effect()));
        }
        return std::move(r);
    }

private:
    bool start(frame& f, duration allowance, const failure*& why) noexcept override {
        if (detail::exchange(began_, true)) renew();
        if (settings().hedge && hedge()) {
            if (hedged_->begin(f, allowance)) return true;
        } else {
            if (settings().watch) be_watched();
            if (stood()) attempt_->held_back();
            attempt_->allow(allowance);
            if (attempt_->begin(f)) return true;
        }
        why = finish();
        return false;
    }
    POSTHASTE_NOINLINE void be_watched() noexcept {
        if (called<M>* const e = attempt_->call()) e->watch = settings().watch;
    }
    POSTHASTE_NOINLINE void renew() noexcept {
        called<M>* e = nullptr;
        if constexpr (std::copy_constructible<M>) {
            if (copy_) e = make_or_not<called<M>>(std::as_const(*copy_));
        }
        if (e) e->id = id_;
        std::destroy_at(attempt_);
        std::construct_at(attempt_, to(), e, forever);
    }
    const failure* finish() noexcept override {
        if (hedged_ || !attempt_->end()) return finish_otherwise();
        if (outcome_) outcome_.reset();
        return nullptr;
    }
    POSTHASTE_NOINLINE const failure* finish_otherwise() noexcept {
        if (!hedged_) return keep(attempt_->take(&id_));
        keep(hedged_->take());
        hedged<M>::destroy(detail::exchange(hedged_, nullptr));
        return *outcome_ ? nullptr : &outcome_->error();
    }
    // Several requests instead of one. False: no memory, and the message is gone.
    POSTHASTE_NOINLINE bool hedge() noexcept {
        if constexpr (std::copy_constructible<M>) {
            called<M>* const e = attempt_->give_away();
            void* const memory = e ? allocate(sizeof(hedged<M>)) : nullptr;
            if (memory)
                hedged_ =
                    ::new (memory) hedged<M>(to(), e, *copy_, id_, settings(), at_hand(), stood());
            else if (e) e->destroy();
        }
        return hedged_;
    }
    const failure* fail(failure f) noexcept override {
        return keep(std::move(add_to_path(f, to().name)));
    }
    const failure* supply(layer& by) noexcept override {
        result<reply> given{failure(outcome_->error())};
        by.supply(&reply_key<reply>, outcome_->error(), &given);
        return keep(std::move(given));
    }
    const failure* keep(result<reply> r) noexcept {
        outcome_.emplace(std::move(r));
        return *outcome_ ? nullptr : &outcome_->error();
    }

    direct_call<M>* const attempt_;
    bool began_ = false;  // the first attempt
    [[no_unique_address]] spare<M> copy_;
    message_id id_;  // the first attempt's that came so far
    hedged<M>* hedged_ = nullptr;  // instead of attempt_, where there may be several at once
    // Why it failed, or what came of several requests, or was supplied; nothing: ask attempt_.
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
    /// Builds the message. `by` may be null: there are no policies.
    template <typename... Args>
    call_operation(const address& to, duration allowance,
                   const std::shared_ptr<const call_settings>& by, std::in_place_t,
                   Args&&... args) noexcept
        : by_(by), direct_(to, allowance, std::in_place, std::forward<Args>(args)...) {}
    /// Of a message in its envelope; nullptr: there was no memory for it, it will be refused.
    call_operation(const address& to, detail::called<M>* e,
                   const std::shared_ptr<const call_settings>& by) noexcept
        : by_(by), direct_(to, e, forever) {}
    call_operation(call_operation&& not_yet) noexcept : direct_(std::move(not_yet.direct_)) {
        if (not_yet.by_) by_ = std::move(not_yet.by_);  // as a rule there are none
    }

    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        return begin(h.promise());
    }
    /// For those who have a frame, and no coroutine in it; false: it is over already.
    bool begin(frame& f) noexcept { return by_ ? set_out(f) : direct_.begin(f); }
    result<reply_t<M>> await_resume() noexcept {
        return guard_.made ? come_out() : direct_.finish();
    }
    /// If it was over at once: its result, if it lies in here; nullptr: ask await_resume().
    result<reply_t<M>>* outcome() noexcept { return guard_.made ? nullptr : direct_.answer(); }

private:
    struct guard {
        detail::attempts<M>* made = nullptr;
        guard() = default;
        guard(const guard&) = delete;
        ~guard() {
            if (made) detail::attempts<M>::destroy(made);
        }
    };
    POSTHASTE_NOINLINE result<reply_t<M>> come_out() noexcept {
        return guard_.made->has_outcome() ? guard_.made->take() : direct_.take();
    }
    // Through the layers, with nothing that outlives this function if the answer comes at once.
    POSTHASTE_NOINLINE bool set_out(frame& f) noexcept {
        const call_settings& by = *by_;
        const M* const message = direct_.message();
        if (!message) return refused(f);
        detail::spare<M> copy;
        if constexpr (std::copy_constructible<M>) {
            if (by.repeats && !detail::copied(*message, copy)) return refused(f);
        }
        detail::crossing way(f, by, detail::idempotent<M>);
        const verdict v = way.set_out(by);
        bus_keeper bus(direct_.to().owner);  // until the layers have heard of a failure, or further
        if (v.what == verdict::kind::pass && !by.watch && !by.hedge) {
            direct_.allow(way.at_hand.allowance);
            if (direct_.answered_at_once(f, bus) && direct_.end())
                return way.come_all_out(by), false;
        }
        return take_along(f, way, v, std::move(copy));
    }
    POSTHASTE_NOINLINE bool take_along(frame& f, detail::crossing& way, verdict v,
                                       detail::spare<M>&& copy) noexcept {
        const bool answered = direct_.answered();
        guard_.made = detail::make_or_not<detail::attempts<M>>(
            direct_.to(), *by_, f, std::move(way), direct_, std::move(copy), direct_.known_by());
        if (guard_.made) return answered ? guard_.made->begin_failed() : guard_.made->begin(v);
        // No memory to go any further. If it was answered, that is how it ends.
        way.abandon(*by_);
        return answered ? false : refused(f);
    }
    POSTHASTE_NOINLINE bool refused(frame& f) noexcept {
        direct_.forget();
        return direct_.begin(f);
    }

    std::shared_ptr<const call_settings> by_;  // null: there are no policies
    guard guard_;  // goes last: the attempt stands in it
    detail::direct_call<M> direct_;  // where there are policies, the attempt under way
};

}  // namespace posthaste
