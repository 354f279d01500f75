// Set once, it lets everyone through.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/wait/waiter_list.hpp>

#include <atomic>
#include <coroutine>

namespace posthaste {

/// Lets any number of coroutines wait until something has happened. It cannot un-happen.
///
///     event ready;
///     if (auto ok = co_await ready.wait(); !ok) co_return ok.error();   // cancelled
///
/// Requires   the event outlives every wait; set() is done with it by the time a wait() returns.
/// Ordering   what was done before set() happens before every wait() that succeeds.
/// Threads    any. A waiter goes on at its home, after set() has returned or beside it.
/// Cost       no allocation; a short lock.
/// Cancel     a wait ends with `cancelled` when the context's stop is requested.
class event {
    class waiting;

public:
    event() = default;
    event(const event&) = delete;

    /// Wakes all who wait. Further calls do nothing.
    void set() noexcept {
        const auto guard = line_.lock();
        set_.store(true, std::memory_order_release);  // (1)
        while (line_.wake_first()) {}
    }
    bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }  // (2)

    /// Errors     cancelled.
    [[nodiscard]] waiting wait() noexcept { return waiting(*this); }

private:
    class waiting {
    public:
        static constexpr bool keeps_home = true;
        explicit waiting(event& e) noexcept : event_(e), waiter_(e.line_) {}
        waiting(waiting&& not_yet) noexcept : waiting(not_yet.event_) {}
        bool await_ready() noexcept { return ready_ = event_.is_set(); }
        template <homed Promise>
        bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
            return waiter_.stand(h.promise(), "an event", [&e = event_] { return e.is_set(); });
        }
        result<void> await_resume() noexcept {
            if (!ready_ && !waiter_.woken()) return failure(code::cancelled);
            if (ready_) static_cast<void>(event_.line_.lock());  // set() has left the event
            return {};
        }

    private:
        event& event_;
        waiter_list::waiter waiter_;
        bool ready_ = false;
    };

    // (1) releases what came before set() to (2), which acquires it.
    std::atomic<bool> set_ = false;
    waiter_list line_;
};

}  // namespace posthaste
