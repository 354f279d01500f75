// How long one attempt may take.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/shared_as.hpp>
#include <posthaste/guard/in_range.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/policy.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace posthaste {
namespace detail {

/// An attempt_timeout at work.
class shorter_attempts final : public layer {
public:
    explicit shorter_attempts(duration most) : layer(outcomes::failures), most_(most) {
        in_range(most > duration::zero(), "attempt_timeout: it must be more than zero");
    }
    verdict enter(passage& p, slot&) noexcept override {
        p.allowance = std::min(p.allowance, most_);
        return {};
    }
    verdict leave(passage&, slot&, const failure*) noexcept override { return {}; }

private:
    const duration most_;
};

}  // namespace detail

/// The time each attempt may take, beside the time of the whole call.
///
///     auto quick = deadline(300ms) | retry() | attempt_timeout(100ms);
///
/// An attempt that takes longer fails with `deadline_exceeded`; a retry outside makes another one
/// if it may (a handler that had begun may have done its work: see retry).
///
/// Errors     `failed` with `rejected` from the constructor, unless it is more than zero.
/// Cost       none to speak of.
class attempt_timeout {
public:
    template <typename Rep, typename Period>
    explicit attempt_timeout(std::chrono::duration<Rep, Period> d)
        : core_(std::in_place, to_duration(d)) {}

    void apply(call_settings& s) const { s.layers.push_back(core_); }

private:
    detail::shared_as<layer, detail::shorter_attempts> core_;
};

template <>
struct detail::layers_of<attempt_timeout> {
    using type = known_layers<shorter_attempts>;
};

}  // namespace posthaste
