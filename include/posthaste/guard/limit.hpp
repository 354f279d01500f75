// How many calls of a client are in flight.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/detail/shared_as.hpp>
#include <posthaste/guard/in_range.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/policy.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace posthaste {
namespace detail {

/// A limit at work.
class calls_in_flight final : public layer {
public:
    explicit calls_in_flight(std::size_t most) : most_(most) {
        in_range(most >= 1, "limit: it must be at least 1");
    }

    verdict enter(passage& p, slot&) noexcept override {
        std::size_t n = count_.load(std::memory_order_relaxed);
        do {
            if (n >= most_) return refuse(p);
        } while (!count_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed));
        return {};
    }
    verdict leave(passage&, slot&, const failure*) noexcept override {
        count_.fetch_sub(1, std::memory_order_relaxed);
        return {};
    }
    void abandon(slot&) noexcept override { count_.fetch_sub(1, std::memory_order_relaxed); }

    std::size_t most() const noexcept { return most_; }
    std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

private:
    POSTHASTE_NOINLINE verdict refuse(passage& p) noexcept {
        refused_.fetch_add(1, std::memory_order_relaxed);
        p.refusal() = failure::because(code::overloaded, effect::none,
                                       "as many calls as the limit allows are in flight");
        return {verdict::kind::refuse};
    }

    const std::size_t most_;
    // Relaxed: they count, and order nothing.
    std::atomic<std::size_t> count_ = 0;
    std::atomic<std::uint64_t> refused_ = 0;
};

}  // namespace detail

/// At most so many calls in flight at a time: those under way, not those that occupy a thread. One
/// too many fails at once, with `overloaded`; it does not wait.
///
///     auto few = limit(100);
///     auto stock = bus.client<check>("inventory", few);
///     auto price = bus.client<price_of>("prices", few);   // 100 for both together
///
/// Outside a retry, a call counts as one from its first attempt to its last; inside, each attempt
/// counts while it lasts.
///
/// Errors     `failed` with `rejected` from the constructor, where the limit is 0.
/// Threads    any, several at once.
/// Cost       two changes of a shared word a call; no allocation.
class limit {
public:
    explicit limit(std::size_t most) : core_(std::in_place, most) {}

    void apply(call_settings& s) const { s.layers.push_back(core_); }

    std::size_t most() const noexcept { return core_->most(); }
    std::size_t in_flight() const noexcept { return core_->count(); }
    /// Calls, since it was made.
    std::uint64_t refused() const noexcept { return core_->refused(); }

private:
    detail::shared_as<layer, detail::calls_in_flight> core_;
};

template <>
struct detail::layers_of<limit> {
    using type = known_layers<calls_in_flight>;
};

}  // namespace posthaste
