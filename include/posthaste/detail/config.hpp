// What the compiler and its switches give us.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <version>

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#  define POSTHASTE_EXCEPTIONS 1
#else
#  define POSTHASTE_EXCEPTIONS 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#  define POSTHASTE_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define POSTHASTE_ADDRESS_SANITIZER 1
#  endif
#endif
#ifndef POSTHASTE_ADDRESS_SANITIZER
#  define POSTHASTE_ADDRESS_SANITIZER 0
#endif

// Keeps a function out of its callers. ALWAYS_INLINE: what several have in common costs none of
// them a call.
#if defined(_MSC_VER)
#  define POSTHASTE_NOINLINE __declspec(noinline)
#  define POSTHASTE_ALWAYS_INLINE __forceinline
#else
#  define POSTHASTE_NOINLINE [[gnu::noinline]]
#  define POSTHASTE_ALWAYS_INLINE [[gnu::always_inline]] inline
#endif

// Keeps a function out of coroutine bodies: the address of what it reads of the thread must not be
// kept there across a suspension, after which it may be on another one (LLVM #47179, #63022). g++
// makes functions of a coroutine before it inlines any: for it a suspension is a return.
#if defined(__GNUC__) && !defined(__clang__)
#  define POSTHASTE_OF_THIS_THREAD POSTHASTE_ALWAYS_INLINE
#else
#  define POSTHASTE_OF_THIS_THREAD POSTHASTE_NOINLINE inline
#endif
// The same, for what a coroutine comes to by await_suspend() alone: clang from 19 on keeps that out
// itself, until it has made functions of the coroutine (LLVM pull request #79712).
#if defined(__clang__) && __clang_major__ >= 19
#  define POSTHASTE_OF_SUSPENDING_THREAD POSTHASTE_ALWAYS_INLINE
#else
#  define POSTHASTE_OF_SUSPENDING_THREAD POSTHASTE_OF_THIS_THREAD
#endif

// g++ before 13 destroys an aggregate temporary inside a co_await expression twice (GCC PR 99576).
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#  define POSTHASTE_UNSAFE_TEMPORARIES 1
#else
#  define POSTHASTE_UNSAFE_TEMPORARIES 0
#endif

#if defined(__x86_64__) || defined(__i386__)
#  define POSTHASTE_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__) && !defined(_MSC_VER)
#  define POSTHASTE_PAUSE() asm volatile("yield")
#else
#  define POSTHASTE_PAUSE() static_cast<void>(0)
#endif

// Compiled for any x86-64 the builtin fetches a line as one that is only read: then the write goes
// to the other processor all the same. Those that have no prefetchw take it for a nop.
#if defined(_MSC_VER) && !defined(__clang__)
#  define POSTHASTE_PREFETCH(address) static_cast<void>(address)
#elif defined(__x86_64__)
#  define POSTHASTE_PREFETCH(address) asm("prefetchw {(%0)|[%0]}" : : "r"(address))
#else
#  define POSTHASTE_PREFETCH(address) __builtin_prefetch(address, 1)
#endif

// A text that holds the names of a function's template arguments.
#if defined(_MSC_VER) && !defined(__clang__)
#  define POSTHASTE_FUNCTION __FUNCSIG__
#else
#  define POSTHASTE_FUNCTION __PRETTY_FUNCTION__
#endif

namespace posthaste::detail {

inline constexpr bool exceptions_enabled = POSTHASTE_EXCEPTIONS != 0;
inline constexpr bool address_sanitizer = POSTHASTE_ADDRESS_SANITIZER != 0;
inline constexpr bool unsafe_temporaries = POSTHASTE_UNSAFE_TEMPORARIES != 0;

/// Tells the processor that this thread is spinning.
inline void pause() noexcept { POSTHASTE_PAUSE(); }

/// Has the processor fetch what will soon be written to; any address, also one of no memory.
inline void prefetch(const void* address) noexcept { POSTHASTE_PREFETCH(address); }

}  // namespace posthaste::detail
