// The atomics policy of the lock-free cores.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>

namespace posthaste::detail {

/// What production code runs on. A test may hand the cores another policy, whose every operation
/// is a scheduling point of an interleaving explorer.
struct std_atomics {
    template <typename T>
    using atomic = std::atomic<T>;
};

}  // namespace posthaste::detail
