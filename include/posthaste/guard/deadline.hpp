// How long a caller waits.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/serve/client.hpp>
#include <posthaste/serve/express.hpp>

#include <algorithm>

namespace posthaste {

/// The time a client's calls may take, from when each is made; the caller's own deadline holds too.
///
///     auto stock = bus.client<check>("inventory", deadline(300ms));
///     auto report = bus.client<make_report>("reports", deadline(forever));   // none, spelled out
///
/// Zero or less is over before it begins: every call fails with `deadline_exceeded`, unstarted.
class deadline {
public:
    template <typename Rep, typename Period>
    explicit constexpr deadline(std::chrono::duration<Rep, Period> d) noexcept
        : allowed_(to_duration(d)) {}

    constexpr void apply(call_settings& s) const noexcept { s.deadline = allowed_; }

private:
    duration allowed_;
};

template <>
struct detail::layers_of<deadline> {
    using type = known_layers<>;
};

}  // namespace posthaste
