// Waiting for a task from outside of any coroutine.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/concepts.hpp>
#include <posthaste/detail/assert.hpp>
#include <posthaste/run/as_task.hpp>
#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/task.hpp>

#include <utility>

namespace posthaste {

/// Runs the task on `where` and gives its value; the calling thread waits, and drives the executor
/// if it is one that wants to be driven.
///
/// Requires   the caller is not running work of `where`: it would wait for itself.
/// Errors     what the task throws.
template <typename T>
T sync_wait(executor& where, task<T> t) {
    POSTHASTE_ASSERT(!where.here() && "sync_wait() inside the executor it waits for");
    detail::flag done;
    const context under(where, never, {});
    auto& promise = t.promise();
    promise.place(where, &under);
    promise.start_by_post(
        [](detail::promise_base& p) noexcept { static_cast<detail::flag*>(p.owner())->set(); },
        &done);
    where.drive(done);
    return promise.take();
}

/// The same for whatever else may be awaited, as `client.call(...)` or `event.wait()`.
template <awaitable A>
auto sync_wait(executor& where, A a) {
    return sync_wait(where, detail::as_task(std::move(a)));
}

/// The same on a loop on the calling thread.
template <typename T>
T sync_wait(task<T> t) {
    run_loop loop;
    return sync_wait(loop, std::move(t));
}
template <awaitable A>
auto sync_wait(A a) {
    return sync_wait(detail::as_task(std::move(a)));
}

}  // namespace posthaste
