// An executor on the thread that drives it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/run/executor.hpp>
#include <posthaste/run/timer_wheel.hpp>
#include <posthaste/run/work_list.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace posthaste {

/// Runs work, in order of arrival, while a thread drives it: a whole program on main()'s thread, or
/// the caller's side of sync_wait().
///
/// Threads    post() from any; driven by one at a time.
/// Cost       no thread, no allocation; asleep while there is nothing to do.
class run_loop final : public executor {
public:
    run_loop() = default;
    run_loop(const run_loop&) = delete;
    ~run_loop() { drive_ready(); }

    void post(work& w) noexcept override {
        if (here()) return ready_.put(w);
        const std::lock_guard guard(mutex_);
        inbox_.put(w);
        changed_.notify_one();  // under the lock: afterwards the loop may be gone
    }
    time_point now() const noexcept override { return std::chrono::steady_clock::now(); }
    void arm(timer& t, time_point due) noexcept override {
        if (due == never) return;
        const std::lock_guard guard(timers_mutex_);
        timers_.arm(t, due);
        if (here()) return;
        const std::lock_guard asleep(mutex_);  // within: it cannot fire before this is done
        rearmed_ = true;
        changed_.notify_one();
    }
    void disarm(timer& t) noexcept override {
        const std::lock_guard guard(timers_mutex_);
        timers_.disarm(t);
    }

    /// `done` is to be set by work of this loop.
    void drive(detail::flag& done) override {
        run_until([&] { return done.is_set(); }, never);
    }
    bool drive_while(bool (*busy)(void*), void* of, time_point end) override {
        run_until([&] { return !busy(of) || now() >= end; }, end);
        return !busy(of);
    }
    void drive_ready() noexcept override {
        const on_stage here_now(*this);
        do {
            while (run_one()) {}
        } while (collect(time_point::min()));
    }
    bool idle_here() const noexcept override { return driven_ == 0; }

private:
    // Makes the calling thread the one that runs this loop's work.
    class on_stage {
    public:
        explicit on_stage(run_loop& l) noexcept : loop_(l), before_(detail::this_thread()) {
            detail::thread_state& t = detail::this_thread();
            t.executor = &l;
            t.depth = 0;
            ++loop_.driven_;
        }
        on_stage(const on_stage&) = delete;
        ~on_stage() {
            detail::thread_state& t = detail::this_thread();
            t.executor = before_.executor;
            t.depth = before_.depth;
            --loop_.driven_;
        }

    private:
        run_loop& loop_;
        detail::thread_state before_;
    };

    template <typename Done>
    void run_until(Done done, time_point limit) {
        const on_stage here_now(*this);
        while (!done()) {
            fire_timers();
            if (run_one()) {
                if (++turns_ % 64 == 0) collect(time_point::min());  // others have their turn
            } else if (!done()) {
                collect(limit);
            }
        }
    }
    bool run_one() noexcept {
        work* w = ready_.take();
        if (!w) return false;
        detail::this_thread().depth = 0;
        w->run(*w);
        return true;
    }
    void fire_timers() noexcept {
        const std::lock_guard guard(timers_mutex_);
        if (!timers_.empty()) timers_.advance(now());
    }
    // Takes in what other threads posted; waits for it until `limit` or the next timer.
    bool collect(time_point limit) noexcept {
        if (limit != time_point::min()) {
            const std::lock_guard guard(timers_mutex_);
            limit = std::min(limit, timers_.next_due());
        }
        std::unique_lock guard(mutex_);
        const auto called = [this] { return rearmed_ || !inbox_.empty(); };
        if (limit == never) changed_.wait(guard, called);
        else if (limit > time_point()) changed_.wait_until(guard, limit, called);
        rearmed_ = false;
        const bool any = !inbox_.empty();
        ready_.append(inbox_);
        return any;
    }

    work_list ready_;  // the driving thread's own
    int driven_ = 0;  // drives within one another
    unsigned turns_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    work_list inbox_;  // guarded by mutex_
    bool rearmed_ = false;  // guarded by mutex_: another thread armed a timer
    std::mutex timers_mutex_;
    timer_wheel timers_;  // guarded by timers_mutex_
};

}  // namespace posthaste
