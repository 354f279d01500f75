// std::hash for a test's own key: it has a member hashed().  SPDX-License-Identifier: BSL-1.0
#pragma once

// A test that is compiled together with others is in a namespace of its own, where std::hash cannot
// be specialised.

#include <concepts>
#include <cstddef>
#include <functional>

namespace posthaste::testing {

template <typename T>
concept hashes_itself = requires(const T& t) {
    { t.hashed() } -> std::same_as<std::size_t>;
};

}  // namespace posthaste::testing

template <posthaste::testing::hashes_itself T>
struct std::hash<T> {
    std::size_t operator()(const T& t) const { return t.hashed(); }
};
