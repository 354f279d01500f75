// Where a thread's objects of late are, to fetch them in time.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/this_thread.hpp>

#include <cstdint>

namespace posthaste::detail {

/// The way from `p` to `q`, in units of 16 bytes.
inline std::int32_t trail_between(const void* p, const void* q) noexcept {
    const auto from = reinterpret_cast<std::uintptr_t>(p), to = reinterpret_cast<std::uintptr_t>(q);
    return static_cast<std::int32_t>(static_cast<std::intptr_t>(to - from) >> 4);
}

/// The way from `p` to what this thread asked about 16 times before. Only a hint: what was there
/// may be gone, or farther away than the number can say.
POSTHASTE_OF_THIS_THREAD std::int32_t trail_to(const void* p) noexcept {
    thread_state& here = this_thread_inlined();
    const auto at = reinterpret_cast<std::uintptr_t>(p);
    const std::uintptr_t before = detail::exchange(here.trail[here.trail_next++ % 16], at);
    return trail_between(p, reinterpret_cast<const void*>(before));
}

/// The same of blocks, to the one so many before, up to 16: where each of some blocks in a row has
/// something for another reader, that is how many there are, or a multiple of it.
POSTHASTE_NOINLINE inline std::int32_t trail_to_block(const void* p, unsigned before) noexcept {
    thread_state& here = this_thread_inlined();
    const auto at = reinterpret_cast<std::uintptr_t>(p);
    const unsigned next = here.block_trail_next++;
    const std::uintptr_t then = here.block_trail[(next - before) % 16];
    here.block_trail[next % 16] = at;
    return trail_between(p, reinterpret_cast<const void*>(then));
}

/// For prefetch() only.
inline const void* end_of_trail(const void* p, std::int32_t trail) noexcept {
    return reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) +
                                         static_cast<std::uintptr_t>(std::intptr_t{trail} * 16));
}

}  // namespace posthaste::detail
