// Tasks that do the same thing at once, and may all be stopped.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/run/scope.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/yield.hpp>

#include <functional>
#include <optional>

namespace posthaste::testing {

inline task<> stop_after(scope& s, unsigned turns) {
    for (unsigned i = 0; i != turns; ++i) co_await yield();
    s.request_stop();
}

/// body(i) for each i below `count`, as a task; where `turns` says so, all are asked to stop after
/// that many turns of the executor. Ends when they have ended.
template <typename Body>
task<> all_at_once(unsigned count, std::optional<unsigned> turns, Body body) {
    scope s(co_await this_context);
    for (unsigned i = 0; i != count; ++i) s.spawn([&body, i] { return body(i); });
    if (turns)
        s.spawn([](scope& all, unsigned n) { return stop_after(all, n); }, std::ref(s), *turns);
    co_await s.join();
}

}  // namespace posthaste::testing
