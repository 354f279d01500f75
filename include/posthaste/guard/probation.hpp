// A few calls that show whether a callee is well again.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/detail/fixed_array.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace posthaste::detail {

/// The probes of a breaker that is half open. Each has a ticket, and a lease: when that has run
/// out, the probe has failed, whatever becomes of it. One that is taken back and not counted is as
/// if it had never been. What most of them say holds.
///
/// Threads    one at a time.
/// Cost       no allocation but at construction; linear in the number of probes.
class probation {
public:
    explicit probation(int probes) : slots_(static_cast<std::size_t>(probes)) {}

    void start() noexcept {
        for (slot& s : slots_) s = {};
        well_ = ill_ = 0;
    }
    /// A ticket for one more probe; 0 where as many as there may be are under way or have ended.
    std::uint64_t admit(time_point now, time_point lease) noexcept {
        if (under_way() + well_ + ill_ >= slots_.size()) return 0;
        *find(0) = slot{++tickets_, now, lease};
        return tickets_;
    }
    /// When that probe began; never, if its ticket is worth nothing any more, as it is afterwards.
    time_point take_back(std::uint64_t ticket) noexcept {
        slot* const found = ticket == 0 ? nullptr : find(ticket);
        if (!found) return never;
        found->ticket = 0;
        return found->began;
    }
    /// What a probe that was taken back has shown.
    void count(bool well) noexcept { ++(well ? well_ : ill_); }
    /// Counts those whose lease has run out.
    void expire(time_point now) noexcept {
        for (slot& s : slots_) {
            if (s.ticket == 0 || now < s.lease) continue;
            s.ticket = 0;
            ++ill_;
        }
    }

    bool passed() const noexcept { return well_ > slots_.size() / 2; }
    bool failed() const noexcept { return ill_ >= slots_.size() - slots_.size() / 2; }
    std::size_t under_way() const noexcept {
        std::size_t n = 0;
        for (const slot& s : slots_) n += s.ticket != 0;
        return n;
    }
    /// When the first of their leases runs out.
    time_point next_end() const noexcept {
        time_point first = never;
        for (const slot& s : slots_) {
            if (s.ticket != 0) first = std::min(first, s.lease);
        }
        return first;
    }

private:
    struct slot {
        std::uint64_t ticket = 0;  // 0: nobody's
        time_point began{}, lease{};
    };
    slot* find(std::uint64_t ticket) noexcept {
        for (slot& s : slots_) {
            if (s.ticket == ticket) return &s;
        }
        return nullptr;
    }

    fixed_array<slot> slots_;
    std::uint64_t tickets_ = 0;
    std::size_t well_ = 0, ill_ = 0;
};

}  // namespace posthaste::detail
