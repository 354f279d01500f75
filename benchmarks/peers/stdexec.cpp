// stdexec: task, when_all, async_scope, static_thread_pool.  SPDX-License-Identifier: BSL-1.0
//
// A task goes back to its scheduler after each await. It has no queue and no endpoints.
#include "measure.hpp"
#include "workloads.hpp"

#include <exec/async_scope.hpp>
#include <exec/static_thread_pool.hpp>
#include <exec/task.hpp>
#include <stdexec/execution.hpp>

#include <atomic>
#include <cstdint>
#include <tuple>

namespace {

class awaits {
public:
    std::uint64_t operator()(std::uint64_t n) {
        return std::get<0>(*stdexec::sync_wait(again_and_again(n)));  // on this thread
    }

private:
    static exec::task<std::uint64_t> add_one(std::uint64_t to) { co_return to + 1; }
    static exec::task<std::uint64_t> again_and_again(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) sum = co_await add_one(sum);
        co_return sum;
    }
};

struct awaits_8 {
    static exec::task<std::uint64_t> add_one(std::uint64_t to) { co_return to + 1; }
    static exec::task<std::uint64_t> again_and_again(std::uint64_t n) {
        std::uint64_t right = 0;
        for (std::uint64_t i = 0; i != n; ++i) {
            auto all = co_await stdexec::when_all(add_one(i), add_one(i), add_one(i), add_one(i),
                                                  add_one(i), add_one(i), add_one(i), add_one(i));
            std::apply([&](auto... v) { right += ((v == i + 1) && ...); }, all);
        }
        co_return right;
    }
    std::uint64_t operator()(std::uint64_t n) {
        return std::get<0>(*stdexec::sync_wait(again_and_again(n)));  // on this thread
    }
};

template <unsigned Threads>
class spawns {
public:
    static constexpr std::uint64_t batch = workload::spawned;
    std::uint64_t operator()(std::uint64_t turns) {
        ended_ = 0;
        for (std::uint64_t t = 0; t != turns; ++t) {
            exec::async_scope scope;
            for (std::uint64_t i = 0; i != batch; ++i) {
                scope.spawn(stdexec::then(stdexec::schedule(pool_.get_scheduler()), [this] {
                    ended_.fetch_add(1, std::memory_order_relaxed);
                }));
            }
            stdexec::sync_wait(scope.on_empty());
        }
        return ended_;
    }

private:
    std::atomic<std::uint64_t> ended_ = 0;
    exec::static_thread_pool pool_{Threads};
};

[[maybe_unused]] const bool contenders[] = {
    contend<awaits>(workload::await_task, "stdexec"),
    contend<awaits_8>(workload::await_8, "stdexec"),
    contend<spawns<1>>(workload::spawn_1, "stdexec"),
    contend<spawns<2>>(workload::spawn_2, "stdexec"),
};

}  // namespace
