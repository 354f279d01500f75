// Several calls at once, each with its own result.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/run/when_all.hpp>

#include <utility>

namespace posthaste {

/// Makes all the calls, and goes on when the last has ended; what failed is told beside what did
/// not.
///
///     auto page = co_await gather(stock.call(sku), price.call(sku));
///     auto& [left, cents] = page;                // result<int>, result<long>
///
/// Cost       a recycled frame a call.
template <awaitable... Calls>
[[nodiscard]] auto gather(Calls... calls) {
    static_assert(
        (detail::a_result<await_result_t<Calls>> && ...),
        "gather() takes calls, which end in a result; for other awaitables write when_all()");
    return when_all(std::move(calls)...);
}

}  // namespace posthaste
