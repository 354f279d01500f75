// A pointer that owns.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace posthaste::detail {

/// As std::unique_ptr, but quickly compiled: that has a std::tuple for each type, of which there
/// are a dozen in each program.
template <typename T, typename End = std::default_delete<T>>
class owned {
public:
    owned() noexcept = default;
    owned(std::nullptr_t) noexcept {}
    explicit owned(T* t) noexcept : at_(t) {}
    owned(owned&& o) noexcept : at_(o.release()) {}
    /// Of what T is a base of, with a virtual destructor.
    template <typename Derived>
    owned(owned<Derived>&& o) noexcept : at_(o.release()) {}
    template <typename Derived>
    owned(std::unique_ptr<Derived>&& o) noexcept : at_(o.release()) {}
    owned& operator=(owned&& o) noexcept {
        reset(o.release());
        return *this;
    }
    ~owned() {
        if (at_) End()(at_);
    }

    T* get() const noexcept { return at_; }
    T& operator*() const noexcept { return *at_; }
    T* operator->() const noexcept { return at_; }
    T& operator[](std::size_t i) const noexcept { return at_[i]; }
    explicit operator bool() const noexcept { return at_ != nullptr; }
    T* release() noexcept { return detail::exchange(at_, nullptr); }
    void reset(T* t = nullptr) noexcept {
        if (T* const old = detail::exchange(at_, t)) End()(old);
    }

private:
    T* at_ = nullptr;
};

template <typename T, typename... Args>
owned<T> make_owned(Args&&... args) {
    return owned<T>(new T(std::forward<Args>(args)...));
}

}  // namespace posthaste::detail
