// What an endpoint or a topic may be called.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <string_view>

namespace posthaste {

inline constexpr std::size_t max_name = 255;  ///< bytes

/// Why a name may not be used; "" if it may: tokens joined by dots, of any bytes but blanks,
/// control characters and the wildcards * and >. So it can go to a broker as it is.
constexpr std::string_view name_fault(std::string_view name) noexcept {
    if (name.empty()) return "a name must not be empty";
    if (name.size() > max_name) return "a name has at most 255 bytes";
    char before = '.';
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte == 0x7f) return "a name has no blanks or control characters";
        if (c == '*' || c == '>') return "a name has no wildcards";
        if (c == '.' && before == '.') return "a name has no empty token";
        before = c;
    }
    return before == '.' ? "a name has no empty token" : std::string_view();
}

}  // namespace posthaste
