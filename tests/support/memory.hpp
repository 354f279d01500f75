// How much memory a program has, for tests that it does not grow.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdio>

#if defined(__GLIBC__)
#  include <malloc.h>
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#  define POSTHASTE_SANITIZER_COUNTS 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#    define POSTHASTE_SANITIZER_COUNTS 1
#  endif
#endif
#ifndef POSTHASTE_SANITIZER_COUNTS
#  define POSTHASTE_SANITIZER_COUNTS 0
#endif

#if POSTHASTE_SANITIZER_COUNTS
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace posthaste::testing {

/// In bytes: what this process has in its working set; 0 where nobody says. With a sanitizer that
/// keeps what is freed aside (256 MB, by default), what is allocated and not freed.
inline std::size_t memory_in_use() noexcept {
#if POSTHASTE_SANITIZER_COUNTS
    return __sanitizer_get_current_allocated_bytes();
#else
    constexpr std::size_t page = 4096;
    unsigned long all = 0, here = 0;
    if (std::FILE* const f = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(f, "%lu %lu", &all, &here) != 2) here = 0;
        std::fclose(f);
    }
    return here * page;
#endif
}

/// In bytes: what a program of one thread has of malloc(), with what that keeps for itself; 0 where
/// nobody says. With a sanitizer only what was asked for.
inline std::size_t heap_in_use() noexcept {
#if POSTHASTE_SANITIZER_COUNTS
    return __sanitizer_get_current_allocated_bytes();
#elif defined(__GLIBC__)
    const auto all = ::mallinfo2();
    return all.uordblks + all.hblkhd;
#else
    return 0;
#endif
}

/// What is more than noise: of what is resident, whole pages come and go with the threads.
inline constexpr std::size_t memory_noise = POSTHASTE_SANITIZER_COUNTS ? 256 << 10 : 4 << 20;

}  // namespace posthaste::testing
