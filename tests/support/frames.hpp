// Says, at the end of a test, whether a coroutine frame was left.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/live_frames.hpp>

#include "catch.hpp"

namespace posthaste::testing {

/// Declared first in a test, checked last.
struct no_frames_left {
    long before = detail::live_frames.load(std::memory_order_relaxed);
    ~no_frames_left() { CHECK(detail::live_frames.load(std::memory_order_relaxed) == before); }
};

}  // namespace posthaste::testing
