// Keeps callers away from a callee that fails.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/shared_as.hpp>
#include <posthaste/guard/circuit_breaker.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/policy.hpp>

#include <optional>
#include <utility>

namespace posthaste {

/// Stops calling a callee that fails, for its sake and the callers', and finds out by itself when
/// it is well again. Closed, it opens when half of the calls in its window failed; open, it refuses
/// calls with `circuit_open`, which says when to come again; then it lets three through and, by
/// what most of them say, closes, or is open again for twice as long.
///
///     auto b = breaker({.ratio = 0.3, .open_for = 2s});
///     auto stock = bus.client<check>("inventory", deadline(300ms) | b);
///     if (b.state() == circuit::open) tell(b.last_cause()->message());
///
/// How long it is open is up to a quarter shorter each time, at random, so that breakers which
/// opened together do not ask together. A probe is leased until its own deadline (one that has
/// none, for `open_at_most`): if it has not ended then, it has failed. A probe that tells nothing,
/// as when its caller gives it up, makes room for another. How a call ends that began in an earlier
/// state is counted (`late`), and changes nothing. Inside a retry a breaker sees each attempt.
///
/// Requires   one breaker for each callee: its copies share what they saw.
/// Errors     `failed` with `rejected` from the constructor, where an option is out of its range.
/// Threads    any, several at once.
/// Cost       while closed two looks at a shared word and one addition to another, a look at the
///            coarse clock, no allocation; with `slow`, two looks at the exact clock more.
class breaker {
public:
    explicit breaker(breaker_options o = {}) : core_(std::in_place, std::move(o)) {}

    void apply(call_settings& s) const { s.layers.push_back(core_); }

    /// As its last call left it: an open one whose time is over is half open from the next on.
    circuit state() const noexcept { return core_->state(); }
    /// What made it open, the last time it did by itself; nothing if it never has.
    std::optional<failure> last_cause() const {
        const auto kept = core_->last_cause();
        return kept ? std::optional<failure>(*kept) : std::nullopt;
    }
    breaker_counts counts() const noexcept { return core_->counts(); }

    /// Refuses all calls from now on, until close().
    void open() noexcept { core_->change(circuit::held_open); }
    /// As new: what it saw is forgotten.
    void close() noexcept { core_->change(circuit::closed); }

private:
    detail::shared_as<layer, detail::circuit_breaker> core_;
};

template <>
struct detail::layers_of<breaker> {
    using type = known_layers<circuit_breaker>;
};

}  // namespace posthaste
