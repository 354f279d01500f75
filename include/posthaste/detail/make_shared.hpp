// What is shared, and made once.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <memory>
#include <utility>

namespace posthaste::detail {

/// As std::make_shared, but compiled in half the time, and with one allocation more: for what a
/// program makes a few of.
template <typename T, typename... Args>
std::shared_ptr<T> make_shared(Args&&... args) {
    return std::shared_ptr<T>(new T(std::forward<Args>(args)...));
}

}  // namespace posthaste::detail
