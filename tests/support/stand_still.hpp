// An awaiter that nothing resumes.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/wait/frame.hpp>

#include <coroutine>

namespace posthaste::testing {

/// `co_await stand_still();` never goes on, and heeds no stop.
struct stand_still {
    static constexpr bool keeps_home = true;
    stand_still() noexcept {}
    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    void await_suspend(std::coroutine_handle<Promise> h) const noexcept {
        h.promise().park("nothing at all");
    }
    void await_resume() const noexcept {}
};

}  // namespace posthaste::testing
