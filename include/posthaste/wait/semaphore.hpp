// Permits, and a line of those who wait for one.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/wait/waiter_list.hpp>

#include <coroutine>
#include <cstddef>
#include <utility>

namespace posthaste {

/// Lets at most n coroutines at a time do something.
///
///     semaphore slots(4);
///     auto slot = co_await slots.acquire();
///     if (!slot) co_return slot.error();   // cancelled
///     use(*slot);                          // is given back at the end of the scope
///
/// Requires   the semaphore outlives its permits and every wait.
/// Ordering   what was done before a permit is given back happens before whoever gets it next goes
///            on. First come, first served.
/// Threads    any. A waiter goes on at its home.
/// Cost       no allocation; a short lock.
/// Cancel     a wait ends with `cancelled`, and holds no permit then.
class semaphore {
    class acquiring;

public:
    /// The right to go on; gives itself back.
    class [[nodiscard]] permit {
    public:
        permit(permit&& other) noexcept : of_(detail::exchange(other.of_, nullptr)) {}
        permit& operator=(permit other) noexcept { return std::swap(of_, other.of_), *this; }
        ~permit() { release(); }
        void release() noexcept {
            if (of_) detail::exchange(of_, nullptr)->give_back();
        }

    private:
        friend semaphore;
        explicit permit(semaphore& s) noexcept : of_(&s) {}
        semaphore* of_;
    };

    explicit semaphore(std::size_t permits) noexcept : free_(permits) {}
    semaphore(const semaphore&) = delete;

    /// Errors     cancelled.
    [[nodiscard]] acquiring acquire() noexcept { return acquiring(*this); }

    /// A permit if there is one right now; `overloaded` otherwise.
    result<permit> try_acquire() noexcept {
        const auto guard = line_.lock();
        if (!take()) return failure(code::overloaded);
        return permit(*this);
    }
    std::size_t available() noexcept {
        const auto guard = line_.lock();
        return free_;
    }

private:
    class acquiring {
    public:
        static constexpr bool keeps_home = true;
        explicit acquiring(semaphore& s) noexcept : semaphore_(s), waiter_(s.line_) {}
        acquiring(acquiring&& not_yet) noexcept : acquiring(not_yet.semaphore_) {}
        bool await_ready() const noexcept { return false; }
        template <homed Promise>
        bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
            return waiter_.stand(h.promise(), "a semaphore",
                                 [&s = semaphore_] { return s.take(); });
        }
        result<permit> await_resume() noexcept {
            if (detail::exchange(done_, true) || !waiter_.woken()) return failure(code::cancelled);
            return permit(semaphore_);
        }
        ~acquiring() {  // a frame destroyed between being handed the permit and going on
            if (!done_ && waiter_.woken()) semaphore_.give_back();
        }

    private:
        semaphore& semaphore_;
        waiter_list::waiter waiter_;
        bool done_ = false;
    };

    bool take() noexcept {
        if (free_ == 0) return false;
        return --free_, true;
    }
    void give_back() noexcept {
        const auto guard = line_.lock();
        if (!line_.wake_first()) ++free_;
    }

    std::size_t free_;  // guarded by line_'s lock
    waiter_list line_;
};

}  // namespace posthaste
