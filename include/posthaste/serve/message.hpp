// What may be sent, and what comes back.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/config.hpp>

#include <concepts>
#include <string_view>
#include <type_traits>

namespace posthaste {

/// Anything that can be moved without throwing; mostly a plain aggregate.
///
///     struct get_profile { using reply = profile; int user_id; };
///
/// Requires   to make one does not destroy both the bus it is for and the last client or publisher
///            that has the bus; either of them it may.
template <typename M>
concept message = std::is_object_v<M> && std::same_as<M, std::remove_cvref_t<M>> &&
                  std::is_nothrow_move_constructible_v<M> && std::is_nothrow_destructible_v<M>;

namespace detail {

template <typename M>
struct reply_of {
    using type = void;
};
template <typename M>
    requires requires { typename M::reply; }
struct reply_of<M> {
    using type = typename M::reply;
};

/// One object a message type, whose address stands for the type: needs no RTTI.
struct message_type {
    std::string_view name;
};

template <typename M>
constexpr std::string_view name_of() noexcept {
    if constexpr (requires {
                      { M::name } -> std::convertible_to<std::string_view>;
                      { &M::name } -> std::convertible_to<const void*>;  // static
                  }) {
        return M::name;
    } else {
        constexpr std::string_view text = POSTHASTE_FUNCTION;
        constexpr std::string_view before = "M = ";
        constexpr auto begin = text.find(before) + before.size();
        return text.substr(begin, text.find_first_of(";]", begin) - begin);
    }
}
template <typename M>
inline constexpr message_type type_of{name_of<M>()};

/// A key that points into something else.
template <typename Key>
inline constexpr bool borrows = std::is_same_v<Key, const char*> || std::is_same_v<Key, char*>;
template <typename Char, typename Traits>
inline constexpr bool borrows<std::basic_string_view<Char, Traits>> = true;

/// Fails with one line that says what to write.
template <typename M>
consteval bool checked_message() {
    static_assert(std::is_object_v<M> && std::same_as<M, std::remove_cvref_t<M>>,
                  "a message is a plain type; name it without const, & or *");
    static_assert(std::is_nothrow_move_constructible_v<M>,
                  "moving a message must not throw; hold what throws in a std::unique_ptr");
    using reply = typename reply_of<M>::type;
    static_assert(std::is_void_v<reply> || std::is_nothrow_move_constructible_v<reply>,
                  "moving a reply must not throw; hold what throws in a std::unique_ptr");
    static_assert(!std::is_reference_v<reply>, "a reply is a value; write using reply = T");
    return true;
}

/// An aggregate temporary inside a co_await expression, which this compiler would destroy twice.
template <typename M>
concept unsafe_temporary =
    unsafe_temporaries && std::is_aggregate_v<M> && !std::is_trivially_destructible_v<M>;

}  // namespace detail

/// What a call of M gives: M::reply, or void where M names none.
template <typename M>
using reply_t = typename detail::reply_of<M>::type;

}  // namespace posthaste
