// Letting others go first.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/wait/frame.hpp>

#include <coroutine>

namespace posthaste {

namespace detail {
struct yielding {
    static constexpr bool keeps_home = true;
    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    void await_suspend(std::coroutine_handle<Promise> h) const noexcept {
        h.promise().wake();
    }
    void await_resume() const noexcept {}
};
}  // namespace detail

/// `co_await yield();` goes to the end of the executor's queue; in a pool it may go on on another
/// thread.
[[nodiscard]] inline detail::yielding yield() noexcept { return {}; }

}  // namespace posthaste
