// A coroutine that runs when it is awaited.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/assert.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/run/promise.hpp>
#include <posthaste/wait/frame.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace posthaste {

namespace detail {

/// A promise with an outcome: nothing yet, a value, or an exception.
template <typename Stored>
class outcome_promise : public promise_base {
public:
    void unhandled_exception() noexcept {
        drop();
        std::construct_at(&thrown_, std::current_exception());
        outcome_ = outcome::thrown;
    }
    /// For who was told so, or has not started it.
    bool has_ended() const noexcept { return outcome_ != outcome::none; }
    /// What it threw; null if it did not.
    std::exception_ptr thrown() const noexcept {
        return outcome_ == outcome::thrown ? thrown_ : nullptr;
    }
    /// nullptr if it gave none.
    Stored* value() noexcept {
        return outcome_ == outcome::value ? std::addressof(value_) : nullptr;
    }

protected:
    explicit outcome_promise(std::coroutine_handle<> h) noexcept : promise_base(h) {}
    ~outcome_promise() { drop(); }

    // A second time, if something threw after the first and was caught.
    template <typename... Args>
    void give(Args&&... args) noexcept(std::is_nothrow_constructible_v<Stored, Args...>) {
        if constexpr (!std::is_trivially_destructible_v<Stored>) {
            if (outcome_ != outcome::none) start_anew();
        }
        std::construct_at(std::addressof(value_), std::forward<Args>(args)...);
        outcome_ = outcome::value;
    }
    Stored& given() {
        if (outcome_ != outcome::value) rethrow_it();
        return value_;
    }

private:
    [[noreturn]] POSTHASTE_NOINLINE void rethrow_it() {
        POSTHASTE_ASSERT(outcome_ == outcome::thrown);
        rethrow(thrown_);
    }
    POSTHASTE_NOINLINE void start_anew() noexcept {
        drop();
        outcome_ = outcome::none;
    }
    void drop() noexcept {
        if constexpr (!std::is_trivially_destructible_v<Stored>) {
            if (outcome_ == outcome::value) std::destroy_at(std::addressof(value_));
        }
        if (outcome_ == outcome::thrown) std::destroy_at(&thrown_);
    }

    union {
        Stored value_;
        std::exception_ptr thrown_;
    };
};

template <typename T>
using stored_for = std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, T>;

template <typename T>
class task_promise final : public outcome_promise<stored_for<T>> {
public:
    task_promise() noexcept
        : outcome_promise<stored_for<T>>(std::coroutine_handle<task_promise>::from_promise(*this)) {
    }
    task<T> get_return_object() noexcept;

    template <typename U = T>
        requires std::constructible_from<T, U>
    void return_value(U&& value) noexcept(std::is_nothrow_constructible_v<T, U>) {
        if constexpr (std::is_reference_v<T>) this->give(std::addressof(value));
        else this->give(std::forward<U>(value));
    }
    T take() {
        if constexpr (std::is_reference_v<T>) return static_cast<T>(*this->given());
        else return std::move(this->given());
    }
};

struct nothing_to_give {};

template <>
class task_promise<void> final : public outcome_promise<nothing_to_give> {
public:
    task_promise() noexcept
        : outcome_promise(std::coroutine_handle<task_promise>::from_promise(*this)) {}
    task<void> get_return_object() noexcept;
    void return_void() noexcept { give(); }
    void take() { given(); }
};

}  // namespace detail

/// A coroutine that begins when it is awaited, and belongs to who holds it.
///
///     task<int> twice(int n) { co_return 2 * n; }
///     task<int> answer() { co_return co_await twice(21); }
///
/// It runs at the home of who awaits it, under the same context, and goes on there after every
/// suspension. T may be void, a reference, move-only.
///
/// Requires   awaited at most once. Destroying it before its end is only for who knows that nobody
///            can resume it.
/// Errors     what the body throws comes out of co_await; bad_alloc from calling the coroutine.
/// Cost       the frame is recycled: no operator new in the steady state.
template <typename T = void>
class [[nodiscard]] task {
public:
    using promise_type = detail::task_promise<T>;
    using value_type = T;

    task() = default;
    task(task&& other) noexcept : handle_(detail::exchange(other.handle_, nullptr)) {}
    task& operator=(task other) noexcept { return std::swap(handle_, other.handle_), *this; }
    ~task() {
        if (handle_) handle_.destroy();
    }

    explicit operator bool() const noexcept { return static_cast<bool>(handle_); }

    auto operator co_await() && noexcept {
        POSTHASTE_ASSERT(handle_ && "co_await: the task is empty, or was awaited before");
        return awaiting(let_go());
    }

    /// For those who start tasks by other means than co_await.
    promise_type& promise() const noexcept {
        POSTHASTE_ASSERT(handle_ && "the task is empty");
        return handle_.promise();
    }
    /// The frame belongs to the caller from now on.
    std::coroutine_handle<promise_type> let_go() noexcept {
        return detail::exchange(handle_, nullptr);
    }

private:
    friend promise_type;
    explicit task(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}

    class awaiting {
    public:
        static constexpr bool keeps_home = true;
        explicit awaiting(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}
        awaiting(const awaiting&) = delete;
        ~awaiting() { handle_.destroy(); }
        bool await_ready() const noexcept { return false; }
        template <homed Promise>
        bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
            frame& parent = h.promise();
            detail::promise_base& child = handle_.promise();
            child.place(*parent.at, parent.under);
            return !child.start(
                handle_,
                [](detail::promise_base& p) noexcept {
                    frame& up = *static_cast<frame*>(p.owner());
                    up.at->transfer(up);
                },
                &parent);
        }
        template <typename Promise>
        void await_suspend(std::coroutine_handle<Promise>) noexcept {
            static_assert(homed<Promise>,
                          "co_await: a posthaste::task has no home in this coroutine; "
                          "await it in a posthaste::task, or use sync_wait()");
        }
        T await_resume() { return handle_.promise().take(); }

    private:
        const std::coroutine_handle<promise_type> handle_;
    };

    std::coroutine_handle<promise_type> handle_;
};

namespace detail {
template <typename T>
task<T> task_promise<T>::get_return_object() noexcept {
    return task<T>(std::coroutine_handle<task_promise>::from_promise(*this));
}
inline task<void> task_promise<void>::get_return_object() noexcept {
    return task<void>(std::coroutine_handle<task_promise>::from_promise(*this));
}
}  // namespace detail

}  // namespace posthaste
