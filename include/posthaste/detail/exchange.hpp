// What was in a place, for what comes there.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <type_traits>

namespace posthaste::detail {

/// As std::exchange, but quickly compiled: that asks of each two types what their moves throw, and
/// there are eighty in the library. So whoever uses it says whether he throws.
template <typename T>
constexpr T exchange(T& place, std::type_identity_t<T> next) {
    T before = static_cast<T&&>(place);  // std::move, of which there is one for each type as well
    place = static_cast<T&&>(next);
    return before;
}

}  // namespace posthaste::detail
