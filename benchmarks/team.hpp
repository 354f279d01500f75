// Threads that do the same thing at once, again and again.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

/// They live as long as it does, so that no turn is the first one of a thread.
class team {
public:
    explicit team(std::size_t size) {
        for (std::size_t i = 0; i != size; ++i) threads_.emplace_back([this, i] { work(i); });
    }
    team(const team&) = delete;
    ~team() {
        begin(nullptr);
        for (auto& t : threads_) t.join();
    }
    std::size_t size() const noexcept { return threads_.size(); }

    /// f(i) on each thread, i from 0; returns when all have done it.
    void run(std::function<void(std::size_t)> f) {
        begin(std::move(f));
        std::unique_lock guard(mutex_);
        changed_.wait(guard, [this] { return left_ == 0; });
    }

private:
    void begin(std::function<void(std::size_t)> f) {
        const std::lock_guard guard(mutex_);
        what_ = std::move(f);
        left_ = threads_.size();
        ++turn_;
        changed_.notify_all();
    }
    void work(std::size_t i) {
        std::unique_lock guard(mutex_);
        for (std::size_t done = 0;;) {
            changed_.wait(guard, [&] { return turn_ != done; });
            done = turn_;
            if (!what_) return;
            guard.unlock();
            what_(i);
            guard.lock();
            if (--left_ == 0) changed_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::function<void(std::size_t)> what_;
    std::size_t turn_ = 0, left_ = 0;
    std::vector<std::thread> threads_;
};
