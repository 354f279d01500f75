// A task that a test starts, looks at, stops or destroys.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/flag.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/wait/context.hpp>
#include <posthaste/wait/stop.hpp>

#include <utility>

namespace posthaste::testing {

/// Runs beside the test, on an executor that the test drives, under a context of its own. Lives
/// longer than its task, or destroys it where it stands.
class started {
public:
    started(executor& at, task<> t, stop_token stop = {}, time_point deadline = never)
        : under_(at, deadline, stop), task_(std::move(t)) {
        task_.promise().place(at, &under_);
        task_.promise().start_by_post(
            [](detail::promise_base& p) noexcept { static_cast<started*>(p.owner())->end_.set(); },
            this);
    }
    started(const started&) = delete;

    bool ended() noexcept { return end_.is_set(); }
    /// To be handed to executor::drive().
    detail::flag& end() noexcept { return end_; }
    /// Requires   nobody can resume it.
    void destroy() noexcept { task_ = task<>(); }

private:
    context under_;
    detail::flag end_;
    task<> task_;
};

}  // namespace posthaste::testing
