// An executor that orders nothing by itself.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/run/executor.hpp>
#include <posthaste/run/work_list.hpp>
#include <posthaste/wait/timer.hpp>

#include <atomic>
#include <thread>
#include <utility>

namespace posthaste::testing {

/// What a thread posts is kept for that thread, which runs it when the test says so; a timer fires
/// when the test fires it. No lock and no atomic lies between two threads: if what one did happens
/// before what the other does, what is tested has seen to it, and ThreadSanitizer tells if not.
class by_hand : public executor {
public:
    void post(work& w) noexcept override { posted_here().put(w); }
    time_point now() const noexcept override { return {}; }
    void arm(timer& t, time_point due) noexcept override { t.due = due, t.armed = true; }
    void disarm(timer& t) noexcept override { t.armed = false; }

    void drive(detail::flag&) override {}
    bool drive_while(bool (*)(void*), void*, time_point) override { return true; }
    void drive_ready() noexcept override {}
    bool idle_here() const noexcept override { return false; }

    /// What this thread has posted, for itself or another one to run.
    static work_list posted() noexcept { return std::exchange(posted_here(), work_list()); }
    /// Runs it, and what comes of it.
    static void run(work_list list) noexcept {
        while (work* w = list.take()) {
            w->run(*w);
            work_list more = posted();
            list.append(more);
        }
    }

private:
    static work_list& posted_here() noexcept {
        static thread_local work_list list;
        return list;
    }
};

/// How far two threads have come: says when, and orders nothing.
class milestone {
public:
    void reach(int n) noexcept { reached_.store(n, std::memory_order_relaxed); }
    void wait_for(int n) const noexcept {
        while (reached_.load(std::memory_order_relaxed) < n) std::this_thread::yield();
    }

private:
    std::atomic<int> reached_ = 0;
};

}  // namespace posthaste::testing
