// Made in its place, later than what it is in.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>

#include <new>
#include <utility>

namespace posthaste::detail {

/// As a std::optional that is neither copied nor moved, but quickly compiled: that has a dozen
/// bases for each type.
template <typename T>
class maybe {
public:
    maybe() noexcept {}
    maybe(const maybe&) = delete;
    ~maybe() { reset(); }

    template <typename... Args>
    void emplace(Args&&... args) {
        reset();
        ::new (static_cast<void*>(&value_)) T(std::forward<Args>(args)...);
        full_ = true;
    }
    void reset() noexcept {
        if (detail::exchange(full_, false)) value_.~T();  // which may look here, or end all this
    }
    explicit operator bool() const noexcept { return full_; }
    /// Requires   it is full.
    T& operator*() noexcept { return value_; }
    const T& operator*() const noexcept { return value_; }
    T* operator->() noexcept { return &value_; }

private:
    union {
        T value_;
    };
    bool full_ = false;
};

}  // namespace posthaste::detail
