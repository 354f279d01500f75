// Several at once, and all their values.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/run/as_task.hpp>
#include <posthaste/run/together.hpp>

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace posthaste {

namespace detail {

template <typename... Bs>
auto values_of(std::tuple<Bs...>& all) {
    using values = std::tuple<value_or_nothing<typename Bs::value_type>...>;
    return std::apply([](auto&... b) { return values{take_value(b)...}; }, all);
}
template <typename B>
auto values_of(std::vector<B>& all) {
    if constexpr (std::is_void_v<typename B::value_type>) {
        for (B& b : all) take_value(b);
    } else {
        std::vector<typename B::value_type> values;
        values.reserve(all.size());
        for (B& b : all) values.push_back(take_value(b));
        return values;
    }
}

template <typename B, std::size_t N>
auto values_of(std::array<B, N>& all) {
    if constexpr (std::is_void_v<typename B::value_type>) {
        for (B& b : all) take_value(b);
    } else {
        using values = std::array<typename B::value_type, N>;
        return std::apply([](auto&... b) { return values{take_value(b)...}; }, all);
    }
}

template <typename Joint, typename Branches>
class all_of : public together<Joint, Branches> {
public:
    using together<Joint, Branches>::together;
    auto await_resume() {
        this->joint_.close();
        return values_of(this->branches_);
    }
};

/// `how`: of what to make a Joint.
template <typename Joint, typename How, typename... As>
auto all_together(const How& how, As&... as) {
    return all_of<Joint, std::tuple<branch_for<As>...>>(how, as_branch(as)...);
}
template <typename Joint, typename How, typename Branch>
auto all_together(const How& how, std::vector<Branch>&& all) {
    return all_of<Joint, std::vector<Branch>>(how, std::move(all));
}
template <typename Joint, typename How, typename A, std::size_t N>
auto all_together(const How& how, std::array<A, N>& all) {
    using branches = std::array<branch_for<A>, N>;
    if constexpr (std::is_same_v<branch_for<A>, A>) {
        return all_of<Joint, branches>(how, std::move(all));
    } else {
        const auto each = [](auto&... a) { return branches{branch_for<A>(as_branch(a))...}; };
        return all_of<Joint, branches>(how, std::apply(each, all));
    }
}

}  // namespace detail

/// Runs all of them at once, under the same context, and goes on at home when the last has ended.
///
///     auto both = co_await when_all(name_of(1), name_of(2));   // a std::tuple of two names
///
/// void becomes detail::nothing. An exception comes out after all have ended: the first in order of
/// the arguments. For calls use gather(), whose results are never exceptions.
/// Cost       a recycled frame for each that is neither a task nor a call.
template <awaitable... As>
[[nodiscard]] auto when_all(As... as) {
    return detail::all_together<detail::joint>(detail::nothing(), as...);
}

/// The same for any number of tasks of one kind; gives a vector, or nothing for task<>.
template <typename T>
[[nodiscard]] auto when_all(std::vector<task<T>> tasks) {
    return detail::all_together<detail::joint>(detail::nothing(), std::move(tasks));
}

/// The same for a fixed number of one kind, taken out of an array; gives an array of the values, or
/// nothing for task<>.
///
///     std::array parts{part_of(1), part_of(2)};
///     for (int n : co_await when_all<task<int>>(std::move(parts))) sum += n;
///
/// The kind need not be named, but for g++ before 13, which would destroy a temporary array twice.
/// Cost       no operator new in the steady state.
template <awaitable A, std::size_t N>
[[nodiscard]] auto when_all(std::array<std::type_identity_t<A>, N>&& all) {
    return detail::all_together<detail::joint>(detail::nothing(), all);
}
template <std::nullptr_t = nullptr, awaitable A, std::size_t N>
[[nodiscard]] auto when_all(std::array<A, N>&& all) {
    return detail::all_together<detail::joint>(detail::nothing(), all);
}
template <std::nullptr_t = nullptr, awaitable A, std::size_t N>
    requires(detail::unsafe_temporaries && !std::is_trivially_destructible_v<A>)
[[nodiscard,
  deprecated("this compiler destroys a temporary array twice inside co_await (GCC PR 99576); "
             "name it, and write when_all<task<T>>(std::move(named))")]]
auto when_all(std::array<A, N>&& all) {
    return detail::all_together<detail::joint>(detail::nothing(), all);
}

}  // namespace posthaste
