// What does not fit into a worker's ring, as one piece of work.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/recycler.hpp>
#include <posthaste/run/work_ring.hpp>
#include <posthaste/wait/home.hpp>

#include <array>
#include <cstdint>
#include <new>

namespace posthaste {

/// The oldest of a full ring, in recycled memory, on their way to the ring of whoever runs this.
///
/// Threads    one at a time.
class bundle : public work {
public:
    // so few that a worker that takes one at every 61st turn, or sooner, mostly has room for it
    static constexpr std::uint32_t size = 60;

    /// The oldest of what is in there, to be queued elsewhere; nullptr: there is no memory, or
    /// thieves have taken nearly all meanwhile. Only for the ring's owner.
    static bundle* of(work_ring& ring, void (*run)(work&) noexcept) noexcept {
        void* const memory = detail::allocate(sizeof(bundle));
        if (!memory) return nullptr;
        bundle* const b = ::new (memory) bundle(run);
        if (ring.take(b->pieces_)) return b;
        b->end();
        return nullptr;
    }
    /// Gives the oldest piece, and puts the others into the ring if there is room for them all. So
    /// whoever runs a bundle comes on with it, however full the ring is; and what came together
    /// stays together, as its memory does.
    work& unpack(work_ring& ring) noexcept {
        work& first = *pieces_[begun_++];
        if (size - begun_ > ring.room()) return first;
        ring.put(&pieces_[begun_], size - begun_);
        begun_ = size;
        return first;
    }
    bool empty() const noexcept { return begun_ == size; }
    void end() noexcept { detail::deallocate(this); }

private:
    explicit bundle(void (*run_it)(work&) noexcept) noexcept { run = run_it; }

    std::uint32_t begun_ = 0;
    std::array<work*, size> pieces_;
};

}  // namespace posthaste
