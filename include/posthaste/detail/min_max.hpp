// The lesser, the greater, and what lies between.  SPDX-License-Identifier: BSL-1.0
#pragma once

namespace posthaste::detail {

// As those of std, for what is included by a file that has only handlers: <algorithm> has all
// ranges with it, a tenth of what such a file took to compile.
template <typename T>
constexpr T min(T a, T b) noexcept {
    return b < a ? b : a;
}
template <typename T>
constexpr T max(T a, T b) noexcept {
    return a < b ? b : a;
}
template <typename T>
constexpr T clamp(T a, T least, T most) noexcept {
    return detail::min(detail::max(a, least), most);
}

}  // namespace posthaste::detail
