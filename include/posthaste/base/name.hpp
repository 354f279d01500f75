// What an endpoint or a topic may be called.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/failure.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace posthaste {

inline constexpr std::size_t max_name = 255;  ///< bytes

/// Why a name may not be used, a literal; "" if it may: tokens joined by dots, of any bytes but
/// blanks, control characters and the wildcards * and >. So it can go to a broker as it is.
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

namespace detail {
/// That the name may not be used, and why. Of the name only the beginning is shown, and nothing
/// that could do harm in a log.
inline failure bad_name(std::string_view name, std::string_view fault) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text = std::string(fault) + ": \"";
    for (const char c : name.substr(0, 40)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') text += c;
        else text.append("\\x").append({digits[byte >> 4], digits[byte & 15]});
    }
    return failure(code::rejected, effect::none, text + (name.size() > 40 ? "...\"" : "\""));
}
}  // namespace detail

}  // namespace posthaste
