// Patterns of topics, and whether a topic matches.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/name.hpp>

#include <cstddef>
#include <string_view>

namespace posthaste {

// A topic is a name (base/name.hpp): tokens joined by dots, "orders.placed". In a pattern `*`
// stands for one token, whatever it is, and `>`, at the end, for one or more. As in NATS.

namespace detail {
/// The first token, which is taken from the front of `rest`, with its dot.
constexpr std::string_view take_token(std::string_view& rest) noexcept {
    const std::size_t dot = rest.find('.');
    const std::string_view token = rest.substr(0, dot);
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
    return token;
}
}  // namespace detail

/// Why a pattern may not be used; "" if it may.
constexpr std::string_view pattern_fault(std::string_view pattern) noexcept {
    if (pattern.empty()) return "a pattern must not be empty";
    if (pattern.size() > max_name) return "a pattern has at most 255 bytes";
    if (pattern.back() == '.') return "a pattern has no empty token";
    for (std::string_view rest = pattern; !rest.empty();) {
        const std::string_view token = detail::take_token(rest);
        if (token.empty()) return "a pattern has no empty token";
        if (token == ">" && !rest.empty()) return "a pattern has > only at its end";
        for (const char c : token) {
            const auto byte = static_cast<unsigned char>(c);
            if (byte <= 0x20 || byte == 0x7f)
                return "a pattern has no blanks or control characters";
            if ((c == '*' || c == '>') && token.size() != 1)
                return "a pattern has * and > only as whole tokens";
        }
    }
    return {};
}

/// Requires   a valid pattern and a valid topic.
constexpr bool topic_matches(std::string_view pattern, std::string_view topic) noexcept {
    while (!pattern.empty() && !topic.empty()) {
        const std::string_view wanted = detail::take_token(pattern);
        const std::string_view token = detail::take_token(topic);
        if (wanted == ">") return true;
        if (wanted != "*" && wanted != token) return false;
    }
    return pattern.empty() && topic.empty();
}

}  // namespace posthaste
