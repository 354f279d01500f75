// Keeps a bus for who needs it behind a handler's end.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>

#include <memory>
#include <utility>

namespace posthaste {

/// Keeps the bus for a caller who needs it behind the handler's end: from before the lane is given
/// back, as the bus may go from then on.
struct bus_keeper {
    explicit bus_keeper(const std::weak_ptr<const void>& b) noexcept : bus(b) {}
    bus_keeper(const std::weak_ptr<const void>& b, std::shared_ptr<const void> k) noexcept
        : bus(b), kept(std::move(k)) {}
    bus_keeper(const bus_keeper&) = delete;
    POSTHASTE_NOINLINE void keep() noexcept { kept = bus.lock(); }
    const std::weak_ptr<const void>& bus;
    std::shared_ptr<const void> kept;
};

}  // namespace posthaste
