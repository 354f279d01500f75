// Lets a thread sleep while a word has a value.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>
#include <cstdint>

#if defined(__linux__)
#  include <linux/futex.h>
#  include <sys/syscall.h>
#  include <unistd.h>
#endif

namespace posthaste::detail {

/// Sleeps while `w` has that value; may return earlier, and orders nothing: load it afterwards.
/// Where there is a futex it is this alone, as std::atomic's wait() may spin first.
template <typename Word>
void sleep_while(const Word& w, std::uint32_t value) noexcept {
    w.wait(value, std::memory_order_relaxed);
}
/// After `w` was changed: wakes one who sleeps there.
template <typename Word>
void wake_sleeper(Word& w) noexcept {
    w.notify_one();
}

#if defined(__linux__) && defined(SYS_futex)
inline void sleep_while(const ::std::atomic<std::uint32_t>& w, std::uint32_t value) noexcept {
    static_assert(sizeof w == sizeof value);
    ::syscall(SYS_futex, &w, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}
inline void wake_sleeper(::std::atomic<std::uint32_t>& w) noexcept {
    ::syscall(SYS_futex, &w, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}
#endif

}  // namespace posthaste::detail
