// A call that goes through its client's policies.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/call.hpp>
#include <posthaste/serve/envelope.hpp>
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
    guarded_call(const address& to, std::shared_ptr<const call_settings> by,
                 bool idempotent) noexcept
        : to_(to), by_(std::move(by)), idempotent_(idempotent) {}
    guarded_call(const guarded_call&) = delete;

    /// True: it stands still, and the caller will go on when it is over; *this may be gone already.
    POSTHASTE_NOINLINE bool begin(frame& caller) noexcept {
        caller_ = &caller;
        step_.at = caller.at;
        step_.under = caller.under;
        passage_.emplace(*caller.at, *caller.under, by_->deadline, idempotent_);
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

    const address& to() const noexcept { return to_; }

private:
    enum class way : unsigned char { in, out };

    layer& at(std::size_t i) const noexcept { return *by_->layers[i]; }

    // From layer i on; outwards with `why`, or a value. True: it stands still; false: it is over.
    bool go(way to, std::size_t i, const failure* why) noexcept {
        for (;;) {
            if (to == way::out) {
                inside_ = i;
                if (i == 0) return false;
                const verdict v = at(i - 1).leave(*passage_, slots_[i - 1], why);
                if (v.what == verdict::kind::supply) why = supply(at(i - 1));
                if (v.what != verdict::kind::again || !allowed(v.after)) {
                    --i;
                    continue;
                }
                repeated_ = true;
                last_effect_ = why->effect();
                if (v.after > duration::zero()) return pause(v.after, i);
                to = way::in;
            } else if (i == by_->layers.size()) {
                inside_ = i;
                if (start(step_, time_for_attempt())) return true;
                why = finish();
                to = way::out;
            } else {
                const verdict v = at(i).enter(*passage_, slots_[i]);
                if (v.what == verdict::kind::refuse) {
                    why = fail(std::move(passage_->refusal()));
                    to = way::out;
                    continue;
                }
                ++i;
                if (v.what != verdict::kind::later || v.after <= duration::zero()) continue;
                repeated_ = true;
                if (in_time(v.after)) return pause(v.after, i);
                why = fail(failure::because(code::deadline_exceeded, last_effect_,
                                            "its turn would have come too late"));
                to = way::out;
            }
        }
    }
    bool in_time(duration after) noexcept {
        return after == duration::zero() || after < passage_->time_left();
    }
    duration time_for_attempt() noexcept {
        const duration left = repeated_ ? passage_->time_left() : passage_->first_time_left();
        return std::min(left, passage_->allowance);
    }
    bool allowed(duration after) noexcept { return !passage_->stopped() && in_time(after); }
    // Then inwards from `i`; if it is cancelled meanwhile, outwards. It never ends at once: a stop
    // that was requested already is found in the next turn.
    bool pause(duration d, std::size_t i) noexcept {
        inside_ = i;
        if (!kept_) kept_ = to_.owner.lock();
        nap_.emplace(saturating_add(passage_->now(), d), forever);
        if (!nap_->stand(step_)) step_.wake();
        return true;
    }
    void go_on() noexcept {
        frame& caller = *caller_;
        bool stands = false;
        if (nap_) {
            const bool slept = nap_->await_resume().has_value();
            nap_.reset();
            stands = slept ? go(way::in, inside_, nullptr)
                           : go(way::out, inside_,
                                fail(failure::because(code::cancelled, last_effect_,
                                                      "between two attempts")));
        } else {
            stands = go(way::out, inside_, finish());
        }
        if (!stands) caller.self.resume();
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
    bool repeated_ = false;  // the clock must be read for what is left
    effect last_effect_ = effect::none;
    frame* caller_ = nullptr;
    std::size_t inside_ = 0;  // so many layers it has to come out of
    std::size_t next_ = 0;  // where it goes on inwards, after a pause
    node step_{*this};
    std::optional<passage> passage_;
    std::optional<detail::sleeping> nap_;
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
    attempts(const address& to, called<M>* e, std::shared_ptr<const call_settings> by)
        : guarded_call(to, by, idempotent<M>) {
        if constexpr (copies) {
            if (by->repeats) copy_.emplace(std::as_const(e->template as<M>()));
        }
        next_ = e;
    }
    ~attempts() {
        abandon();
        if (next_) next_->destroy();
    }
    static void destroy(attempts* a) noexcept {
        std::destroy_at(a);
        deallocate(a);
    }

    result<reply> take() noexcept { return *std::move(outcome_); }

private:
    bool start(frame& f, duration allowance) noexcept override {
        called<M>* e = std::exchange(next_, nullptr);
        if constexpr (copies) {
            if (!e && copy_) {
                e = guarded([&] { return make_envelope<called<M>>(std::as_const(*copy_)); },
                            [](const std::exception_ptr&) -> called<M>* { return nullptr; });
            }
        }
        attempt_.emplace(to(), e, allowance);
        return attempt_->begin(f);
    }
    const failure* finish() noexcept override {
        outcome_.emplace(attempt_->end());
        attempt_.reset();
        return why();
    }
    const failure* fail(failure f) noexcept override {
        outcome_.emplace(std::move(add_to_path(f, to().name)));
        return why();
    }
    const failure* supply(layer& by) noexcept override {
        result<reply> given = failure(code::no_reply);
        by.supply(&reply_key<reply>, outcome_->error(), &given);
        outcome_.emplace(std::move(given));
        return why();
    }
    const failure* why() const noexcept { return *outcome_ ? nullptr : &outcome_->error(); }

    called<M>* next_ = nullptr;  // what the next attempt sends; nullptr: another copy
    [[no_unique_address]] std::conditional_t<copies, std::optional<M>, none> copy_;
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
        return guard_ ? guard_->begin(h.promise()) : direct_.begin(h.promise());
    }
    result<reply_t<M>> await_resume() noexcept { return guard_ ? guard_->take() : direct_.end(); }

private:
    detail::direct_call<M> direct_;
    detail::attempts<M>* guard_ = nullptr;
};

}  // namespace posthaste
