// How calls ended lately.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/guard/time_buckets.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace posthaste::detail {

/// Counts outcomes over a stretch of time, of which it knows nine tenths to all: see time_buckets.
///
/// Threads    any.
/// Cost       counting: one addition on a shared word.
class outcome_window {
public:
    struct totals {
        std::uint64_t calls = 0, failed = 0, slow = 0;  // a call may be both
    };

    explicit outcome_window(duration length) noexcept : buckets_(length) {}

    void add(time_point now, bool failed, bool slow) noexcept {
        buckets_.at(now).calls[which(failed, slow)].fetch_add(1, std::memory_order_relaxed);
    }
    totals sum(time_point now) noexcept {
        static_cast<void>(buckets_.all(now));
        return sum();
    }
    /// As of the last time anything was counted.
    totals sum() const noexcept {
        totals t;
        for (const bucket& b : buckets_.all()) {
            const auto of = [&b](bool failed, bool slow) {
                return b.calls[which(failed, slow)].load(std::memory_order_relaxed);
            };
            const std::uint64_t failed = of(true, false), slow = of(false, true);
            const std::uint64_t both = of(true, true);
            t.calls += of(false, false) + failed + slow + both;
            t.failed += failed + both;
            t.slow += slow + both;
        }
        return t;
    }
    void clear() noexcept { buckets_.clear(); }

private:
    struct bucket {
        std::array<std::atomic<std::uint64_t>, 4> calls{};  // relaxed: they only count
        void clear() noexcept {
            for (auto& c : calls) c.store(0, std::memory_order_relaxed);
        }
    };

    static std::size_t which(bool failed, bool slow) noexcept {
        return (failed ? 1u : 0u) + (slow ? 2u : 0u);
    }

    time_buckets<bucket, 10> buckets_;
};

}  // namespace posthaste::detail
