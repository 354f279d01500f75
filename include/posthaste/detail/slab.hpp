// Memory for many blocks of one size, given back when all are.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/min_max.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace posthaste::detail {

class block_cache;

/// Stands before every block.
struct alignas(16) block {
    block_cache* owner;  // nullptr: straight from operator new
    std::uint16_t size_class;
    std::uint16_t place;  // lines from the beginning of its slab; 0: in none
    std::uint32_t bytes;  // in all
};
static_assert(sizeof(block) == 16);

/// What stands behind it while it is free.
struct free_links {
    block* next;
    block* ahead;  // some blocks later in the same chain; nullptr: its end is near. Itself: in none
    // of the first block of a chain:
    block* next_chain;
    std::uint32_t count;
    std::array<std::int32_t, 5> ways;  // trails to the third one and on; 0: no more to be fetched
};
static_assert(sizeof(block) + sizeof(free_links) <= cache_line);

inline free_links& set_free(block* b) noexcept { return *::new (b + 1) free_links; }
inline free_links& links(block* b) noexcept {
    return *std::launder(reinterpret_cast<free_links*>(b + 1));
}

/// A thread's slabs of one size class: new blocks are carved from the latest. A slab whose blocks
/// have all been dropped is given back; until then they may be revived. Unless told otherwise,
/// blocks of one line lie a pair of lines apart: small messages are read there while the next ones
/// are written here, which otherwise takes twice as long (send_bench: 8 bytes, in order).
///
/// Threads    one; drop_orphan() any, once that one has ended.
class slabs {
public:
    static constexpr std::align_val_t aligned{line_pair};
    static constexpr std::uint32_t smallest = 4 * 1024, largest = 64 * 1024;  // bytes

    /// At least so far apart; nullptr when out of memory.
    block* carve(block_cache* owner, std::size_t size_class, std::size_t bytes,
                 std::size_t apart = line_pair) noexcept {
        const std::size_t distance = detail::max(bytes, apart);
        if (!latest_ || latest_->carved_bytes + distance > bytes_) {
            const std::uint32_t more = detail::clamp(2 * bytes_, smallest, largest);
            void* const memory = ::operator new(more, aligned, std::nothrow);
            if (!memory) return nullptr;
            latest_ = ::new (memory) slab;
            bytes_ = more;
        }
        std::byte* const at = reinterpret_cast<std::byte*>(latest_) + latest_->carved_bytes;
        const auto place = static_cast<std::uint16_t>(latest_->carved_bytes / cache_line);
        latest_->carved_bytes += static_cast<std::uint32_t>(distance);
        ++latest_->carved;
        return ::new (at) block{owner, static_cast<std::uint16_t>(size_class), place,
                                static_cast<std::uint32_t>(bytes)};
    }

    void drop(block* b) noexcept {
        slab& s = slab_of(b);
        free_links& l = set_free(b);
        l.next = detail::exchange(s.first, b);
        l.ahead = b;
        const std::uint32_t dropped = s.dropped.load(std::memory_order_relaxed) + 1;
        s.dropped.store(dropped, std::memory_order_relaxed);
        if (dropped == 1) {
            s.after = with_dropped_;
            s.link = &with_dropped_;
            if (s.after) s.after->link = &s.after;
            with_dropped_ = &s;
        }
        if (dropped != s.carved) return;
        unlist(s);
        if (latest_ == &s) latest_ = nullptr;
        ::operator delete(&s, aligned);
    }
    /// Some of the dropped ones, in a list, and how many; nullptr: there are none.
    block* revive(std::size_t& count) noexcept {
        slab* const s = with_dropped_;
        if (!s) return nullptr;
        unlist(*s);
        count = s->dropped.exchange(0, std::memory_order_relaxed);
        return detail::exchange(s->first, nullptr);
    }
    static void drop_orphan(block* b) noexcept {
        slab& s = slab_of(b);
        const std::uint32_t carved = s.carved;  // before another thread may give it back
        if (s.dropped.fetch_add(1, std::memory_order_acq_rel) + 1 == carved)  // (1)
            ::operator delete(&s, aligned);
    }

private:
    struct alignas(line_pair) slab {
        std::uint32_t carved_bytes = sizeof(slab);  // with this
        std::uint32_t carved = 0;  // blocks
        std::atomic<std::uint32_t> dropped = 0;  // of these
        block* first = nullptr;  // of the dropped ones
        slab* after = nullptr;  // the next one in which some are dropped
        slab** link = nullptr;  // what points here
    };
    static slab& slab_of(block* b) noexcept {
        return *reinterpret_cast<slab*>(reinterpret_cast<std::byte*>(b) -
                                        std::size_t{b->place} * cache_line);
    }
    static void unlist(slab& s) noexcept {
        *s.link = s.after;
        if (s.after) s.after->link = s.link;
    }

    // dropped: written by the thread, and by others only when it has ended, of which they know.
    // (1) releases the last use of a block to whoever drops the last one, and acquires it there.
    // relaxed: the thread's own.
    slab* latest_ = nullptr;
    std::uint32_t bytes_ = 0;  // of the latest one
    slab* with_dropped_ = nullptr;
};

}  // namespace posthaste::detail
