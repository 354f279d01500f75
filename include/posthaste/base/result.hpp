// A value, or a failure.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/failure.hpp>
#include <posthaste/detail/assert.hpp>
#include <posthaste/detail/invoke.hpp>

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace posthaste {

template <typename T>
class result;

namespace detail {
template <typename T>
inline constexpr bool a_result = false;
template <typename T>
inline constexpr bool a_result<result<T>> = true;
}  // namespace detail

/// How every call ends: as std::expected<T, failure> would be used, and with or_throw() for those
/// who prefer exceptions. T may be void, or move-only.
///
///     result<profile> answer = co_await users.call(123);
///     if (!answer) co_return answer.error().message();
///     use(answer->name);
template <typename T>
class [[nodiscard]] result {
    static_assert(!std::is_reference_v<T>,
                  "result<T&> would dangle across threads; use result<T> or result<T*>");

public:
    using value_type = T;

    result()
        requires std::default_initializable<T>
        : has_value_(true) {
        std::construct_at(&value_);
    }
    result(T value) noexcept(std::is_nothrow_move_constructible_v<T>) : has_value_(true) {
        std::construct_at(&value_, std::move(value));
    }
    result(failure f) noexcept : has_value_(false) {
        if constexpr (std::is_arithmetic_v<T>) value_ = T();  // or g++ 12 warns where it is inlined
        std::construct_at(&failure_, std::move(f));
    }

    template <typename... Args>
        requires std::constructible_from<T, Args...>
    explicit result(std::in_place_t, Args&&... args) : has_value_(true) {
        std::construct_at(&value_, std::forward<Args>(args)...);
    }

    result(const result& other)
        requires std::copy_constructible<T>
        : has_value_(other.has_value_) {
        if (has_value_) std::construct_at(&value_, other.value_);
        else std::construct_at(&failure_, other.failure_);
    }
    result(result&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
        : has_value_(other.has_value_) {
        if (has_value_) std::construct_at(&value_, std::move(other.value_));
        else std::construct_at(&failure_, std::move(other.failure_));
    }
    /// The move of T must not throw: a result is never without content.
    result& operator=(result other) noexcept {
        static_assert(std::is_nothrow_move_constructible_v<T>,
                      "result<T>: moving T must not throw; use result<std::unique_ptr<T>>");
        destroy();
        has_value_ = other.has_value_;
        if (has_value_) std::construct_at(&value_, std::move(other.value_));
        else std::construct_at(&failure_, std::move(other.failure_));
        return *this;
    }
    ~result() { destroy(); }

    bool has_value() const noexcept { return has_value_; }
    explicit operator bool() const noexcept { return has_value_; }

    /// Requires   has_value().
    T& operator*() & noexcept { return checked(), value_; }
    const T& operator*() const& noexcept { return checked(), value_; }
    T&& operator*() && noexcept { return checked(), std::move(value_); }
    T* operator->() noexcept { return checked(), &value_; }
    const T* operator->() const noexcept { return checked(), &value_; }

    /// Requires   !has_value().
    const failure& error() const& noexcept { return POSTHASTE_ASSERT(!has_value_), failure_; }
    failure&& error() && noexcept { return POSTHASTE_ASSERT(!has_value_), std::move(failure_); }

    /// The value; or throws what the handler threw, else `failed`.
    T or_throw() && {
        if (!has_value_) throw_failure();
        return std::move(value_);
    }
    T or_throw() const& {
        if (!has_value_) throw_failure();
        return value_;
    }
    T value_or(T other) && { return has_value_ ? std::move(value_) : std::move(other); }
    T value_or(T other) const& { return has_value_ ? value_ : std::move(other); }

    /// f(value), itself a result; or this failure.
    template <typename F>
    auto and_then(F&& f) && -> std::invoke_result_t<F, T&&> {
        if (!has_value_) return std::move(failure_);
        return detail::invoke(std::forward<F>(f), std::move(value_));
    }
    /// The value changed by f; or this failure.
    template <typename F>
    auto transform(F&& f) && -> result<std::invoke_result_t<F, T&&>> {
        using changed = std::invoke_result_t<F, T&&>;
        if (!has_value_) return std::move(failure_);
        if constexpr (std::is_void_v<changed>) {
            return detail::invoke(std::forward<F>(f), std::move(value_)), result<changed>();
        } else {
            return result<changed>(detail::invoke(std::forward<F>(f), std::move(value_)));
        }
    }
    /// This value; or f(failure), itself a result.
    template <typename F>
    result or_else(F&& f) && {
        if (has_value_) return std::move(*this);
        return detail::invoke(std::forward<F>(f), std::move(failure_));
    }

private:
    void checked() const noexcept { POSTHASTE_ASSERT(has_value_ && "the result is a failure"); }
    void destroy() noexcept {
        if (has_value_) std::destroy_at(&value_);
        else std::destroy_at(&failure_);
    }
    [[noreturn]] void throw_failure() const {
        if (failure_.exception()) detail::rethrow(failure_.exception());
        detail::raise(failed(failure_));
    }

    union {
        T value_;
        failure failure_;
    };
    bool has_value_;
};

/// Done, or why not. May be ignored, where not to know is fine.
template <>
class result<void> {
    struct done {};

public:
    using value_type = void;

    result() noexcept {}  // not defaulted: {} would set all of it to zero before
    result(failure f) noexcept : done_(std::move(f)) {}

    bool has_value() const noexcept { return done_.has_value(); }
    explicit operator bool() const noexcept { return done_.has_value(); }
    void operator*() const noexcept { static_cast<void>(*done_); }
    const failure& error() const& noexcept { return done_.error(); }
    failure&& error() && noexcept { return std::move(done_).error(); }

    void or_throw() const { static_cast<void>(done_.or_throw()); }
    template <typename F>
    auto and_then(F&& f) && -> std::invoke_result_t<F> {
        if (!done_) return std::move(done_).error();
        return detail::invoke(std::forward<F>(f));
    }
    template <typename F>
    auto transform(F&& f) && -> result<std::invoke_result_t<F>> {
        using changed = std::invoke_result_t<F>;
        if (!done_) return std::move(done_).error();
        if constexpr (std::is_void_v<changed>) {
            return detail::invoke(std::forward<F>(f)), result<changed>();
        } else {
            return result<changed>(detail::invoke(std::forward<F>(f)));
        }
    }
    template <typename F>
    result or_else(F&& f) && {
        if (done_) return {};
        return detail::invoke(std::forward<F>(f), std::move(done_).error());
    }

private:
    result<done> done_;
};

}  // namespace posthaste
