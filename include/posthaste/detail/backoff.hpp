// Waiting a little before trying again.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>

namespace posthaste::detail {

/// For a loop around a compare-exchange that others win: each time twice as long, so that one of
/// those who compete gets several turns while the line is in its cache. (Anderson, "The Performance
/// of Spin Lock Alternatives for Shared-Memory Multiprocessors", 1990.)
class backoff {
public:
    void operator()() noexcept {
        for (unsigned i = 0; i != turns_; ++i) pause();
        if (turns_ < most) turns_ *= 2;
    }

private:
    static constexpr unsigned most = 64;
    unsigned turns_ = 1;
};

}  // namespace posthaste::detail
