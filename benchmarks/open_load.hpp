// Requests that come, whether or not others are done.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include "measure.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

using milliseconds = std::chrono::duration<double, std::milli>;

/// How long a measurement takes: with POSTHASTE_SMOKE set in the environment, not long.
inline std::chrono::milliseconds load_time(std::chrono::milliseconds usually) {
    return std::getenv("POSTHASTE_SMOKE") ? usually / 20 : usually;
}

/// Calls `arrives(i)` on this thread, so many times a second, as long as it takes. Returns when it
/// began; request i was due at due(i), and that is what it is late by.
class schedule {
public:
    schedule(std::size_t per_second, std::chrono::milliseconds length)
        : step_(std::chrono::nanoseconds(std::chrono::seconds(1)) / per_second),
          count_(static_cast<std::size_t>(length / step_)) {}

    std::size_t count() const noexcept { return count_; }
    steady::time_point due(std::size_t i) const noexcept { return begin_ + i * step_; }
    steady::time_point end() const noexcept { return due(count_); }

    void run(const std::function<void(std::size_t)>& arrives) {
        begin_ = steady::now() + std::chrono::milliseconds(1);
        for (std::size_t i = 0; i != count_; ++i) {
            std::this_thread::sleep_until(due(i));
            arrives(i);
        }
        std::this_thread::sleep_until(end());
    }

private:
    std::chrono::nanoseconds step_;
    std::size_t count_;
    steady::time_point begin_;
};

/// Of so many, a hundredth of them is longer; 0 of none.
inline double percentile_99(std::vector<milliseconds>& all) {
    if (all.empty()) return 0;
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(all.size() * 99 / 100);
    std::nth_element(all.begin(), at, all.end());
    return at->count();
}

/// A contender that measures itself, in units of its own: it writes counters "in <unit>".
template <typename Contender, typename... Args>
bool contend_under_load(const std::string& workload, const std::string& name, Args... args) {
    const auto run = [args...](benchmark::State& s) {
        for (auto _ : s) {
            Contender contender(args...);
            const auto begin = steady::now();
            contender(s);
            s.SetIterationTime(std::chrono::duration<double>(steady::now() - begin).count());
        }
    };
    benchmark::RegisterBenchmark((workload + '/' + name).c_str(), run)
        ->UseManualTime()
        ->Iterations(1);
    return true;
}
