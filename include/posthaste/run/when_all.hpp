// Several at once, and all their values.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/run/as_task.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

namespace posthaste {

namespace detail {

/// Starts a number of tasks and counts them home.
class joint {
public:
    explicit joint(std::size_t count) noexcept : left_(count + 1) {}
    joint(joint&& not_yet) noexcept : left_(not_yet.left_.load(std::memory_order_relaxed)) {}

    using ended_fn = void (*)(promise_base& child) noexcept;

    /// `at_end` is called at the child's end; it finds this by child.owner(), and ends with
    /// ended().
    /// True: it has ended.
    bool start(promise_base& child, frame& parent, const context* under,
               ended_fn at_end = &joint::ended) noexcept {
        parent_ = &parent;
        child.place(*parent.at, under, at_end, this);
        const bool at_once = child.start_here();
        if (at_once) ++ended_at_once_;
        return at_once;
    }
    static void ended(promise_base& child) noexcept {
        joint& self = *static_cast<joint*>(child.owner());
        if (!child.starter_is_here()) self.leave();
    }
    /// Somebody more to be waited for, until leave(); false if all have ended.
    bool join() noexcept {
        std::size_t n = left_.load(std::memory_order_relaxed);
        while (n != 0 && !left_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)) {}
        return n != 0;
    }
    void leave() noexcept {
        if (count_home(1)) parent_->at->transfer(*parent_);
    }
    /// After the last start(); true if some are still under way: then *this may be gone.
    bool suspend() noexcept { return !count_home(ended_at_once_ + 1); }
    void skip() noexcept { ++ended_at_once_; }

private:
    bool count_home(std::size_t n) noexcept {
        return left_.fetch_sub(n, std::memory_order_acq_rel) == n;  // (1)
    }

    // (1) releases each task's outcome to the last one, which acquires all of them.
    // relaxed: join() has nothing to give, and leave() follows it.
    std::atomic<std::size_t> left_;  // tasks that have not ended, and the starter
    std::size_t ended_at_once_ = 0;
    frame* parent_ = nullptr;
};

/// `Tasks` are task<T>s.
template <typename... Tasks>
class all_of {
public:
    static constexpr bool keeps_home = true;
    explicit all_of(Tasks... tasks) noexcept : tasks_(std::move(tasks)...) {}
    bool await_ready() const noexcept { return sizeof...(Tasks) == 0; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        frame& parent = h.promise();
        std::apply([&](auto&... t) { (joint_.start(t.promise(), parent, parent.under), ...); },
                   tasks_);
        return joint_.suspend();
    }
    auto await_resume() {
        using values = std::tuple<value_or_nothing<typename Tasks::value_type>...>;
        return std::apply([](auto&... t) { return values{take_value(t)...}; }, tasks_);
    }

private:
    std::tuple<Tasks...> tasks_;
    joint joint_{sizeof...(Tasks)};
};

template <typename T>
class all_in {
public:
    static constexpr bool keeps_home = true;
    explicit all_in(std::vector<task<T>> ts) noexcept
        : tasks_(std::move(ts)), joint_(tasks_.size()) {}
    bool await_ready() const noexcept { return tasks_.empty(); }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        frame& parent = h.promise();
        for (auto& t : tasks_) joint_.start(t.promise(), parent, parent.under);
        return joint_.suspend();
    }
    auto await_resume() {
        if constexpr (std::is_void_v<T>) {
            for (auto& t : tasks_) t.promise().take();
        } else {
            std::vector<T> values;
            values.reserve(tasks_.size());
            for (auto& t : tasks_) values.push_back(t.promise().take());
            return values;
        }
    }

private:
    std::vector<task<T>> tasks_;
    joint joint_;
};

}  // namespace detail

/// Runs all of them at once, under the same context, and goes on at home when the last has ended.
///
///     auto both = co_await when_all(name_of(1), name_of(2));   // a std::tuple of two names
///
/// void becomes detail::nothing. An exception comes out after all have ended: the first in order of
/// the arguments. For calls use gather(), whose results are never exceptions.
/// Cost       a recycled frame for each that is not a task.
template <awaitable... As>
[[nodiscard]] auto when_all(As... as) {
    return detail::all_of<detail::task_for<As>...>(detail::as_task(std::move(as))...);
}

/// The same for any number of tasks of one kind; gives a vector, or nothing for task<>.
template <typename T>
[[nodiscard]] auto when_all(std::vector<task<T>> tasks) {
    return detail::all_in<T>(std::move(tasks));
}

}  // namespace posthaste
