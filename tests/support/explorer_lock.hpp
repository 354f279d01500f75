// Has headers of ours run under the explorer, but for spin locks.  SPDX-License-Identifier: BSL-1.0
#pragma once

// As explorer_std.hpp, with the explorer's mutexes for spin locks: the spinning would be many
// schedules, and none that explore/spin_lock_explore.cpp has not seen.
#include "explorer_std.hpp"

#define spin_lock spinning_lock
#include <posthaste/detail/spin_lock.hpp>
#undef spin_lock

namespace posthaste::detail {
using spin_lock = testing::explore::mutex;
}
