// The state machine of a breaker.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/make_shared.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/guard/breaker_options.hpp>
#include <posthaste/guard/in_range.hpp>
#include <posthaste/guard/outcome_window.hpp>
#include <posthaste/guard/probation.hpp>
#include <posthaste/serve/policy.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace posthaste::detail {

/// A breaker at work. `word_` is its state and a number that is another after every change, so that
/// a call knows whether it ends in the state it began in. A call keeps that word in its slot, and
/// beside it when it began (closed; where there is a bound for slow ones) or its ticket (half open;
/// 0: a dry run let it through).
class circuit_breaker final : public layer {
public:
    explicit circuit_breaker(breaker_options o);

    verdict enter(passage& p, slot& s) noexcept override {
        s.a = word_.load(std::memory_order_relaxed);
        if (state_of(s.a) != circuit::closed) return enter_slowly(p, s);
        if (timed_) s.b = ticks(p.now());
        return {};
    }
    verdict leave(passage& p, slot& s, const failure* why) noexcept override {
        const bool since_closed =
            s.a == word_.load(std::memory_order_relaxed) && state_of(s.a) == circuit::closed;
        if (since_closed && !why && !timed_) window_.add(p.coarse_now(), false, false);
        else leave_slowly(p, s, why);
        return {};
    }
    void abandon(slot& s) noexcept override {
        if (state_of(s.a) == circuit::closed) return;
        const std::lock_guard guard(lock_);
        probes_.take_back(s.b);
    }

    circuit state() const noexcept { return state_of(word_.load(std::memory_order_relaxed)); }
    std::shared_ptr<const failure> last_cause() noexcept {
        const std::lock_guard guard(lock_);
        return cause_;
    }
    breaker_counts counts() const noexcept {
        const outcome_window::totals t = window_.sum();
        return {t.calls, t.failed, t.slow, refused_.load(std::memory_order_relaxed),
                late_.load(std::memory_order_relaxed)};
    }
    void change(circuit to) noexcept {
        const std::lock_guard guard(lock_);
        become(to);
    }

private:
    enum class sign { well, trouble, none };
    using cause = std::shared_ptr<const failure>;

    static circuit state_of(std::uint64_t word) noexcept { return static_cast<circuit>(word & 3); }
    static std::uint64_t ticks(time_point t) noexcept {
        return static_cast<std::uint64_t>(t.time_since_epoch().count());
    }
    time_point until() const noexcept {
        return time_point(duration(until_.load(std::memory_order_relaxed)));
    }
    bool is_slow(time_point began, time_point now) const noexcept {
        return timed_ && now - began > options_.slow;
    }

    verdict enter_slowly(passage& p, slot& s) noexcept;
    verdict refuse(passage& p, circuit because, duration retry_after) noexcept;
    POSTHASTE_NOINLINE void leave_slowly(passage& p, const slot& s, const failure* why) noexcept {
        if (state_of(s.a) != circuit::closed) leave_probe(p, s, why);
        else if (s.a != word_.load(std::memory_order_relaxed)) leave_late(p, why);
        else leave_closed(p, s, why);
    }
    void leave_closed(passage& p, const slot& s, const failure* why) noexcept;
    void leave_probe(passage& p, const slot& s, const failure* why) noexcept;
    void leave_late(const passage& p, const failure* why) noexcept {
        if (read(p, why) != sign::none) late_.fetch_add(1, std::memory_order_relaxed);
    }
    sign read(const passage& p, const failure* why) const noexcept;
    bool is_bad(const outcome_window::totals& t) const noexcept;
    cause keep(const failure* why) const noexcept;

    // Under the lock. `why` becomes the cause, and the old one `why`, to end without the lock.
    void decide(time_point now, std::uint64_t random, cause& why) noexcept;
    void open(time_point now, std::uint64_t random, cause& why) noexcept;
    void become(circuit to) noexcept;

    const breaker_options options_;
    const bool timed_;
    // What a slow call and an expired lease leave as a cause.
    const cause too_slow_, no_answer_;
    // Relaxed, both: whoever sees an old value does what would have been right a moment ago. They
    // are changed under the lock, and looked at again there before anything else is.
    std::atomic<std::uint64_t> word_ = 0;
    std::atomic<duration::rep> until_ = 0;  // it is open
    outcome_window window_;
    std::atomic<std::uint64_t> refused_ = 0, late_ = 0;  // relaxed: they only count

    spin_lock lock_;  // the rest
    probation probes_;
    duration next_open_for_;
    cause cause_;
};

// --- how it works --------------------------------------------------------------------------------

inline circuit_breaker::circuit_breaker(breaker_options o)
    : options_(std::move(o)),
      timed_(options_.slow != forever),
      too_slow_(detail::make_shared<const failure>(failure::because(
          code::deadline_exceeded, effect::complete, "a call took longer than `slow`"))),
      no_answer_(detail::make_shared<const failure>(failure::because(
          code::deadline_exceeded, effect::unknown, "a probe did not end in its time"))),
      window_(options_.window),
      probes_(std::clamp(options_.probes, 1, 100)),
      next_open_for_(options_.open_for) {
    const auto is_ratio = [](double x) { return x > 0 && x <= 1; };
    in_range(is_ratio(options_.ratio), "breaker: ratio must be above 0 and at most 1");
    in_range(is_ratio(options_.slow_ratio), "breaker: slow_ratio must be above 0 and at most 1");
    in_range(options_.slow > duration(0), "breaker: slow must be more than zero");
    in_range(options_.least_calls >= 1, "breaker: least_calls must be at least 1");
    in_range(options_.window > duration(0), "breaker: window must be more than zero");
    in_range(options_.open_for > duration(0), "breaker: open_for must be more than zero");
    in_range(options_.open_at_most >= options_.open_for,
             "breaker: open_at_most must be at least open_for");
    in_range(options_.probes >= 1 && options_.probes <= 100, "breaker: probes must be 1 to 100");
    in_range(options_.counts != nullptr, "breaker: counts must be a function");
}

inline verdict circuit_breaker::enter_slowly(passage& p, slot& s) noexcept {
    s.b = 0;
    const time_point now = p.now();
    if (state_of(s.a) == circuit::open && now < until()) {
        return refuse(p, circuit::open, until() - now);
    }
    duration lease = p.time_left();
    if (lease == forever || p.over_before()) lease = options_.open_at_most;
    const std::uint64_t random = p.random();
    cause why = no_answer_;
    circuit seen;
    duration left{};
    {
        const std::lock_guard guard(lock_);
        if (state() == circuit::half_open) {
            probes_.expire(now);
            decide(now, random, why);
        }
        if (state() == circuit::open && now >= until()) become(circuit::half_open);
        seen = state();
        s.a = word_.load(std::memory_order_relaxed);
        if (seen == circuit::closed) return s.b = ticks(now), verdict();
        if (seen == circuit::open) left = until() - now;
        if (seen == circuit::half_open) {
            s.b = probes_.admit(now, saturating_add(now, lease));
            if (s.b != 0) return {};
            left = std::min(probes_.next_end() - now, options_.open_for);
        }
    }
    return refuse(p, seen, left);
}

inline verdict circuit_breaker::refuse(passage& p, circuit because, duration left) noexcept {
    refused_.fetch_add(1, std::memory_order_relaxed);
    if (options_.dry_run) return {};
    p.refusal() = failure::because(
        code::circuit_open, effect::none,
        because == circuit::held_open   ? detail::literal("the breaker is held open")
        : because == circuit::half_open ? detail::literal("the breaker waits for its probes")
                                        : detail::literal("too many calls failed"));
    p.refusal().retry_after(left);
    return {verdict::kind::refuse};
}

inline void circuit_breaker::leave_closed(passage& p, const slot& s, const failure* why) noexcept {
    const sign told = read(p, why);
    if (told == sign::none) return;
    const time_point now = timed_ ? p.now() : p.coarse_now();
    const bool slow = is_slow(time_point(duration(static_cast<duration::rep>(s.b))), now);
    window_.add(now, told == sign::trouble, slow);
    if ((told == sign::well && !slow) || !is_bad(window_.sum(now))) return;
    const time_point opens = p.now();
    const std::uint64_t random = p.random();
    cause kept = keep(told == sign::trouble ? why : nullptr);
    const std::lock_guard guard(lock_);
    if (s.a == word_.load(std::memory_order_relaxed)) open(opens, random, kept);
}

inline void circuit_breaker::leave_probe(passage& p, const slot& s, const failure* why) noexcept {
    if (s.b == 0) return;  // a dry run let it through, which tells nothing
    const sign told = read(p, why);
    const time_point now = p.now();
    const std::uint64_t random = p.random();
    cause kept = keep(told == sign::trouble ? why : nullptr);
    const std::lock_guard guard(lock_);
    const time_point began = probes_.take_back(s.b);
    if (told == sign::none) return;
    if (began != never) {
        probes_.count(told == sign::well && !is_slow(began, now));
        decide(now, random, kept);
    } else {
        late_.fetch_add(1, std::memory_order_relaxed);
    }
}

inline auto circuit_breaker::read(const passage& p, const failure* why) const noexcept -> sign {
    if (!why) return sign::well;
    if (why->code() == code::deadline_exceeded && p.over_before()) return sign::none;
    const bool counts = guarded([&] { return options_.counts(*why); },
                                [&](const auto&) { return tells_of_trouble(*why); });
    if (counts) return sign::trouble;
    const bool answer = why->effect() == effect::complete && why->code() != code::cancelled;
    return answer ? sign::well : sign::none;
}

inline bool circuit_breaker::is_bad(const outcome_window::totals& t) const noexcept {
    const auto calls = static_cast<double>(t.calls);
    return calls >= options_.least_calls &&
           (static_cast<double>(t.failed) >= options_.ratio * calls ||
            (timed_ && static_cast<double>(t.slow) >= options_.slow_ratio * calls));
}

inline auto circuit_breaker::keep(const failure* why) const noexcept -> cause {
    if (!why) return too_slow_;
    return guarded([&] { return cause(detail::make_shared<const failure>(*why)); },
                   [](const auto&) { return cause(); });  // no memory: no cause
}

inline void circuit_breaker::decide(time_point now, std::uint64_t random, cause& why) noexcept {
    if (probes_.passed()) become(circuit::closed);
    else if (probes_.failed()) open(now, random, why);
}

inline void circuit_breaker::open(time_point now, std::uint64_t random, cause& why) noexcept {
    const auto quarter = static_cast<std::uint64_t>(next_open_for_.count() / 4);
    const duration shorter(static_cast<duration::rep>(random % (quarter + 1)));
    until_.store(saturating_add(now, next_open_for_ - shorter).time_since_epoch().count(),
                 std::memory_order_relaxed);
    const duration most = options_.open_at_most;
    next_open_for_ = next_open_for_ < most / 2 ? next_open_for_ * 2 : most;
    std::swap(cause_, why);
    become(circuit::open);
}

inline void circuit_breaker::become(circuit to) noexcept {
    if (to == circuit::closed) {
        window_.clear();
        next_open_for_ = options_.open_for;
    }
    probes_.start();  // what is still under way tells nothing any more
    const std::uint64_t changes = (word_.load(std::memory_order_relaxed) >> 2) + 1;
    word_.store((changes << 2) | static_cast<std::uint64_t>(to), std::memory_order_relaxed);
}

}  // namespace posthaste::detail
