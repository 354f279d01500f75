// What a name on a bus leads to.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/serve/lazy_endpoint.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace posthaste {

class schedule;

/// One a name, from the first time somebody mentions it until the last client is gone: clients find
/// the endpoint here, also if it is made after them.
struct address {
    address(std::string n, executor& h, const std::atomic<bool>& d, duration allowed,
            std::weak_ptr<const void> keeper) noexcept
        : home(h), draining(d), deadline(allowed), name(std::move(n)), owner(std::move(keeper)) {}

    /// Where a message of this type goes, and how it is handled there; or why it cannot go.
    struct route {
        endpoint_core* to = nullptr;
        const handler::entry* how = nullptr;
        bool no_memory = false;  ///< for the endpoint; by now there may be

        code why() const noexcept { return no_memory ? code::overloaded : code::no_handler; }
        detail::literal why_not() const noexcept {
            return no_memory ? detail::literal("no memory for its endpoint")
                   : to      ? detail::literal("it does not take this message")
                             : detail::literal("nobody has that name");
        }
    };
    route find(const detail::message_type& type) const noexcept {
        if (endpoint_core* const to = endpoint.made()) return {to, to->find(type)};
        return make_and_find(type);
    }
    POSTHASTE_NOINLINE route make_and_find(const detail::message_type& type) const noexcept {
        bool no_memory = false;
        endpoint_core* const to = endpoint.make(name, nullptr, &no_memory);
        return {to, to ? to->find(type) : nullptr, no_memory};
    }
    /// While the bus drains, only what already runs on it may still send.
    POSTHASTE_ALWAYS_INLINE bool shut() const noexcept {
        return gone.load(std::memory_order_relaxed) ||
               (draining.load(std::memory_order_relaxed) && !home.here());
    }

    executor& home;
    const std::atomic<bool>& draining;  // relaxed: the endpoints are shut for certain later
    // The bus was destroyed. relaxed: whoever finds it set touches nothing, whoever misses it finds
    // the endpoint shut.
    std::atomic<bool> gone = false;
    mutable lazy_endpoint endpoint;  ///< made by whoever sends first
    const duration deadline;  ///< of a call, where its client says nothing else
    const std::string name;
    const std::weak_ptr<const void> owner;  ///< what this is a part of
    schedule* later = nullptr;  ///< the bus's, set when this is made
    std::size_t hash = 0;  // of the table of all names, as the next one
    address* chained = nullptr;
    address* next_named = nullptr;  // that has an endpoint, too; guarded by the bus's mutex
};

}  // namespace posthaste
