// An endpoint whose calls take as long as they are told.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include "conversation.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace posthaste::testing {

struct errand {
    using reply = int;
    duration length;
    bool good;
};

/// Counts how many of its handlers run, and how many were asked to stop.
struct errands {
    int running = 0, stopped = 0;

    void at(bus& app, const char* name, std::size_t n = 16) {
        app.handle<errand>(name, parallel(n), [this](errand e) -> task<result<int>> {
            ++running;
            const auto slept = co_await sleep_for(e.length);
            --running;
            if (!slept) ++stopped;
            if (!e.good) co_return failure(code::unavailable);
            co_return static_cast<int>(e.length / std::chrono::milliseconds(1));
        });
    }
};

/// Errands that end at different times, a few of them bad.
inline std::vector<errand> some_errands(std::uint64_t seed, std::size_t count) {
    std::vector<errand> all;
    for (std::size_t i = 0; i != count; ++i) {
        seed = detail::mix(seed);
        const auto slot = std::chrono::milliseconds(10 * (1 + seed % 20));
        all.push_back({slot + std::chrono::milliseconds(i), seed / 64 % 3 != 0});
    }
    return all;
}

}  // namespace posthaste::testing
