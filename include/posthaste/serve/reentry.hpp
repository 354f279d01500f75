// Lanes for calls that come back to where they came from.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/steady_list.hpp>
#include <posthaste/serve/endpoint_core.hpp>

#include <cstddef>
#include <mutex>

namespace posthaste {

/// What a reentrant endpoint has beside its lane: one more for each call that comes back while the
/// handler that it came from stands still. They are made when they are needed, and kept.
///
/// Threads    any.
class reentry {
public:
    struct alignas(detail::cache_line) extra_lane : lane {
        using lane::lane;
        envelope* first = nullptr;  ///< what it is to take; of the lane's holder
        extra_lane* next = nullptr;
    };

    explicit reentry(endpoint_core& of) noexcept : of_(of) {}
    reentry(const reentry&) = delete;

    /// nullptr: shut, or no memory.
    extra_lane* claim() noexcept {
        const std::lock_guard guard(lock_);
        if (shut_) return nullptr;
        if (!spare_) {
            extra_lane* const made = detail::guarded(
                [&] { return &all_.add(of_, static_cast<std::uint32_t>(all_.size() + 1)); },
                [](const std::exception_ptr&) -> extra_lane* { return nullptr; });
            if (made) ++busy_;
            return made;
        }
        ++busy_;
        return detail::exchange(spare_, spare_->next);
    }
    void release(extra_lane& l) noexcept {
        const std::lock_guard guard(lock_);
        l.next = detail::exchange(spare_, &l);
        --busy_;
    }
    /// nullptr: there are not so many.
    lane* number(std::size_t i) noexcept {
        const std::lock_guard guard(lock_);
        return i < all_.size() ? &all_[i] : nullptr;
    }
    bool idle() const noexcept {
        const std::lock_guard guard(lock_);
        return busy_ == 0;
    }
    void shut() noexcept {
        const std::lock_guard guard(lock_);
        shut_ = true;
    }
    bool is_shut() const noexcept {
        const std::lock_guard guard(lock_);
        return shut_;
    }

private:
    endpoint_core& of_;
    mutable std::mutex lock_;  // guards all below
    detail::steady_list<extra_lane> all_;
    extra_lane* spare_ = nullptr;
    std::size_t busy_ = 0;
    bool shut_ = false;
};

}  // namespace posthaste
