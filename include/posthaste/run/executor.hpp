// Who runs coroutines; exchangeable at run time.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/flag.hpp>
#include <posthaste/detail/this_thread.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/home.hpp>

namespace posthaste {

/// A home with threads: `thread_pool` has its own, `run_loop` and `simulation` use the thread that
/// drives them.
class executor : public home {
public:
    /// Keeps the calling thread until `done` is set; runs work meanwhile, if this executor works on
    /// the thread that drives it.
    virtual void drive(detail::flag& done) = 0;

    /// Keeps the calling thread until `busy(of)` is false, or `end` has come; runs work meanwhile,
    /// as drive() does. True: not busy any more.
    virtual bool drive_while(bool (*busy)(void*), void* of, time_point end) = 0;

    /// Runs, on the calling thread, what is ready, without letting time pass; to tidy up. Only
    /// where idle_here() holds.
    virtual void drive_ready() noexcept = 0;

    /// True if no work can run but by this thread's driving, and it is not running any now: then
    /// suspended coroutines may be destroyed.
    virtual bool idle_here() const noexcept = 0;

    /// Pieces of its work run one after the other, or within one that drives it, on its thread, and
    /// meanwhile here() holds on no other; what one has done is known to the next, and to whoever
    /// finds it idle_here(). Unless it watches(), that is so of its timers' firing, too. Always the
    /// same answer.
    virtual bool one_by_one() const noexcept { return false; }

    /// Is the calling thread running work of this executor?
    bool here() const noexcept { return detail::this_thread().executor == this; }

protected:
    ~executor() = default;
};

}  // namespace posthaste
