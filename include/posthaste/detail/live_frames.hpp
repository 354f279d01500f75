// How many coroutine frames exist, counted in builds that test.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>

namespace posthaste::detail {

#ifdef POSTHASTE_COUNT_FRAMES
// relaxed: a count, read when all is at rest.
inline std::atomic<long> live_frames = 0;
inline void frame_born() noexcept { live_frames.fetch_add(1, std::memory_order_relaxed); }
inline void frame_gone() noexcept { live_frames.fetch_sub(1, std::memory_order_relaxed); }
#else
inline void frame_born() noexcept {}
inline void frame_gone() noexcept {}
#endif

}  // namespace posthaste::detail
