// Several calls at once, and the first good one.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/serve/quorum.hpp>

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

namespace posthaste {

namespace detail {

template <typename T, std::size_t N>
class first_good_of : public together<ballot<T>, several<task<result<T>>, N>> {
public:
    using together<ballot<T>, several<task<result<T>>, N>>::together;
    result<T> await_resume() {
        this->joint_.close();
        if (!this->joint_.decided_well()) return this->joint_.why_not(this->branches_);
        return this->joint_.take_decisive();
    }
};

template <awaitable First, awaitable... Others>
consteval bool checked_first_of() {
    using first = await_result_t<First>;
    static_assert(a_result<first> && (a_result<await_result_t<Others>> && ...),
                  "first_of() takes calls, which end in a result; for others write when_any()");
    static_assert((std::same_as<first, await_result_t<Others>> && ...),
                  "first_of() takes calls with replies of one type; write gather() for different "
                  "ones");
    return true;
}

}  // namespace detail

/// Makes all the calls, and goes on with the first good reply; the others are cancelled and
/// awaited.
///
///     result<int> left = co_await first_of(near.call(sku), far.call(sku));
///
/// Errors     that none was good: the code of the last, the strongest effect of all, and a text
///            that tells each cause. An exception is a handler_failed.
/// Cost       a recycled frame a call.
/// Cancel     all of them are asked to stop, and awaited.
template <awaitable... Calls>
    requires(sizeof...(Calls) > 0)
[[nodiscard]] auto first_of(Calls... calls) {
    static_assert(detail::checked_first_of<Calls...>());
    using all = std::array<std::common_type_t<detail::task_for<Calls>...>, sizeof...(Calls)>;
    using reply = typename all::value_type::value_type::value_type;
    return detail::first_good_of<reply, sizeof...(Calls)>(
        detail::votes{1, sizeof...(Calls)}, all{detail::as_task(std::move(calls))...});
}

/// The same for any number of calls of one kind.
///
/// Errors     besides: no calls at all are refused, with `failed`.
/// Cost       besides, a vector of tasks.
template <awaitable Call>
[[nodiscard]] auto first_of(std::vector<Call> calls) {
    static_assert(detail::checked_first_of<Call>());
    if (calls.empty()) {
        detail::raise(failed(failure(code::rejected, effect::none,
                                     "first_of(calls): there must be 1 call or more")));
    }
    using reply = typename await_result_t<Call>::value_type;
    const std::size_t count = calls.size();
    return detail::first_good_of<reply, detail::any_number>(detail::votes{1, count},
                                                            detail::as_tasks(std::move(calls)));
}

}  // namespace posthaste
