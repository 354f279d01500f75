// The endpoint that a mode asks for.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/owned.hpp>
#include <posthaste/serve/dead_letters.hpp>
#include <posthaste/serve/handler.hpp>
#include <posthaste/serve/keyed_endpoint.hpp>
#include <posthaste/serve/message.hpp>
#include <posthaste/serve/mode.hpp>
#include <posthaste/serve/parallel_endpoint.hpp>
#include <posthaste/serve/serial_endpoint.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace posthaste::detail {

/// `h` takes the messages Ms; a const M is one that many share. `again`: they are to be delivered
/// at least once.
template <typename... Ms, typename Mode>
owned<endpoint_core> make_endpoint(std::string name, executor& at, dead_letters& dead,
                                   owned<handler> h, const Mode& mode, bool again = false) {
    if constexpr (std::same_as<Mode, serial_mode>) {
        return make_owned<serial_endpoint>(std::move(name), at, dead, std::move(h), mode);
    } else if constexpr (std::same_as<Mode, parallel>) {
        // One at a time, and in order, takes less (send_bench); but with order, one that is to be
        // delivered again would keep the lane until then.
        if (mode.count() == 1 && !again)
            return make_endpoint<Ms...>(std::move(name), at, dead, std::move(h),
                                        serial.capacity(mode.capacity()).full(mode.full()));
        return make_owned<parallel_endpoint>(std::move(name), at, dead, std::move(h), mode);
    } else {
        using key_of = std::remove_cvref_t<decltype(mode.key_of())>;
        static_assert((std::invocable<const key_of&, const Ms&> && ...),
                      "keyed: the key cannot be had from every message; write keyed(&M::key), or a "
                      "function that takes each of them");
        using key = std::remove_cvref_t<
            std::invoke_result_t<const key_of&, const std::tuple_element_t<0, std::tuple<Ms...>>&>>;
        static_assert(
            (std::same_as<key,
                          std::remove_cvref_t<std::invoke_result_t<const key_of&, const Ms&>>> &&
             ...),
            "keyed: the keys of its messages are of several types; write a function that gives the "
            "same type for each of them");
        static_assert(!borrows<key>,
                      "keyed: the key is known longer than its message; return a std::string, not "
                      "a std::string_view or a char*");
        static_assert(
            requires(const key& k) {
                { std::hash<key>()(k) } -> std::convertible_to<std::size_t>;
            }, "keyed: the key has no std::hash; choose another key, or specialise std::hash");
        return owned<endpoint_core>(
            new keyed_endpoint<key_of, key, Ms...>(std::move(name), at, dead, std::move(h), mode));
    }
}

}  // namespace posthaste::detail
