// Which message it is, however often it comes.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>  // std::hash, too

namespace posthaste {

/// Tells the messages of one endpoint apart. All attempts at one call have the same, and so have
/// all deliveries of one message; see dedup.
struct message_id {
    static constexpr std::uint64_t by_endpoint = ~std::uint64_t{0};

    std::uint64_t origin = 0;  ///< which of the endpoint's lanes has numbered it, or `by_endpoint`
    std::uint64_t number = 0;  ///< 0: there is no message

    explicit operator bool() const noexcept { return number != 0; }
    bool operator==(const message_id&) const = default;
};

}  // namespace posthaste

template <>
struct std::hash<posthaste::message_id> {
    std::size_t operator()(const posthaste::message_id& id) const noexcept {
        return static_cast<std::size_t>((id.number ^ (id.origin << 48)) * 0x9e3779b97f4a7c15u);
    }
};
