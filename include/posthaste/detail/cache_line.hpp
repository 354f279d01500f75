// How far apart two threads' data must lie.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

namespace posthaste::detail {

/// Bytes; a constant of ours, because std::hardware_destructive_interference_size changes with
/// compiler flags and would so change the layout of public types.
inline constexpr std::size_t cache_line = 64;
/// Two that some processors fetch together: one that is written in one thread takes its neighbour
/// away from another.
inline constexpr std::size_t line_pair = 2 * cache_line;

}  // namespace posthaste::detail
