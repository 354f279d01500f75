// Several at once, and all their values.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/run/as_task.hpp>
#include <posthaste/run/together.hpp>

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

template <typename Joint, typename Branches>
class all_of : public together<Joint, Branches> {
public:
    using together<Joint, Branches>::together;
    auto await_resume() {
        this->joint_.close();
        return values_of(this->branches_);
    }
};

/// `how`: of what to make a Joint for so many.
template <typename Joint, typename How, typename... As>
auto all_together(const How& how, As&... as) {
    return all_of<Joint, std::tuple<branch_for<As>...>>(how, as_branch(as)...);
}
template <typename Joint, typename How, typename Branch>
auto all_together(const How& how, std::vector<Branch>&& all) {
    return all_of<Joint, std::vector<Branch>>(how, std::move(all));
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
    return detail::all_together<detail::joint>(sizeof...(As), as...);
}

/// The same for any number of tasks of one kind; gives a vector, or nothing for task<>.
template <typename T>
[[nodiscard]] auto when_all(std::vector<task<T>> tasks) {
    const std::size_t count = tasks.size();
    return detail::all_together<detail::joint>(count, std::move(tasks));
}

}  // namespace posthaste
