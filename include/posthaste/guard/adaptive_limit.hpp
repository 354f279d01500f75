// A limit of calls in flight that finds itself.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/shared_as.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/guard/limit_finder.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/policy.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace posthaste {
namespace detail {

/// An adaptive limit at work. A slot holds when its call began, and how many were in flight then.
class adapting_limit final : public layer {
public:
    explicit adapting_limit(const adaptive_limit_options& o)
        : finder_(o), limit_(finder_.limit()) {}

    verdict enter(passage& p, slot& s) noexcept override {
        std::size_t n = count_.load(std::memory_order_relaxed);
        do {
            if (n >= limit_.load(std::memory_order_relaxed)) return refuse(p);
        } while (!count_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed));
        s.a = static_cast<std::uint64_t>(p.now().time_since_epoch().count());
        s.b = n + 1;
        return {};
    }
    verdict leave(passage& p, slot& s, const failure* why) noexcept override {
        count_.fetch_sub(1, std::memory_order_relaxed);
        const bool lost = why && is_lost(p, *why);
        if (why && !lost) return {};
        const time_point now = p.now();
        const time_point began(duration(static_cast<duration::rep>(s.a)));
        const std::lock_guard guard(lock_);
        if (lost) finder_.lose(now, s.b);
        else finder_.add(now, now - began, s.b);
        limit_.store(finder_.limit(), std::memory_order_relaxed);
        return {};
    }
    void abandon(slot&) noexcept override { count_.fetch_sub(1, std::memory_order_relaxed); }

    std::size_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }
    std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

private:
    // Other failures tell nothing: they may be quick because nothing was done.
    static bool is_lost(const passage& p, const failure& why) noexcept {
        if (why.code() == code::deadline_exceeded) return !p.over_before();
        return why.code() == code::overloaded;
    }
    verdict refuse(passage& p) noexcept {
        refused_.fetch_add(1, std::memory_order_relaxed);
        p.refusal() = failure::because(code::overloaded, effect::none,
                                       "as many calls are in flight as the callee seems to bear");
        return {verdict::kind::refuse};
    }

    spin_lock lock_;
    limit_finder finder_;  // under the lock
    // Relaxed: they count, and order nothing.
    std::atomic<std::size_t> limit_;
    std::atomic<std::size_t> count_ = 0;
    std::atomic<std::uint64_t> refused_ = 0;
};

}  // namespace detail

/// A `limit` that follows what the callee bears: by how long calls take (gradient), or by how many
/// are lost (AIMD). One call too many fails at once, with `overloaded`.
///
///     auto stock = bus.client<check>("inventory", adaptive_limit());
///     auto tcp = adaptive_limit({.by = adapt::aimd, .most = 50});
///     auto price = bus.client<price_of>("prices", tcp);
///
/// A call with a value is a sample of how long they take; one that ended with `overloaded` or
/// `deadline_exceeded` is lost; other failures are no samples, as they may be quick for having done
/// nothing. The limit does not grow while less than half of it is in use. Inside a retry each
/// attempt is a call of its own, which is what it should learn from.
///
/// Errors     `failed` with `rejected` from the constructor, where an option is out of its range.
/// Threads    any, several at once.
/// Cost       two changes of a shared word, two looks at the exact clock and a short lock a call;
///            no allocation.
class adaptive_limit {
public:
    explicit adaptive_limit(const adaptive_limit_options& o = {}) : core_(std::in_place, o) {}

    void apply(call_settings& s) const { s.layers.push_back(core_); }

    /// Now.
    std::size_t most() const noexcept { return core_->limit(); }
    /// More than most() where that has just become less.
    std::size_t in_flight() const noexcept { return core_->count(); }
    /// Calls, since it was made.
    std::uint64_t refused() const noexcept { return core_->refused(); }

private:
    detail::shared_as<layer, detail::adapting_limit> core_;
};

template <>
struct detail::layers_of<adaptive_limit> {
    using type = known_layers<adapting_limit>;
};

}  // namespace posthaste
