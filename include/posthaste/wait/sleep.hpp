// Standing still for a while.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/timer.hpp>

#include <atomic>
#include <coroutine>

namespace posthaste {

namespace detail {

class sleeping {
public:
    static constexpr bool keeps_home = true;
    sleeping(time_point until, duration length) noexcept : until_(until), length_(length) {}
    sleeping(sleeping&& not_yet) noexcept : sleeping(not_yet.until_, not_yet.length_) {}
    ~sleeping() { cut_short(); }

    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        return stand(h.promise());
    }
    result<void> await_resume() noexcept {
        cut_short();
        if (phase_.load(std::memory_order_relaxed) & stopped) return failure(code::cancelled);
        return {};
    }

    /// For those who have a frame, and no coroutine in it; false: it is over already.
    POSTHASTE_NOINLINE bool stand(frame& f) noexcept {
        frame_ = &f;
        if (length_ != forever) until_ = saturating_add(f.at->now(), length_);
        if (!stop_.arm(f.stop())) {
            phase_.store(stopped, std::memory_order_relaxed);
            return false;
        }
        f.park("a time");
        f.at->arm(timer_, until_);
        if (phase_.fetch_or(asleep, std::memory_order_acq_rel) == 0) return true;  // (1)
        f.at->unpark(f);
        return false;
    }

private:
    static constexpr unsigned char asleep = 1, over = 2, stopped = 4;

    void end(unsigned char how) noexcept {
        unsigned char seen = phase_.load(std::memory_order_relaxed);
        do {
            if (seen & (over | stopped)) return;
        } while (!phase_.compare_exchange_weak(seen, static_cast<unsigned char>(seen | how),
                                               std::memory_order_acq_rel,  // (1)
                                               std::memory_order_relaxed));
        if (seen & asleep) frame_->wake();
    }
    void cut_short() noexcept {
        if (!frame_) return;
        stop_.disarm();
        frame_->at->disarm(timer_);
    }

    struct link : stop_link {
        explicit link(sleeping& s) noexcept
            : stop_link([](stop_node& n) noexcept { static_cast<link&>(n).of.end(stopped); }),
              of(s) {}
        sleeping& of;
    };
    struct alarm : timer {
        explicit alarm(sleeping& s) noexcept
            : timer([](timer& t) noexcept { static_cast<alarm&>(t).of.end(over); }), of(s) {}
        sleeping& of;
    };

    // phase_: 0, then `asleep` by the sleeper, and one of `over` (timer) and `stopped` (stop).
    // (1) whoever comes second of sleeper and ender goes on; it acquires what the first released.
    // relaxed: a look that a read-modify-write checks; or after disarm(), when nobody else is
    // about.
    std::atomic<unsigned char> phase_ = 0;
    frame* frame_ = nullptr;
    time_point until_;
    duration length_;
    link stop_{*this};
    alarm timer_{*this};
};

}  // namespace detail

/// Stands still for at least `d`, on the clock of the executor; any length will do.
///
/// Errors     cancelled, if the context's stop is requested meanwhile.
/// Cost       no allocation, no thread.
template <typename Rep, typename Period>
[[nodiscard]] detail::sleeping sleep_for(std::chrono::duration<Rep, Period> d) noexcept {
    return detail::sleeping(never, to_duration(d));
}

/// The same, until a point in time.
[[nodiscard]] inline detail::sleeping sleep_until(time_point t) noexcept {
    return detail::sleeping(t, forever);
}

}  // namespace posthaste
