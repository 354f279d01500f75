// A call that goes through its client's policies.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: the way in and the way out are told in one piece.

#include <posthaste/base/result.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/call.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/hedged_call.hpp>
#include <posthaste/serve/policy.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/sleep.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
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

    /// The caller's frame is destroyed where it stands: gives back what the layers hold.
    void abandon() noexcept {
        for (std::size_t i = inside_; i != 0; --i) at(i - 1).abandon(stages_[i - 1].slot);
        inside_ = 0;
    }

protected:
    virtual ~guarded_call() {}

    /// Sets out inwards, up to the first layer that does not let it pass; then as advance().
    verdict set_out(frame& caller) noexcept {
        caller_ = &caller;
        step_.at = caller.at;
        step_.under = caller.under;
        passage_.emplace(*caller.at, caller.under, by_->deadline, idempotent_);
        return by_->express ? by_->express->in(*by_, *passage_, stages_.data(), inside_) : pass();
    }
    /// Goes on as the layer said that it is at, or with an attempt, if it has passed all. True: it
    /// stands still, and the caller will go on when it is over; *this may be gone already. False:
    /// it is over.
    POSTHASTE_NOINLINE bool advance(verdict v) noexcept {
        for (;;) {
            const failure* why = nullptr;
            if (v.what == verdict::kind::later) return pause(v.after, inside_ + 1, false);
            if (v.what == verdict::kind::refuse) {
                why = refused();
            } else {
                if (start(step_, passage_->allowance, why)) return true;
                if (!why) return come_out(), false;
                failed(*why);
            }
            const next n = come_out(why);
            if (n != next::inwards) return n == next::stands;
            v = pass();
        }
    }
    /// The same after an attempt that has failed at once.
    POSTHASTE_NOINLINE bool advance(const failure& why) noexcept {
        failed(why);
        const next n = come_out(&why);
        return n == next::inwards ? advance(pass()) : n == next::stands;
    }
    /// Outwards from an attempt, with a value.
    void come_all_out() noexcept {
        if (!by_->express) return come_out();
        by_->express->out(*by_, *passage_, stages_.data());
        inside_ = 0;
    }
    /// The same from where it is.
    void come_out() noexcept {
        const std::shared_ptr<layer>* l = by_->layers.data() + inside_;
        for (stage* s = stages_.data() + inside_; s != stages_.data();) {
            --s, --l;
            if ((*l)->hears() == layer::outcomes::failures) continue;
            restore(*s);
            (*l)->leave(*passage_, s->slot, nullptr);
        }
        inside_ = 0;
    }

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
    passage& at_hand() noexcept { return *passage_; }
    const address& to() const noexcept { return to_; }
    const call_settings& settings() const noexcept { return *by_; }
    /// Of the last attempt that had one: a later one does not undo it.
    effect had_effect() const noexcept { return effect_; }

private:
    enum class next : unsigned char { over, inwards, stands };
    using stage = detail::stage;

    layer& at(std::size_t i) const noexcept { return *by_->layers[i]; }

    // Inwards from where it is.
    verdict pass() noexcept {
        passage& p = *passage_;
        const std::size_t count = by_->layers.size();
        std::size_t i = inside_;
        const std::shared_ptr<layer>* l = by_->layers.data() + i;
        verdict v;
        for (stage* s = stages_.data() + i; i != count; ++i, ++l, ++s) {
            s->until = p.allowance == forever ? forever : p.allowance + p.passed_;
            s->extra = p.extra;
            std::construct_at(&s->slot);
            v = detail::on_the_way_in((*l)->enter(p, s->slot));
            if (v.what != verdict::kind::pass) break;
        }
        inside_ = i;
        return v;
    }
    POSTHASTE_NOINLINE const failure* refused() noexcept {
        const failure* const why = fail(std::move(passage_->refusal()));
        passage_->refusal_.reset();
        return why;
    }
    // Outwards with `why`; inwards: from where it is.
    POSTHASTE_NOINLINE next come_out(const failure* why) noexcept {
        passage& p = *passage_;
        for (; inside_ != 0; --inside_) {
            if (!why) return come_out(), next::over;
            layer& l = at(inside_ - 1);
            stage& s = stages_[inside_ - 1];
            restore(s);
            const verdict v = l.leave(p, s.slot, why);
            if (v.what == verdict::kind::supply) why = supply(l);
            if (v.what != verdict::kind::again) continue;
            if (!allowed(v.after)) {
                l.abandon(s.slot);
                continue;
            }
            if (v.after > duration::zero()) return pause(v.after, inside_, true), next::stands;
            time_passes();
            return next::inwards;
        }
        return next::over;
    }
    void restore(const stage& s) noexcept {
        passage_->allowance = s.until == forever ? forever : s.until - passage_->passed_;
        passage_->extra = s.extra;
    }
    POSTHASTE_NOINLINE void failed(const failure& why) noexcept {
        passage_->read_clock();
        if (why.effect() != effect::none) effect_ = why.effect();
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
    POSTHASTE_NOINLINE bool pause(duration d, std::size_t i, bool repeats) noexcept {
        inside_ = i;
        repeats_ = repeats;
        if (!kept_) kept_ = to_.owner.lock();
        const duration left = passage_->time_left();
        late_ = left <= d;
        nap_.emplace(saturating_add(passage_->now(), std::min(d, left)), forever);
        if (!nap_->stand(step_)) step_.wake();
        return true;
    }
    void go_on() noexcept {
        frame& caller = *caller_;
        passage_->read_clock();
        next n = next::inwards;
        if (!nap_) {
            const failure* const why = finish();
            if (why) failed(*why);
            n = come_out(why);
        } else {
            const bool slept = nap_->await_resume().has_value();
            nap_.reset();
            time_passes();
            const bool late = std::exchange(late_, false);
            if (!slept || late)
                n = come_out(fail(
                    failure::because(slept ? code::deadline_exceeded : code::cancelled, effect_,
                                     repeats_ ? detail::literal("between two attempts")
                                              : detail::literal("it was held back"))));
        }
        if (n == next::inwards ? !advance(pass()) : n == next::over) caller.run(caller);
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
    bool repeats_ = false;  // the pause is between two attempts
    effect effect_ = effect::none;  // of an attempt that had one
    frame* caller_ = nullptr;
    std::size_t inside_ = 0;  // so many layers it has to come out of
    node step_{*this};
    std::optional<passage> passage_;
    std::optional<detail::sleeping> nap_;
    union {  // none is made before it is used
        std::array<stage, max_layers> stages_;
    };
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
    static constexpr bool copies = std::copy_constructible<M>;
    struct none {};

public:
    attempts(const address& to, called<M>& first, const std::shared_ptr<const call_settings>& by)
        : guarded_call(to, by, idempotent<M>) {
        if constexpr (copies) {
            if (by->repeats) copy_.emplace(std::as_const(first.template as<M>()));
        }
        id_ = first.id;
    }
    ~attempts() {
        if (hedged_) hedged<M>::destroy(hedged_);
    }
    static void destroy(attempts* a) noexcept {
        a->abandon();
        std::destroy_at(a);
        deallocate(a);
    }

    /// `attempt`: the first one, and the place for all others.
    POSTHASTE_NOINLINE bool begin(frame& caller, direct_call<M>& attempt) noexcept {
        attempt_ = &attempt;
        const verdict v = set_out(caller);
        if (v.what != verdict::kind::pass || settings().watch || settings().hedge)
            return advance(v);
        // As advance() does, with nothing in between.
        began_ = true;
        attempt.allow(at_hand().allowance);
        if (attempt.begin(step())) return true;
        if (attempt.end()) return come_all_out(), false;
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
        if (std::exchange(began_, true)) renew();
        if (settings().hedge && hedge()) {
            if (hedged_->begin(f, allowance)) return true;
        } else {
            if (settings().watch) be_watched();
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
        if constexpr (copies) {
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
        hedged<M>::destroy(std::exchange(hedged_, nullptr));
        return *outcome_ ? nullptr : &outcome_->error();
    }
    // Several requests instead of one. False: no memory, and the message is gone.
    POSTHASTE_NOINLINE bool hedge() noexcept {
        if constexpr (copies) {
            called<M>* const e = attempt_->give_away();
            void* const memory = e ? allocate(sizeof(hedged<M>)) : nullptr;
            if (memory)
                hedged_ = ::new (memory) hedged<M>(to(), e, *copy_, id_, settings(), at_hand());
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

    direct_call<M>* attempt_ = nullptr;
    bool began_ = false;  // the first attempt
    [[no_unique_address]] std::conditional_t<copies, std::optional<M>, none> copy_;
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
    call_operation(const address& to, detail::called<M>* e, duration allowance) noexcept
        : direct_(to, e, allowance) {}
    /// Through policies; without memory for that, it will be refused.
    call_operation(const address& to, detail::called<M>* e,
                   const std::shared_ptr<const call_settings>& by) noexcept
        : guard_(guard(to, e, by)), direct_(to, guard_ ? e : nullptr, forever) {}
    call_operation(call_operation&& not_yet) noexcept
        : guard_(std::move(not_yet.guard_)), direct_(std::move(not_yet.direct_)) {}

    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        return begin(h.promise());
    }
    /// For those who have a frame, and no coroutine in it; false: it is over already.
    bool begin(frame& f) noexcept { return guard_ ? guard_->begin(f, direct_) : direct_.begin(f); }
    result<reply_t<M>> await_resume() noexcept {
        if (!guard_) direct_.end();
        else if (guard_->has_outcome()) return guard_->take();
        return direct_.take();
    }

private:
    struct ends {
        void operator()(detail::attempts<M>* a) const noexcept { detail::attempts<M>::destroy(a); }
    };
    // nullptr: no memory, and the message is gone.
    static detail::attempts<M>* guard(const address& to, detail::called<M>* e,
                                      const std::shared_ptr<const call_settings>& by) noexcept {
        if (!e) return nullptr;
        auto* const made = detail::make_or_not<detail::attempts<M>>(to, *e, by);
        if (!made) e->destroy();
        return made;
    }

    std::unique_ptr<detail::attempts<M>, ends> guard_;  // goes last: the attempt stands in it
    detail::direct_call<M> direct_;  // where there are policies, the attempt under way
};

}  // namespace posthaste
