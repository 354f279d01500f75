// Running user code, whether or not exceptions exist.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>

#include <exception>
#include <utility>

namespace posthaste::detail {

/// Runs `body`; if it throws, runs `on_exception(std::current_exception())` instead of its rest.
/// Without exceptions it is just `body()`.
template <typename Body, typename OnException>
decltype(auto) guarded(Body&& body, OnException&& on_exception) {
#if POSTHASTE_EXCEPTIONS
    try {
        return std::forward<Body>(body)();
    } catch (...) {
        return std::forward<OnException>(on_exception)(std::current_exception());
    }
#else
    static_cast<void>(on_exception);
    return std::forward<Body>(body)();
#endif
}

/// Throws; ends the program where exceptions are switched off.
template <typename Exception>
[[noreturn]] void raise(Exception&& exception) {
#if POSTHASTE_EXCEPTIONS
    throw std::forward<Exception>(exception);
#else
    static_cast<void>(exception);
    std::terminate();
#endif
}

[[noreturn]] inline void rethrow(std::exception_ptr exception) {
#if POSTHASTE_EXCEPTIONS
    std::rethrow_exception(std::move(exception));
#else
    static_cast<void>(exception);
    std::terminate();
#endif
}

/// Calls `f(const Exception&)` if it is one.
template <typename Exception, typename F>
void examine(const std::exception_ptr& exception, F f) {
#if POSTHASTE_EXCEPTIONS
    try {
        std::rethrow_exception(exception);
    } catch (const Exception& e) {
        f(e);
    } catch (...) {}
#else
    static_cast<void>(exception), static_cast<void>(f);
#endif
}
/// What an exception says of itself; "" if it is no std::exception.
template <typename String>
String describe(const std::exception_ptr& exception) {
#if POSTHASTE_EXCEPTIONS
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& e) {
        const char* const text = e.what();
        return String(text ? text : "");
    } catch (...) {
        return String("an exception that is no std::exception");
    }
#else
    static_cast<void>(exception);
    return String();
#endif
}

}  // namespace posthaste::detail
