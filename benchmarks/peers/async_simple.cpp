// async_simple: Lazy, SimpleExecutor.  SPDX-License-Identifier: BSL-1.0
//
// It has no queue that a coroutine can wait on. Tasks awaited together run on the thread that
// awaits them, by collectAll(); collectAllPara() sends each to another one, at some 2 microseconds.
#include "coroutines.hpp"

#include <async_simple/coro/Collect.h>
#include <async_simple/coro/Lazy.h>
#include <async_simple/coro/SyncAwait.h>
#include <async_simple/executors/SimpleExecutor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

struct async_simple_coroutines {
    template <typename T>
    using task = async_simple::coro::Lazy<T>;

    class executor {
    public:
        explicit executor(unsigned threads) : on_(threads) {}
        template <typename T>
        T run(task<T> t) {
            return async_simple::coro::syncAwait(std::move(t).via(&on_));
        }
        void post(auto f) { on_.schedule(std::move(f)); }
        async_simple::Executor* get() { return &on_; }

    private:
        async_simple::executors::SimpleExecutor on_;
    };

    static auto both(task<std::uint64_t> a, task<std::uint64_t> b) {
        return async_simple::coro::collectAll(std::move(a), std::move(b));
    }
    static auto all(std::vector<task<std::uint64_t>>& tasks) {
        return async_simple::coro::collectAll(std::move(tasks));
    }
    static std::uint64_t value(auto& tried) { return tried.value(); }

    class tasks {
    public:
        explicit tasks(executor& on) : on_(on) {}
        void spawn(task<void> t) {
            ++left_;
            std::move(t).via(on_.get()).start([this](auto&&) { --left_; });
        }
        task<void> join() {
            while (left_ != 0) co_await async_simple::coro::Yield{};
        }

    private:
        executor& on_;
        std::atomic<std::uint64_t> left_ = 0;
    };
};

[[maybe_unused]] const bool contenders[] = {
    coroutines::contend_with_tasks<async_simple_coroutines>("async_simple"),
};

}  // namespace
