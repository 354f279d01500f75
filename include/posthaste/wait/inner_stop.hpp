// A stop of one's own, within that of the caller.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/maybe.hpp>
#include <posthaste/wait/context.hpp>
#include <posthaste/wait/stop.hpp>

namespace posthaste::detail {

/// For those who run several things at once and stop some of them: what runs under() it is stopped
/// by request(), and by the outer stop, which does not hear of request().
///
/// Threads    open(), close(): one; request(): any, until close().
class inner_stop {
public:
    inner_stop() = default;
    inner_stop(const inner_stop&) = delete;

    /// Once, before anything runs under it. `end`: when all that is given up at the latest.
    void open(const context& outer, time_point end = never) noexcept {
        under_.emplace(outer, stop_.token(), end);
        if (!outer_.arm(outer.stop())) request();
    }
    /// Afterwards the outer stop does not reach in, nor is it about to.
    void close() noexcept { outer_.disarm(); }

    void request() noexcept { stop_.request_stop(); }

    const context& under() const noexcept { return *under_; }

private:
    struct link : stop_link {
        explicit link(inner_stop& s) noexcept
            : stop_link([](stop_node& n) noexcept { static_cast<link&>(n).of.request(); }), of(s) {}
        inner_stop& of;
    };

    stop_source stop_;
    detail::maybe<context> under_;
    link outer_{*this};
};

}  // namespace posthaste::detail
