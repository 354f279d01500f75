// What a handler says of a message that it cannot take.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/failure.hpp>

#include <chrono>
#include <string>
#include <utility>

namespace posthaste {

/// Failures for the handler of an `at_least_once` endpoint, to return or to throw in a `failed`. A
/// caller, who is not delivered again, hears them as they are.
///
///     co_return delivery::retry(2s);
///     co_return delivery::reject("there is no such card");
struct delivery {
    /// Once more, not before `after` has passed; unless that was the last attempt.
    template <typename Rep, typename Period>
    static failure retry(std::chrono::duration<Rep, Period> after) noexcept {
        return failure::because(code::unavailable, effect::complete, "to be tried again")
            .retry_after(to_duration(after));
    }
    /// Never: to the dead letters.
    static failure reject(std::string reason) noexcept {
        return failure(code::rejected, effect::complete, std::move(reason));
    }
};

}  // namespace posthaste
