// Whether a worker without work takes others' at once.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

namespace posthaste {

/// A worker that has just run out of work leaves few pieces to the one who has them, for some looks
/// at the rings, a microsecond or two: as a rule that one has them at hand and comes to them soon,
/// and they are cheaper where they are. Endpoints that somebody sends to, one message after the
/// other, would be taken as each has one, and their lines fetched for each anew; so some messages
/// gather (publish_bench). One that has been idle for longer takes what there is.
///
/// Threads    one.
class hesitation {
public:
    static constexpr std::uint32_t few = 16;
    static constexpr unsigned looks = 8;

    /// It has just run out of work.
    void begin() noexcept { looks_ = 0; }
    /// Another one has so many: are they left there?
    bool leaves(std::uint32_t there) const noexcept { return there <= few && looks_ < looks; }
    /// A look has brought nothing.
    void looked() noexcept {
        if (looks_ < looks) ++looks_;
    }
    void end() noexcept { looks_ = looks; }

private:
    unsigned looks_ = 0;
};

}  // namespace posthaste
