// oneTBB: task_group. It has no coroutines and no messages.  SPDX-License-Identifier: BSL-1.0
#include "measure.hpp"
#include "workloads.hpp"

#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace {

template <int Threads>
class spawns {
public:
    static constexpr std::uint64_t batch = workload::spawned;
    std::uint64_t operator()(std::uint64_t turns) {
        std::atomic<std::uint64_t> ended = 0;
        arena_.execute([&] {
            for (std::uint64_t t = 0; t != turns; ++t) {
                tbb::task_group tasks;
                for (std::uint64_t i = 0; i != batch; ++i)
                    tasks.run([&] { ended.fetch_add(1, std::memory_order_relaxed); });
                tasks.wait();
            }
        });
        return ended;
    }

private:
    tbb::task_arena arena_{Threads};
};

class fib {
public:
    static constexpr std::uint64_t batch = workload::fib_tasks;
    std::uint64_t operator()(std::uint64_t turns) {
        std::uint64_t tasks = 0;
        arena_.execute([&] {
            for (std::uint64_t i = 0; i != turns; ++i)
                tasks += term(workload::fib_of) == workload::fib_value ? batch : 0;
        });
        return tasks;
    }

private:
    static std::uint64_t term(unsigned n) {
        if (n < 2) return n;
        std::uint64_t a = 0, b = 0;
        tbb::task_group both;
        both.run([&] { a = term(n - 1); });
        both.run_and_wait([&] { b = term(n - 2); });
        return a + b;
    }
    tbb::task_arena arena_{2};
};

class skynet {
public:
    static constexpr std::uint64_t batch = workload::skynet_leaves;
    std::uint64_t operator()(std::uint64_t turns) {
        std::uint64_t leaves = 0;
        arena_.execute([&] {
            for (std::uint64_t i = 0; i != turns; ++i)
                leaves += tree(0, batch) == batch * (batch - 1) / 2 ? batch : 0;
        });
        return leaves;
    }

private:
    static std::uint64_t tree(std::uint64_t first, std::uint64_t leaves) {
        if (leaves == 1) return first;
        std::array<std::uint64_t, 10> sums{};
        tbb::task_group parts;
        for (std::size_t i = 0; i != sums.size(); ++i) {
            parts.run([&sums, i, first, leaves] {
                sums[i] = tree(first + i * (leaves / 10), leaves / 10);
            });
        }
        parts.wait();
        std::uint64_t sum = 0;
        for (const std::uint64_t s : sums) sum += s;
        return sum;
    }
    tbb::task_arena arena_{2};
};

[[maybe_unused]] const bool contenders[] = {
    contend<spawns<1>>(workload::spawn_1, "oneTBB"),
    contend<spawns<2>>(workload::spawn_2, "oneTBB"),
    contend<skynet>(workload::skynet, "oneTBB"),
    contend<fib>(workload::fib, "oneTBB"),
};

}  // namespace
