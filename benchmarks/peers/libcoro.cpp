// libcoro: task, queue, event, thread_pool.  SPDX-License-Identifier: BSL-1.0
//
// Several tasks awaited together run one after another on the thread that awaits them. An event
// resumes who waits for it at once, on the thread that sets it; so does a queue.
#include "coroutines.hpp"

#include <optional>  // for coro/queue.hpp

#include <coro/event.hpp>
#include <coro/queue.hpp>
#include <coro/sync_wait.hpp>
#include <coro/task.hpp>
#include <coro/task_group.hpp>
#include <coro/thread_pool.hpp>
#include <coro/when_all.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace {

struct libcoro {
    template <typename T>
    using task = coro::task<T>;

    class executor {
    public:
        explicit executor(unsigned threads, bool = false)
            : pool_(coro::thread_pool::make_unique({.thread_count = threads})) {}
        template <typename T>
        T run(task<T> t) {
            return coro::sync_wait(pool_->schedule(std::move(t)));
        }
        void start(task<void> t) { pool_->spawn_detached(std::move(t)); }
        void post(auto f) { start(as_task(std::move(f))); }
        auto yield() { return pool_->yield(); }
        std::unique_ptr<coro::thread_pool>& pool() { return pool_; }

    private:
        static task<void> as_task(auto f) {
            f();
            co_return;
        }
        std::unique_ptr<coro::thread_pool> pool_;
    };

    static auto both(task<std::uint64_t> a, task<std::uint64_t> b) {
        return coro::when_all(std::move(a), std::move(b));
    }
    static auto all(std::vector<task<std::uint64_t>>& tasks) {
        return coro::when_all(std::move(tasks));
    }
    static std::uint64_t value(auto& ended) { return ended.return_value(); }

    class tasks {
    public:
        explicit tasks(executor& on) : group_(on.pool()) {}
        void spawn(task<void> t) {
            if (!group_.start(std::move(t))) fail("not started");
        }
        auto& join() { return group_; }

    private:
        coro::task_group<coro::thread_pool> group_;
    };

    class signal {
    public:
        void set() { event_.set(); }
        auto& wait() { return event_; }

    private:
        coro::event event_;
    };

    static constexpr bool put_waits = true;

    template <typename T>
    class queue {
    public:
        auto put(const T& m) { return queue_.push(m); }
        void put_from_thread(const T& m) { coro::sync_wait(queue_.push(m)); }
        auto get() { return queue_.pop(); }
        auto close() { return queue_.shutdown(); }

    private:
        coro::queue<T> queue_;
    };
};

[[maybe_unused]] const bool contenders[] = {
    coroutines::contend_with_tasks<libcoro>("libcoro"),
    contend<coroutines::calls<libcoro>>(workload::call_idle, "libcoro"),
    contend<coroutines::calls<libcoro, coroutines::behind::another>>(workload::call_busy,
                                                                     "libcoro"),
    contend<coroutines::calls<libcoro, coroutines::behind::nothing, true>>(
        workload::call_suspending, "libcoro"),
    contend<coroutines::nested_calls<libcoro>>(workload::call_nested, "libcoro"),
    contend<coroutines::callers<libcoro, 64, 1>>(workload::callers_1, "libcoro"),
    contend_by_sending<coroutines::sink_of<libcoro>::type>("libcoro"),
};

}  // namespace
