// How many calls may be made more than callers ask for.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/shared_as.hpp>
#include <posthaste/guard/in_range.hpp>
#include <posthaste/guard/outcome_window.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/policy.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <utility>

namespace posthaste {

struct budget_options {
    double ratio = 0.2;       ///< more calls for each call, 0 to 1
    double per_second = 10;   ///< and so many in any case
    duration window = std::chrono::seconds(10);  ///< how long what was not spent is kept
};

namespace detail {

/// A budget at work. A window of ten buckets keeps what came in and what was spent.
class spare_account final : public layer, public extra_calls {
public:
    explicit spare_account(budget_options o)
        : layer(outcomes::failures),
          ratio_(o.ratio),
          reserve_(o.per_second * std::chrono::duration<double>(o.window).count()),
          window_(o.window) {
        in_range(o.ratio >= 0 && o.ratio <= 1, "budget: ratio: must be 0 to 1");
        in_range(o.per_second >= 0 && o.per_second <= 1e9, "budget: per_second: must be 0 to 1e9");
        in_range(o.window > duration::zero(), "budget: window: must be more than zero");
        in_range(o.ratio > 0 || reserve_ >= 1,
                 "budget: ratio, per_second: must allow 1 call in a window");
    }

    verdict enter(passage& p, slot&) noexcept override {
        earn(p);
        p.extra = this;
        return {};
    }
    verdict leave(passage&, slot&, const failure*) noexcept override { return {}; }

    void earn(passage& p) noexcept { window_.add(p.coarse_now(), spent, false); }
    bool take(passage& p) noexcept override {
        const time_point now = p.coarse_now();
        const std::lock_guard guard(lock_);  // what is earned meanwhile does no harm
        if (balance(window_.sum(now)) < 1) {
            ++refused_;
            return false;
        }
        ++taken_;
        window_.add(now, !spent, false);
        return true;
    }

    double left(time_point now) noexcept {
        const std::lock_guard guard(lock_);
        return std::max(balance(window_.sum(now)), 0.0);  // less: what had earned it is forgotten
    }
    std::uint64_t taken() const noexcept {
        const std::lock_guard guard(lock_);
        return taken_;
    }
    std::uint64_t refused() const noexcept {
        const std::lock_guard guard(lock_);
        return refused_;
    }

private:
    static constexpr bool spent = false;  // of outcome_window's "failed": no, it came in

    double balance(outcome_window::totals t) const noexcept {
        return ratio_ * static_cast<double>(t.calls - t.failed) + reserve_ -
               static_cast<double>(t.failed);
    }

    const double ratio_;
    const double reserve_;
    outcome_window window_;
    mutable spin_lock lock_;  // one at a time takes; guards the next two
    std::uint64_t taken_ = 0, refused_ = 0;
};

}  // namespace detail

/// Bounds what retries add to the load of a callee that is in trouble already: for ten seconds, a
/// fifth of the calls made in them and ten a second. Without it three attempts each make three
/// times the load just when it hurts most.
///
///     auto spare = budget();
///     auto stock = bus.client<check>("inventory", spare | retry());
///     auto price = bus.client<price_of>("prices", spare | retry());   // out of the same purse
///
/// It stands outside of the retries and hedges that share it; one without has one of its own. When
/// nothing is left, the failure at hand is the call's, and no other request is made. After
/// Finagle's RetryBudget.
///
/// Errors     `failed` with `rejected` from the constructor, where an option is out of its range;
///            from bus.client(), where it stands inside a retry or a hedge.
/// Threads    any, several at once.
/// Cost       a call: one addition to a shared word and a look at the coarse clock.
class budget {
public:
    explicit budget(budget_options o = {}) : core_(std::in_place, o) {}

    void apply(call_settings& s) const {
        detail::in_range(!s.hedge, "budget: must stand outside of hedge: budget | hedge");
        detail::in_range(!s.repeats, "budget: must stand outside of retry: budget | retry");
        s.layers.push_back(core_);
    }

    /// Calls that could be made more, just now.
    double left(const clock& c) const noexcept { return core_->left(c.now()); }
    std::uint64_t taken() const noexcept { return core_->taken(); }
    std::uint64_t refused() const noexcept { return core_->refused(); }

private:
    detail::shared_as<layer, detail::spare_account> core_;
};

template <>
struct detail::layers_of<budget> {
    using type = known_layers<spare_account>;
};

}  // namespace posthaste
