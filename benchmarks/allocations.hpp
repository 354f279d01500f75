// How often operator new was called in this program.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

/// All forms of operator new on all threads; allocations.cpp replaces them.
std::uint64_t allocations() noexcept;

/// Sets the counter `allocations_per_op` of a benchmark. Construct it when the steady state is
/// reached, call report() before anything else is set up or torn down.
class allocation_count {
public:
    void report(benchmark::State& state, std::uint64_t operations) const {
        state.counters["allocations_per_op"] =
            static_cast<double>(allocations() - before_) / static_cast<double>(operations);
    }

private:
    std::uint64_t before_ = allocations();
};
