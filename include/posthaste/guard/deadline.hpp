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
/// Never early; but where the handler runs at once, at the caller's place, it begins to be counted
/// when that stands still or makes a call; on a run_loop, if it is 80 ms or more, three pieces of
/// work and a tick later at most. If it is a second or more, a call that queues may have up to 20
/// ms more. Zero or less is over before it begins: every call fails with `deadline_exceeded`,
/// unstarted. Of several among a client's policies the shortest holds, wherever they stand.
class deadline {
public:
    template <typename Rep, typename Period>
    explicit constexpr deadline(std::chrono::duration<Rep, Period> d) noexcept
        : allowed_(to_duration(d)) {}

    constexpr void apply(call_settings& s) const noexcept {
        s.deadline = s.own_deadline ? std::min(s.deadline, allowed_) : allowed_;
        s.own_deadline = true;
    }

private:
    duration allowed_;
};

template <>
struct detail::layers_of<deadline> {
    using type = known_layers<>;
};

}  // namespace posthaste
