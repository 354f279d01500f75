// Calls made to be late, to fail or to hang, by a seed.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/base/failure.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/shared_as.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/serve/policy.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace posthaste {

/// How many calls of a hundred are disturbed, and how: each chance is a part of all calls, 0 to 1,
/// and all together are 1 at most. The rest passes as it is.
///
///     fault_mix().delay(0.2, 1ms, 50ms).fail(0.1, code::unavailable).drop(0.05)
///
/// Errors     a chance that is none, or a delay that is negative or ends before it begins, is
///            refused, with `failed`.
class fault_mix {
public:
    /// Goes on after a time between `least` and `most`, each as likely as the others.
    template <typename Least, typename Most>
    fault_mix& delay(double chance, Least least, Most most) {
        const duration from = to_duration(least), to = to_duration(most);
        if (from < duration::zero() || from > to) {
            refuse("fault_mix: delay: must be 0 or more, and the least not above the most");
        }
        delay_ = checked(chance, fail_ + drop_);
        least_ = from;
        most_ = to;
        return *this;
    }
    /// Fails at once, without getting there, whatever `e` makes its caller believe.
    fault_mix& fail(double chance, code c = code::unavailable, effect e = effect::none) {
        fail_ = checked(chance, delay_ + drop_);
        code_ = c;
        effect_ = e;
        return *this;
    }
    /// Gets nowhere, until its deadline passes or its caller is stopped.
    fault_mix& drop(double chance) {
        drop_ = checked(chance, delay_ + fail_);
        return *this;
    }

private:
    friend class faults;

    static double checked(double chance, double others) {
        if (!(chance >= 0 && chance <= 1)) refuse("fault_mix: chance: must be 0 to 1");
        if (chance + others > 1 + 1e-9)
            refuse("fault_mix: chances: must be 1 at most, all together");
        return chance;
    }
    [[noreturn]] static void refuse(detail::literal why) {
        detail::raise(failed(failure::because(code::rejected, effect::none, why)));
    }

    double delay_ = 0, fail_ = 0, drop_ = 0;
    duration least_{}, most_{};
    code code_ = code::unavailable;
    effect effect_ = effect::none;
};

/// What faults have done so far, in calls.
struct fault_counts {
    std::uint64_t passed = 0, delayed = 0, failed = 0, dropped = 0;
    bool operator==(const fault_counts&) const = default;
};

/// A policy for tests and experiments, to stand innermost: it disturbs a part of the calls. What is
/// done to the nth call that comes through is decided by the seed. Copies share their state.
///
///     faults weather(42);                             // calm, as yet
///     auto stock = bus.client<check>("inventory", deadline(300ms) | weather);
///     weather.set(faults::slow(100ms, 2s));           // from now on
///     weather.plan(bus.home().now(), {{1s, faults::failing(0.5)}, {2s, faults::dead()},
///                                     {3s, faults::healthy()}});
///
/// Threads    any.
class faults {
public:
    /// From `after` on, counted from the plan's beginning.
    struct stage {
        duration after;
        fault_mix what;
    };

    explicit faults(std::uint64_t seed = 1) : state_(std::in_place, seed) {}

    static fault_mix healthy() { return {}; }
    template <typename Least, typename Most>
    static fault_mix slow(Least least, Most most) {
        return fault_mix().delay(1, least, most);
    }
    static fault_mix failing(double chance = 1, code c = code::unavailable,
                             effect e = effect::none) {
        return fault_mix().fail(chance, c, e);
    }
    static fault_mix dead() { return fault_mix().drop(1); }

    /// Holds for the calls that come from now on.
    void set(fault_mix what) { state_->follow(time_point::min(), {stage{duration::zero(), what}}); }
    /// One after the other, by the clock of the executor; calm before the first.
    ///
    /// Errors     stages that are not in the order of time are refused, with `failed`.
    void plan(time_point begin, std::vector<stage> stages) {
        for (std::size_t i = 1; i < stages.size(); ++i) {
            if (stages[i].after < stages[i - 1].after) {
                fault_mix::refuse("faults: plan: must be in the order of time");
            }
        }
        state_->follow(begin, std::move(stages));
    }

    fault_counts counts() const noexcept { return state_->counts(); }

    void apply(call_settings& s) const { s.layers.push_back(state_); }

private:
    class state final : public layer {
    public:
        explicit state(std::uint64_t seed) noexcept
            : layer(outcomes::failures), random_(detail::mix(seed)) {}

        void follow(time_point begin, std::vector<stage> stages) noexcept {
            const std::lock_guard guard(lock_);
            begin_ = begin;
            stages_.swap(stages);  // the old ones are freed after the lock is given back
        }
        fault_counts counts() const noexcept {
            const std::lock_guard guard(lock_);
            return counts_;
        }

        verdict enter(passage& p, slot&) noexcept override {
            const time_point now = p.now();
            const std::lock_guard guard(lock_);
            const double chance = draw(), length = draw();
            const fault_mix mix = at(now);
            if (chance < mix.drop_) {
                ++counts_.dropped;
                return {verdict::kind::later, forever};
            }
            if (chance < mix.drop_ + mix.fail_) {
                ++counts_.failed;
                p.refusal() = failure::because(mix.code_, mix.effect_, "a fault was injected");
                return {verdict::kind::refuse};
            }
            if (chance < mix.drop_ + mix.fail_ + mix.delay_) {
                ++counts_.delayed;
                const duration span = mix.most_ - mix.least_;
                const double more = static_cast<double>(span.count()) * length;
                return {verdict::kind::later,
                        mix.least_ + std::min(span, duration(static_cast<duration::rep>(more)))};
            }
            ++counts_.passed;
            return {};
        }
        verdict leave(passage&, slot&, const failure*) noexcept override { return {}; }

    private:
        // 0 to 1, but not 1.
        double draw() noexcept {
            random_ += 0x9e3779b97f4a7c15;
            return static_cast<double>(detail::mix(random_) >> 11) * 0x1p-53;
        }
        fault_mix at(time_point now) const noexcept {
            fault_mix found;
            for (const stage& s : stages_) {
                if (saturating_add(begin_, s.after) <= now) found = s.what;
            }
            return found;
        }

        mutable detail::spin_lock lock_;  // guards all below
        std::uint64_t random_;
        time_point begin_ = time_point::min();
        std::vector<stage> stages_;
        fault_counts counts_;
    };

    detail::shared_as<layer, state> state_;
};

}  // namespace posthaste
