// A coroutine that runs when it is awaited.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/assert.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/run/promise.hpp>
#include <posthaste/wait/frame.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

namespace posthaste {

namespace detail {

/// The outcome of a task: nothing yet, a value, or an exception.
template <typename T>
class task_promise final : public promise_base {
    using stored = std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, T>;

public:
    task_promise() noexcept
        : promise_base(std::coroutine_handle<task_promise>::from_promise(*this)) {}
    task<T> get_return_object() noexcept;

    template <typename U = T>
        requires std::constructible_from<T, U>
    void return_value(U&& value) noexcept(std::is_nothrow_constructible_v<T, U>) {
        if constexpr (std::is_reference_v<T>) outcome_.template emplace<1>(std::addressof(value));
        else outcome_.template emplace<1>(std::forward<U>(value));
    }
    void unhandled_exception() noexcept { outcome_.template emplace<2>(std::current_exception()); }

    /// nullptr if it gave none.
    stored* value() noexcept { return std::get_if<1>(&outcome_); }
    /// What it threw; null if it did not.
    std::exception_ptr thrown() const noexcept {
        return outcome_.index() == 2 ? *std::get_if<2>(&outcome_) : nullptr;
    }
    T take() {
        if (outcome_.index() == 2) rethrow(*std::get_if<2>(&outcome_));
        POSTHASTE_ASSERT(outcome_.index() == 1);
        if constexpr (std::is_reference_v<T>) return static_cast<T>(**std::get_if<1>(&outcome_));
        else return std::move(*std::get_if<1>(&outcome_));
    }

private:
    std::variant<std::monostate, stored, std::exception_ptr> outcome_;
};

template <>
class task_promise<void> final : public promise_base {
public:
    task_promise() noexcept
        : promise_base(std::coroutine_handle<task_promise>::from_promise(*this)) {}
    task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { thrown_ = std::current_exception(); }
    std::exception_ptr thrown() const noexcept { return thrown_; }
    void take() {
        if (thrown_) rethrow(thrown_);
    }

private:
    std::exception_ptr thrown_;
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
    task(task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    task& operator=(task other) noexcept { return std::swap(handle_, other.handle_), *this; }
    ~task() {
        if (handle_) handle_.destroy();
    }

    explicit operator bool() const noexcept { return static_cast<bool>(handle_); }

    auto operator co_await() && noexcept {
        POSTHASTE_ASSERT(handle_ && "co_await: the task is empty, or was awaited before");
        return awaiting(std::move(*this));
    }

    /// For those who start tasks by other means than co_await.
    promise_type& promise() const noexcept {
        POSTHASTE_ASSERT(handle_ && "the task is empty");
        return handle_.promise();
    }
    /// The frame belongs to the caller from now on.
    std::coroutine_handle<promise_type> let_go() noexcept {
        return std::exchange(handle_, nullptr);
    }

private:
    friend promise_type;
    explicit task(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}

    class awaiting {
    public:
        static constexpr bool keeps_home = true;
        explicit awaiting(task t) noexcept : task_(std::move(t)) {}
        bool await_ready() const noexcept { return false; }
        template <homed Promise>
        bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
            frame& parent = h.promise();
            detail::promise_base& child = task_.promise();
            child.place(
                *parent.at, parent.under,
                [](detail::promise_base& p) noexcept {
                    frame& up = *static_cast<frame*>(p.owner());
                    if (!p.starter_is_here()) up.at->transfer(up);
                },
                &parent);
            return !child.start_here();
        }
        template <typename Promise>
        void await_suspend(std::coroutine_handle<Promise>) noexcept {
            static_assert(homed<Promise>,
                          "co_await: a posthaste::task has no home in this coroutine; "
                          "await it in a posthaste::task, or use sync_wait()");
        }
        T await_resume() { return task_.promise().take(); }

    private:
        task task_;
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
