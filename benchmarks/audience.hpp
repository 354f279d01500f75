// What the subscribers of one publisher have heard.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include "measure.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

struct event {
    std::uint64_t number;
};

template <std::size_t Subscribers>
class audience {
public:
    static constexpr std::uint64_t window = 512;  ///< messages

    /// A subscriber has heard this, which must be what comes after the one before.
    void one(std::size_t who, const event& e) noexcept {
        auto& n = heard_[who].n;
        if (n.load(std::memory_order_relaxed) != e.number) fail("out of order");
        n.store(e.number + 1, std::memory_order_release);
    }
    /// The slowest has heard so many.
    std::uint64_t all_heard() const noexcept {
        std::uint64_t least = ~std::uint64_t{0};
        for (const counter& c : heard_) {
            const std::uint64_t n = c.n.load(std::memory_order_acquire);
            if (n < least) least = n;
        }
        return least;
    }
    /// Whether the publisher may go on with this one: it is never more than a window ahead of the
    /// slowest; when it is, it waits until that has heard half of the window.
    bool is_ready_for(std::uint64_t number) noexcept {
        if (number != allowed_) return true;
        if (all_heard() + window / 2 < allowed_) return false;
        allowed_ += window / 2;
        return true;
    }

private:
    struct alignas(64) counter {
        std::atomic<std::uint64_t> n = 0;
    };
    std::array<counter, Subscribers> heard_;
    std::uint64_t allowed_ = window;  // the publisher's own
};
