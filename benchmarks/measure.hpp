// How a contender enters the suite, and is measured.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include "allocations.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// As long as a program has had one thread only, libstdc++ counts references without locked
/// instructions. No user of these libraries lives in such a program.
inline const bool has_had_threads = (std::thread([] {}).join(), true);

[[noreturn]] inline void fail(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

using steady = std::chrono::steady_clock;

/// How many operations a contender does in a turn; 1 unless it says `static constexpr batch`.
template <typename Contender>
constexpr std::uint64_t batch_of() {
    if constexpr (requires { Contender::batch; }) return Contender::batch;
    else return 1;
}

/// What is common to all: set up, warm up, time n turns, count what was allocated, and see that the
/// work was done: the contender says how many operations it can prove.
template <typename Contender, typename... Args>
void measure(benchmark::State& state, const Args&... args) {
    Contender contender(args...);
    const auto turns = [&](std::uint64_t n) {
        if (contender(n) != n * batch_of<Contender>()) fail("not all of the work was done");
    };
    const auto end = steady::now() + std::chrono::milliseconds(5);
    for (std::uint64_t n = 1; steady::now() < end && n < 100'000; n *= 4) turns(n);

    const auto n = static_cast<std::uint64_t>(state.max_iterations);
    const std::uint64_t before = allocations();
    while (state.KeepRunningBatch(state.max_iterations)) turns(n);
    const auto operations = static_cast<double>(n * batch_of<Contender>());
    state.counters["allocations_per_op"] = static_cast<double>(allocations() - before) / operations;
    state.SetItemsProcessed(static_cast<std::int64_t>(operations));
}

/// Measures `contender(n)`, which does n operations (or n turns of `batch` operations), returns how
/// many operations it has done, and is constructed of `args` beforehand: several times, while the
/// right n is looked for, unless it says `static constexpr turns`.
template <typename Contender, typename... Args>
bool contend(const std::string& workload, const std::string& name, Args... args) {
    const auto run = [args...](benchmark::State& s) { measure<Contender>(s, args...); };
    auto* const b = benchmark::RegisterBenchmark((workload + '/' + name).c_str(), run);
    b->UseRealTime();
    if constexpr (requires { Contender::turns; }) b->Iterations(Contender::turns);
    return true;
}

/// For what cannot be repeated without a pause: `contender()` does it once and returns how long it
/// took; the median of some hundred is measured.
template <typename Contender, typename... Args>
bool contend_singly(const std::string& workload, const std::string& name, Args... args) {
    const auto run = [args...](benchmark::State& s) {
        Contender contender(args...);
        for (auto _ : s) {
            std::vector<std::chrono::duration<double>> times(201);
            for (auto& t : times) t = contender();
            std::nth_element(times.begin(), times.begin() + 100, times.end());
            s.SetIterationTime(times[100].count());
        }
    };
    benchmark::RegisterBenchmark((workload + '/' + name).c_str(), run)
        ->UseManualTime()
        ->Iterations(1);
    return true;
}
