// Any awaitable as a task.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/run/task.hpp>

#include <type_traits>
#include <utility>

namespace posthaste::detail {

/// The awaitable is kept in the task's frame.
template <typename A>
task<std::remove_cvref_t<await_result_t<A>>> as_task(A a) {
    co_return co_await std::move(a);
}
template <typename T>
task<T> as_task(task<T> t) noexcept {
    return t;
}
template <typename A>
using task_for = decltype(as_task(std::declval<A>()));

/// What stands for void where a value is needed.
struct nothing {
    bool operator==(const nothing&) const = default;
};
template <typename T>
using value_or_nothing = std::conditional_t<std::is_void_v<T>, nothing, T>;

template <typename T>
value_or_nothing<T> take_value(const task<T>& t) {
    if constexpr (std::is_void_v<T>) return t.promise().take(), nothing();
    else return t.promise().take();
}

}  // namespace posthaste::detail
