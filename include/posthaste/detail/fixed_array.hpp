// As many as it was told when it was made.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>

#include <cstddef>

namespace posthaste::detail {

/// As a std::vector that neither grows nor shrinks, but quickly compiled. Elements need not move.
template <typename T>
class fixed_array {
public:
    fixed_array() noexcept = default;
    /// Errors     throws bad_alloc, unless it has none, or what T() throws.
    explicit fixed_array(std::size_t size)
        : at_(size == 0 ? nullptr : new T[size]()), size_(size) {}
    fixed_array(fixed_array&& o) noexcept
        : at_(detail::exchange(o.at_, nullptr)), size_(detail::exchange(o.size_, 0)) {}
    fixed_array& operator=(fixed_array o) noexcept {
        o.at_ = detail::exchange(at_, o.at_);
        o.size_ = detail::exchange(size_, o.size_);
        return *this;
    }
    ~fixed_array() { delete[] at_; }

    T& operator[](std::size_t i) const noexcept { return at_[i]; }
    T* begin() const noexcept { return at_; }
    T* end() const noexcept { return at_ + size_; }
    std::size_t size() const noexcept { return size_; }

private:
    T* at_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace posthaste::detail
