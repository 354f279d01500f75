// What became of the messages.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace posthaste {

/// The messages of one endpoint, by their end. At rest, and after a drain,
/// accepted = handled + failed + expired + dropped + left.
struct account {
    std::uint64_t accepted = 0;
    std::uint64_t handled = 0;   ///< the handler ended well
    std::uint64_t failed = 0;    ///< it threw, returned a failure or was destroyed
    std::uint64_t expired = 0;   ///< the caller's deadline passed before it was started
    std::uint64_t dropped = 0;  ///< given up unstarted: a full queue, a caller that was cancelled
    /// Queued, at first or again, or being handled; given up, after a drain or to unsubscribe.
    std::uint64_t left = 0;
    /// Never accepted, and the sender knows, or it was in an outbox and is a dead letter; in no
    /// sum.
    std::uint64_t refused = 0;
    std::uint64_t redelivered = 0;  ///< attempts beyond a message's first, at_least_once; in no sum
    std::uint64_t late = 0;  ///< replies that came after the caller had gone; in no sum
    duration late_by{};  ///< the latest of them, after its caller's deadline

    bool adds_up() const noexcept {
        return accepted == handled + failed + expired + dropped + left;
    }

    account& operator+=(const account& o) noexcept {
        accepted += o.accepted, handled += o.handled, failed += o.failed, expired += o.expired;
        dropped += o.dropped, left += o.left, refused += o.refused, late += o.late;
        redelivered += o.redelivered;
        late_by = std::max(late_by, o.late_by);
        return *this;
    }
};

/// What drain() gives: the account of each endpoint and each subscriber, and of all.
struct drain_account {
    struct line {
        std::string endpoint;
        account messages;
    };
    struct subscriber_line {
        std::string name;  ///< the pattern, where it was given no name
        std::string pattern;
        account messages;  ///< of all of that name and pattern, also those that unsubscribed
    };
    std::vector<line> endpoints;  ///< by name
    std::vector<subscriber_line> subscribers;  ///< by name and pattern
    account total;
    std::uint64_t scheduled = 0;  ///< sent for later, and not due yet: dead letters; in no account
    std::uint64_t unheard = 0;  ///< published, and nobody listened; in no account
    bool in_time = true;  ///< all was finished within the grace, nothing had to be cancelled
};

}  // namespace posthaste
