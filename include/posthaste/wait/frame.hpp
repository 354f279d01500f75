// What every coroutine of ours carries with it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/min_max.hpp>
#include <posthaste/wait/context.hpp>
#include <posthaste/wait/home.hpp>
#include <posthaste/wait/timer.hpp>

#include <concepts>
#include <coroutine>
#include <string_view>
#include <type_traits>

namespace posthaste {

/// The part of a promise that those need who resume the coroutine later: a node to queue it by, the
/// executor it goes on at, the context it works under.
struct frame : work {
    std::coroutine_handle<> self;
    home* at;
    const context* under;
    bool noted = false;  ///< the executor keeps a record of where this is parked

    explicit frame(std::coroutine_handle<> h) noexcept : frame(h, not_yet_placed()) {
        at = nullptr, under = nullptr;
    }
    frame(const frame&) = delete;
    ~frame() {
        if (noted) at->unpark(*this);
    }

    /// Goes on at home, through the queue.
    void wake() noexcept { at->post(*this); }
    /// Tells the executor what this stands still for; only a simulation wants to know.
    void park(const char* on, std::string_view name = {}) noexcept { at->park(*this, on, name); }
    stop_token stop() const noexcept { return under ? under->stop() : stop_token(); }

protected:
    struct not_yet_placed {};
    /// `at` and `under` are to be set before it is resumed.
    frame(std::coroutine_handle<> h, not_yet_placed) noexcept : self(h) {
        run = [](work& w) noexcept { static_cast<frame&>(w).self.resume(); };
    }
};

inline void home::arm_allowance(allowance_timer& t) noexcept {
    arm(t, detail::min(t.due, t.counted->settle(*this, t.allowance)));
}
inline void home::park(frame&, const char*, std::string_view) noexcept {}
inline void home::unpark(frame&) noexcept {}

/// A coroutine that knows where it goes on; the only ones the library's awaiters suspend.
template <typename Promise>
concept homed = std::derived_from<Promise, frame>;

/// An awaiter that suspends only homed coroutines, and resumes them at their home. It says so by a
/// member `static constexpr bool keeps_home = true`. All others are wrapped when a task awaits
/// them.
template <typename Awaiter>
concept home_keeping = std::remove_cvref_t<Awaiter>::keeps_home;

}  // namespace posthaste
