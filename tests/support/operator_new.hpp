// Every form of operator new, counted, and failing when it is told to. For one file of a program.
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exceptions.hpp>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_THREAD__)
#  define POSTHASTE_OWN_OPERATOR_NEW 0
#elif defined(__has_feature)
#  if __has_feature(thread_sanitizer)  // its own cannot be replaced
#    define POSTHASTE_OWN_OPERATOR_NEW 0
#  endif
#endif
#ifndef POSTHASTE_OWN_OPERATOR_NEW
#  define POSTHASTE_OWN_OPERATOR_NEW 1
#endif

namespace posthaste::testing {

/// False: nothing is counted, and nothing fails.
inline constexpr bool own_operator_new = POSTHASTE_OWN_OPERATOR_NEW != 0;

inline std::atomic<long> news = 0;

/// Allocations, of all threads, that succeed until one fails; negative: none fails.
inline std::atomic<long> until_failure = -1;
inline std::atomic<long> failures = 0;

inline bool fails_now() noexcept {
    long left = until_failure.load(std::memory_order_relaxed);
    while (left >= 0) {
        if (until_failure.compare_exchange_weak(left, left - 1, std::memory_order_relaxed))
            return left == 0;
    }
    return false;
}

inline void* allocate(std::size_t size, std::size_t alignment = 0) noexcept {
    news.fetch_add(1, std::memory_order_relaxed);
    if (fails_now()) return ++failures, nullptr;
    if (alignment <= alignof(std::max_align_t)) return std::malloc(size);
    return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}
inline void* allocate_or_throw(std::size_t size, std::size_t alignment = 0) {
    void* const memory = allocate(size, alignment);
    if (!memory) detail::raise(std::bad_alloc());
    return memory;
}
constexpr std::size_t number(std::align_val_t a) noexcept { return static_cast<std::size_t>(a); }

}  // namespace posthaste::testing

#if POSTHASTE_OWN_OPERATOR_NEW
namespace pt = posthaste::testing;

// Not inlined: g++ would see malloc() and free() in them, and warn that they do not match new.
POSTHASTE_NOINLINE void* operator new(std::size_t n) { return pt::allocate_or_throw(n); }
POSTHASTE_NOINLINE void* operator new[](std::size_t n) { return pt::allocate_or_throw(n); }
POSTHASTE_NOINLINE void* operator new(std::size_t n, std::align_val_t a) {
    return pt::allocate_or_throw(n, pt::number(a));
}
POSTHASTE_NOINLINE void* operator new[](std::size_t n, std::align_val_t a) {
    return pt::allocate_or_throw(n, pt::number(a));
}
POSTHASTE_NOINLINE void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
    return pt::allocate(n);
}
POSTHASTE_NOINLINE void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
    return pt::allocate(n);
}
POSTHASTE_NOINLINE void* operator new(std::size_t n, std::align_val_t a,
                                      const std::nothrow_t&) noexcept {
    return pt::allocate(n, pt::number(a));
}
POSTHASTE_NOINLINE void* operator new[](std::size_t n, std::align_val_t a,
                                        const std::nothrow_t&) noexcept {
    return pt::allocate(n, pt::number(a));
}
POSTHASTE_NOINLINE void operator delete(void* p) noexcept { std::free(p); }
POSTHASTE_NOINLINE void operator delete[](void* p) noexcept { std::free(p); }
POSTHASTE_NOINLINE void operator delete(void* p, std::size_t) noexcept { std::free(p); }
POSTHASTE_NOINLINE void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
POSTHASTE_NOINLINE void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
POSTHASTE_NOINLINE void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
POSTHASTE_NOINLINE void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
    std::free(p);
}
POSTHASTE_NOINLINE void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
    std::free(p);
}
POSTHASTE_NOINLINE void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
POSTHASTE_NOINLINE void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }
POSTHASTE_NOINLINE void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept {
    std::free(p);
}
POSTHASTE_NOINLINE void operator delete[](void* p, std::align_val_t,
                                          const std::nothrow_t&) noexcept {
    std::free(p);
}
#endif
