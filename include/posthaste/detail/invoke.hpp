// Calls what can be called.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <type_traits>
#include <utility>

namespace posthaste::detail {

/// As std::invoke with one argument at most, for what is included by a file that has only handlers:
/// <functional> has a hash table, a vector and all algorithms with it. A pointer to a member is
/// taken of the argument, of what that points to, or of what a std::reference_wrapper refers to.
template <typename F>
constexpr decltype(auto) invoke(F&& f) {
    return std::forward<F>(f)();
}
template <typename F, typename A>
constexpr decltype(auto) invoke(F&& f, A&& a) {
    return std::forward<F>(f)(std::forward<A>(a));
}
template <typename C, typename Member, typename A>
constexpr decltype(auto) invoke(Member C::* member, A&& a) {
    using given = std::remove_cvref_t<A>;
    if constexpr (std::is_same_v<C, given> || std::is_base_of_v<C, given>) {  // same: a union
        if constexpr (std::is_function_v<Member>) return (std::forward<A>(a).*member)();
        else return (std::forward<A>(a).*member);
    } else if constexpr (requires { *std::forward<A>(a); }) {
        return detail::invoke(member, *std::forward<A>(a));
    } else {
        return detail::invoke(member, a.get());
    }
}

}  // namespace posthaste::detail
