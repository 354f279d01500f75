// A mutex, a condition variable, a deque: what one would write.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

class function_queue {
public:
    void put(std::function<void()> f) {
        {
            const std::lock_guard guard(mutex_);
            queue_.push_back(std::move(f));
        }
        changed_.notify_one();
    }
    void run_one() {
        std::unique_lock guard(mutex_);
        changed_.wait(guard, [this] { return !queue_.empty(); });
        const std::function<void()> f = std::move(queue_.front());
        queue_.pop_front();
        guard.unlock();
        f();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> queue_;
};

/// One thread that takes functions from a queue.
class worker_thread {
public:
    worker_thread() = default;
    worker_thread(const worker_thread&) = delete;
    ~worker_thread() {
        put([this] { ended_ = true; });
        thread_.join();
    }
    void put(std::function<void()> f) { queue_.put(std::move(f)); }

    /// The answer will be f().
    template <typename F>
    std::future<std::uint64_t> ask(F f) {
        // Shared, as set_value() may still be in the promise when the caller goes on.
        auto answer = std::make_shared<std::promise<std::uint64_t>>();
        auto given = answer->get_future();
        put([answer = std::move(answer), f = std::move(f)] { answer->set_value(f()); });
        return given;
    }

private:
    bool ended_ = false;  // the thread's own
    function_queue queue_;
    std::thread thread_{[this] {
        while (!ended_) queue_.run_one();
    }};
};
