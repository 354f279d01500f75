// How long it takes a sleeping thread to begin.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include "measure.hpp"

#include <atomic>
#include <chrono>
#include <thread>

/// The one who posts sleeps too, before and after, so that it is not in the way.
class stopwatch {
public:
    template <typename Post>
    std::chrono::duration<double> time(Post post) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        ran_.store({}, std::memory_order_relaxed);
        const auto posted = steady::now();
        post();
        for (;;) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
            const auto ran = ran_.load(std::memory_order_acquire);
            if (ran != steady::time_point()) return ran - posted;
        }
    }
    void stop() noexcept { ran_.store(steady::now(), std::memory_order_release); }

private:
    std::atomic<steady::time_point> ran_ = steady::time_point();
};

/// An executor of one thread, which has slept a while.
template <typename Executor>
class wakes {
public:
    std::chrono::duration<double> operator()() {
        return watch_.time([this] { on_.post([this] { watch_.stop(); }); });
    }

private:
    stopwatch watch_;
    Executor on_{1};
};
