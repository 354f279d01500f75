// Awaiting what knows nothing of homes, and coming home after it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/concepts.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/live_frames.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/wait/frame.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>

namespace posthaste::detail {

/// A coroutine of one step: whoever resumes it, on whatever thread, sends a frame home.
class way_home {
public:
    struct promise_type {
        frame& traveller;

        explicit promise_type(frame& f) noexcept : traveller(f) {}
        static void* operator new(std::size_t size) {
            void* memory = allocate(size);
            if (!memory) raise(std::bad_alloc());
            frame_born();
            return memory;
        }
        static void operator delete(void* memory) noexcept {
            frame_gone();
            deallocate(memory);
        }
        struct at_end {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
                h.promise().traveller.wake();
            }
            void await_resume() const noexcept {}
        };
        way_home get_return_object() noexcept {
            return way_home(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        at_end final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };

    way_home() = default;
    way_home(way_home&& other) noexcept : handle_(detail::exchange(other.handle_, nullptr)) {}
    way_home& operator=(way_home other) noexcept {
        return std::swap(handle_, other.handle_), *this;
    }
    ~way_home() {
        if (handle_) handle_.destroy();
    }
    std::coroutine_handle<> handle() const noexcept { return handle_; }
    // A template, since g++ compiles any other coroutine in every file that could use it.
    template <std::same_as<frame> Frame>
    static way_home of(Frame&) {
        co_return;
    }

private:
    explicit way_home(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}
    std::coroutine_handle<promise_type> handle_;
};

/// Wraps an awaiter of another library: a task that awaits it still goes on at its home.
/// Cost       a small recycled frame, if it suspends.
template <typename Awaiter>
class foreign_awaiter {
public:
    static constexpr bool keeps_home = true;
    explicit foreign_awaiter(Awaiter&& a) : awaiter_(std::forward<Awaiter>(a)) {}

    bool await_ready() { return static_cast<bool>(awaiter_.await_ready()); }

    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) {
        frame& traveller = h.promise();
        way_home_ = way_home::of(traveller);
        traveller.park("another library's awaitable");
        const std::coroutine_handle<> back = way_home_.handle();
        // one that throws has not suspended
        return guarded([&] { return suspend(traveller, back); },
                       [&](const std::exception_ptr& thrown) -> bool {
                           traveller.at->unpark(traveller);
                           rethrow(thrown);
                       });
    }
    decltype(auto) await_resume() { return awaiter_.await_resume(); }

private:
    bool suspend(frame& traveller, std::coroutine_handle<> back) {
        using returned = decltype(awaiter_.await_suspend(back));
        if constexpr (std::is_void_v<returned>) {
            awaiter_.await_suspend(back);
            return true;
        } else if constexpr (std::is_same_v<returned, bool>) {
            if (awaiter_.await_suspend(back)) return true;
            traveller.at->unpark(traveller);
            return false;
        } else {
            awaiter_.await_suspend(back).resume();
            return true;
        }
    }

    way_home way_home_;  // goes last: until the awaiter has gone somebody may know of it
    Awaiter awaiter_;
};

}  // namespace posthaste::detail
