// Has headers of ours run under the explorer as they are.  SPDX-License-Identifier: BSL-1.0
#pragma once

// Include this before them. In namespace posthaste the name std::atomic then means the explorer's
// atomic, std::mutex its mutex, and so on; everything else of std stays what it is. So a header
// needs no policy, and no trace of the tests, to be explored.
#include "explorer.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace posthaste::std {

using namespace ::std;
template <typename T>
using atomic = testing::explore::atomic<T>;
using mutex = testing::explore::mutex;
using condition_variable = testing::explore::condition;

namespace chrono {
using namespace ::std::chrono;
using steady_clock = testing::explore::steady_clock;
}  // namespace chrono

namespace this_thread {
using namespace ::std::this_thread;
inline void yield() noexcept { testing::explore::world::now().yield(); }
}  // namespace this_thread

}  // namespace posthaste::std
