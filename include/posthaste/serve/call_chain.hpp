// Whose handlers wait for a call.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/recycler.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace posthaste {

class endpoint_core;
class lane;

/// The lanes whose handlers stand still until a call has ended, the outermost first. A call carries
/// it by value: who made it may give up and end, while its handler runs on.
///
/// Cost       recycled memory where more than four handlers wait. Without memory for that it is
///            empty: then a call that waits for itself is ended by its deadline.
class call_chain {
public:
    struct link {
        const lane* by;  ///< only to be compared, as the next one: they may be gone
        const endpoint_core* at;
    };

    call_chain() noexcept = default;
    call_chain(const call_chain&) = delete;
    ~call_chain() {
        if (more_) detail::deallocate(more_);
    }

    /// What waits for the call that `by` handles (`outer`, nullptr: nothing), and `by`. Of an empty
    /// chain; `bus`: any address that stands for the bus of `by`.
    void follow(const call_chain* outer, link by, const void* bus) noexcept {
        const std::size_t before = outer ? outer->count_ : 0;
        link* to = few_;
        if (before + 1 > few) {
            to = more_ = static_cast<link*>(detail::allocate((before + 1) * sizeof(link)));
            if (!to) return;
        }
        if (before != 0) std::memcpy(to, outer->begin(), before * sizeof(link));
        to[before] = by;
        count_ = static_cast<std::uint32_t>(before + 1);
        bus_ = before == 0 || outer->bus_ == bus ? bus : nullptr;
    }

    bool empty() const noexcept { return count_ == 0; }
    const link* begin() const noexcept { return more_ ? more_ : few_; }
    const link* end() const noexcept { return begin() + count_; }
    bool has(const lane& l) const noexcept {
        for (const link& k : *this)
            if (k.by == &l) return true;
        return false;
    }
    /// How many lanes of this endpoint.
    std::size_t count(const endpoint_core& e) const noexcept {
        std::size_t n = 0;
        for (const link& k : *this) n += k.at == &e;
        return n;
    }
    /// All are of that bus: as long as it is there, so are they.
    bool within(const void* bus) const noexcept { return bus_ == bus; }

private:
    static constexpr std::size_t few = 4;

    link* more_ = nullptr;  // instead of few_
    std::uint32_t count_ = 0;
    const void* bus_;  // nullptr: of several; of no meaning while empty, as few_
    link few_[few];
};

}  // namespace posthaste
