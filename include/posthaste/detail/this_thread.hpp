// What the library knows of the thread it runs on.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>

#include <array>
#include <cstdint>

namespace posthaste::detail {

class block_cache;

inline constexpr char no_blocks = 0;  ///< its address is that of no block_cache

/// One a thread, trivially destructible, so usable before any constructor and after every
/// destructor of the thread. Never holds anything that belongs to a coroutine; `started` says which
/// one, to be compared, not to be touched.
struct thread_state {
    const void* executor = nullptr;  ///< whose work runs here, nullptr outside of any
    void* worker = nullptr;  ///< that executor's own record of this thread
    unsigned depth = 0;  ///< coroutines started within one another
    bool asking = false;  ///< a keyed endpoint's key is asked for, under its lock
    const void* started = nullptr;  ///< the latest of those: see promise_base
    const void* dropping = nullptr;  ///< the innermost endpoint_core::dropping
    block_cache* blocks = nullptr;  ///< recycled memory
    const void* own_blocks = &no_blocks;  ///< the same; there is none: the address of none
    bool blocks_ended = false;  ///< the thread is past the end of its cache
    unsigned trail_next = 0;  ///< the place in `trail` that is written next
    std::array<std::uintptr_t, 16> trail{};  ///< see trail.hpp
    unsigned block_trail_next = 0;  ///< the same, for blocks
    std::array<std::uintptr_t, 16> block_trail{};
};

/// For functions that are not inlined into coroutines themselves; all others use this_thread().
inline thread_state& this_thread_inlined() noexcept {
    static constinit thread_local thread_state state;
    return state;
}

/// For all functions. No coroutine keeps the address across a suspension.
POSTHASTE_OF_THIS_THREAD thread_state& this_thread() noexcept { return this_thread_inlined(); }

/// Coroutines started on top of one another before one goes through its executor's queue: bounds
/// the stack (g++ below -O2 and under sanitizers: about 2 KiB each) without any tail call.
inline constexpr unsigned max_depth = 32;

}  // namespace posthaste::detail
