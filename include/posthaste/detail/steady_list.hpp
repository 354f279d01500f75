// Elements that stay where they are.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/fixed_array.hpp>
#include <posthaste/detail/owned.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace posthaste::detail {

/// As a std::deque that only grows, but quickly compiled.
///
/// Threads    one at a time; several may look at once.
/// Cost       an allocation for each, and one more for each doubling.
template <typename T>
class steady_list {
public:
    /// Errors     throws bad_alloc, or what the constructor throws; then nothing has changed.
    template <typename... Args>
    T& add(Args&&... args) {
        if (size_ == all_.size()) grow();
        all_[size_] = make_owned<T>(std::forward<Args>(args)...);
        return *all_[size_++];
    }
    T& operator[](std::size_t i) const noexcept { return *all_[i]; }
    std::size_t size() const noexcept { return size_; }

private:
    void grow() {
        fixed_array<owned<T>> more(std::max<std::size_t>(4, 2 * size_));
        for (std::size_t i = 0; i != size_; ++i) more[i] = std::move(all_[i]);
        all_ = std::move(more);
    }

    fixed_array<owned<T>> all_;
    std::size_t size_ = 0;
};

}  // namespace posthaste::detail
