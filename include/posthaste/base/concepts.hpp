// What may be awaited.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

namespace posthaste {

namespace detail {
template <typename T>
concept has_member_co_await = requires(T&& t) { std::forward<T>(t).operator co_await(); };
template <typename T>
concept has_free_co_await = requires(T&& t) { operator co_await(std::forward<T>(t)); };

template <typename T>
decltype(auto) awaiter_of(T&& t) {
    if constexpr (has_member_co_await<T>) return std::forward<T>(t).operator co_await();
    else if constexpr (has_free_co_await<T>) return operator co_await(std::forward<T>(t));
    else return static_cast<std::remove_reference_t<T>&>(t);
}
}  // namespace detail

/// Something with the three functions that co_await asks for.
template <typename T>
concept awaiter = requires(T& t) {
    { t.await_ready() } -> std::convertible_to<bool>;
    t.await_resume();
};

/// Something that may stand behind co_await.
template <typename T>
concept awaitable = requires(T&& t) {
    { detail::awaiter_of(std::forward<T>(t)) } -> awaiter;
};

/// What `co_await t` gives.
template <awaitable T>
using await_result_t =
    decltype(std::declval<decltype(detail::awaiter_of(std::declval<T>()))&>().await_resume());

}  // namespace posthaste
