// Has calls stumble before every step of their cell.  SPDX-License-Identifier: BSL-1.0
#pragma once

// Include this before headers of ours: then who ends a call meets another one who does between any
// two steps, not once in a day.
#include "race.hpp"

#include <posthaste/detail/atomics.hpp>

namespace posthaste::detail {
using stumbling_atomics = testing::stumbling_atomics;
}  // namespace posthaste::detail

#define std_atomics stumbling_atomics
#include <posthaste/wait/reply_cell.hpp>
#undef std_atomics
