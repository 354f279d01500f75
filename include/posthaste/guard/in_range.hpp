// Refuses a policy's parameters that make no sense.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/failure.hpp>
#include <posthaste/detail/exceptions.hpp>

namespace posthaste::detail {

/// `parameter` names a policy, its parameter and the range. Write `holds` so that it is false for
/// NaN: `x > 0`, not `!(x <= 0)`.
///
/// Errors     throws failed{rejected}; without exceptions the program ends.
inline void in_range(bool holds, literal parameter) {
    if (!holds) raise(failed(failure::because(code::rejected, effect::none, parameter)));
}

}  // namespace posthaste::detail
