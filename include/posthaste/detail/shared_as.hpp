// What is shared as its base.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <memory>
#include <utility>

namespace posthaste::detail {

/// As a std::shared_ptr<T>, of which each T would have what there is to instantiate for itself, in
/// every program that includes it: so copies of a policy share what is behind it.
///
/// Requires   Base has a virtual destructor.
template <typename Base, typename T>
class shared_as {
public:
    template <typename... Args>
    explicit shared_as(std::in_place_t, Args&&... args)
        : at_(static_cast<Base*>(new T(std::forward<Args>(args)...))) {}

    T* operator->() const noexcept { return static_cast<T*>(at_.get()); }
    operator const std::shared_ptr<Base>&() const noexcept { return at_; }

private:
    std::shared_ptr<Base> at_;
};

}  // namespace posthaste::detail
