// Ends a race test that hangs.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace posthaste::testing {

/// Aborts the program, naming what hangs, unless it goes away within a minute of the last pat().
class watchdog {
public:
    explicit watchdog(const char* over) : over_(over), thread_([this] { watch(); }) {}
    watchdog(const watchdog&) = delete;
    ~watchdog() {
        {
            const std::lock_guard guard(mutex_);
            gone_ = true;
            changed_.notify_one();
        }
        thread_.join();
    }
    /// All is well, and this comes next.
    void pat(const char* over) {
        const std::lock_guard guard(mutex_);
        over_ = over;
        patted_ = true;
        changed_.notify_one();
    }

private:
    void watch() {
        std::unique_lock guard(mutex_);
        while (!gone_) {
            patted_ = false;
            if (changed_.wait_for(guard, std::chrono::seconds(60),
                                  [this] { return gone_ || patted_; }))
                continue;
            std::fprintf(stderr, "it hangs: %s\n", over_);
            std::abort();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    const char* over_;
    bool gone_ = false;
    bool patted_ = false;
    std::thread thread_;
};

}  // namespace posthaste::testing
