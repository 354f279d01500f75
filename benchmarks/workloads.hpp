// The workloads by name, and what each one counts.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

/// A time is for one operation. What the comment says holds for every contender; where one does
/// less, or more, it says so.
namespace workload {

/// A coroutine awaits another one, which gives it a number. Nothing stands still.
inline constexpr auto await_task = "await a task";
/// A coroutine awaits 8 others at once, on one thread.
inline constexpr auto await_8 = "await 8 tasks at once";

}  // namespace workload
