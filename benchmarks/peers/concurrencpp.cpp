// concurrencpp: lazy_result, thread_pool_executor.  SPDX-License-Identifier: BSL-1.0
//
// It has no queue that a coroutine can wait on.
#include "coroutines.hpp"

#include <concurrencpp/concurrencpp.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace {

struct concurrencpp_coroutines {
    template <typename T>
    using task = concurrencpp::lazy_result<T>;

    class executor {
    public:
        explicit executor(unsigned threads)
            : on_(std::make_shared<concurrencpp::thread_pool_executor>("pool", threads,
                                                                       std::chrono::minutes(1))) {}
        ~executor() { on_->shutdown(); }
        template <typename T>
        T run(task<T> t) {
            return on_->submit([&] { return std::move(t).run(); }).get().get();
        }
        void post(auto f) { on_->post(std::move(f)); }

        auto& on() { return on_; }

    private:
        std::shared_ptr<concurrencpp::thread_pool_executor> on_;
    };

    class tasks {
    public:
        explicit tasks(executor& on) : on_(on) {}
        void spawn(task<void> t) {
            ++left_;
            on_.post([this, t = std::make_unique<task<void>>(std::move(t))] {
                std::move(*t).run().get();
                --left_;
            });
        }
        task<void> join() {
            while (left_ != 0) co_await concurrencpp::resume_on(on_.on());
        }

    private:
        executor& on_;
        std::atomic<std::uint64_t> left_ = 0;
    };
};

[[maybe_unused]] const bool contenders[] = {
    contend<coroutines::awaits<concurrencpp_coroutines>>(workload::await_task, "concurrencpp"),
    contend<coroutines::spawns<concurrencpp_coroutines, 2>>(workload::spawn_2, "concurrencpp"),
    contend_singly<wakes<concurrencpp_coroutines::executor>>(workload::wake, "concurrencpp"),
};

}  // namespace
