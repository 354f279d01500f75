// How long calls took lately.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/guard/time_buckets.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace posthaste::detail {

/// The percentiles of durations over a stretch of time, of which it knows three quarters to all:
/// see time_buckets. Each histogram has 16 buckets for each power of two (HdrHistogram, Gil Tene,
/// 2012), so that what it says is never less than what was measured, and at most a 16th more, or
/// 1,024 ns; what takes more than 68 seconds counts as 68.
///
/// Threads    any.
/// Cost       counting: two additions on shared words; a percentile: a look at 1,472 words. 6 KiB.
class latency_window {
public:
    explicit latency_window(duration length) noexcept : histograms_(length) {}

    void add(time_point now, duration took) noexcept {
        histogram& h = histograms_.at(now);
        h.buckets[bucket_of(took)].fetch_add(1, std::memory_order_relaxed);
        h.total.fetch_add(1, std::memory_order_relaxed);
    }
    /// How many it knows of.
    std::uint64_t size(time_point now) noexcept {
        std::uint64_t n = 0;
        for (const histogram& h : histograms_.all(now))
            n += h.total.load(std::memory_order_relaxed);
        return n;
    }
    /// What so many of a hundred took at most; `forever` if it knows of none. 0 < p <= 100.
    duration percentile(time_point now, double p) noexcept {
        std::array<std::uint64_t, width> sums{};
        std::uint64_t total = 0;
        for (const histogram& h : histograms_.all(now)) {
            for (std::size_t i = 0; i != width; ++i) {
                const std::uint64_t n = h.buckets[i].load(std::memory_order_relaxed);
                sums[i] += n;
                total += n;
            }
        }
        if (total == 0) return forever;
        const double exact = p * static_cast<double>(total) / 100;
        const auto below = static_cast<std::uint64_t>(exact);
        const std::uint64_t rank = below + (static_cast<double>(below) < exact);
        const std::uint64_t wanted = std::clamp<std::uint64_t>(rank, 1, total);
        std::size_t i = 0;
        for (std::uint64_t seen = sums[0]; seen < wanted; seen += sums[i]) ++i;
        return most_in(i);
    }

private:
    static constexpr int unit_bits = 10;  // a unit is 1,024 ns
    static constexpr int top_bits = 26;  // more than so many bits of units are not told apart
    static constexpr std::size_t fine = 16;
    static constexpr std::size_t width = fine * (top_bits - 4 + 1);
    struct histogram {
        std::array<std::atomic<std::uint32_t>, width> buckets{};  // relaxed: they only count
        std::atomic<std::uint32_t> total = 0;  // relaxed, too
        void clear() noexcept {
            for (auto& b : buckets) b.store(0, std::memory_order_relaxed);
            total.store(0, std::memory_order_relaxed);
        }
    };

    // The first 16 are a unit wide; then 16 twice as wide, and so on.
    static std::size_t bucket_of(duration took) noexcept {
        constexpr std::uint64_t top = (std::uint64_t{1} << top_bits) - 1;
        const auto ns = static_cast<std::uint64_t>(std::max(took, duration::zero()).count());
        const std::uint64_t units = std::min(ns >> unit_bits, top);
        const int doublings = std::max(static_cast<int>(std::bit_width(units)) - 5, 0);
        return static_cast<std::size_t>(doublings) * fine +
               static_cast<std::size_t>(units >> doublings);
    }
    static duration most_in(std::size_t bucket) noexcept {
        const std::size_t row = bucket < fine ? 0 : bucket / fine - 1;
        const std::uint64_t units = static_cast<std::uint64_t>(bucket - row * fine + 1) << row;
        return duration(static_cast<duration::rep>((units << unit_bits) - 1));
    }

    time_buckets<histogram, 4> histograms_;
};

}  // namespace posthaste::detail
