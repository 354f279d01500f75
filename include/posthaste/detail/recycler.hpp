// Memory for frames and messages, used again and again.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: a cache, its two ends, and what stands in front of it.

#include <posthaste/detail/assert.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/min_max.hpp>
#include <posthaste/detail/slab.hpp>
#include <posthaste/detail/this_thread.hpp>
#include <posthaste/detail/trail.hpp>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>

namespace posthaste::detail {

// Each thread owns a cache of free blocks by size class. A block remembers the cache it came from:
// freed on its own thread it goes back there with three plain stores, and is counted with 15 others
// of its size at a time. Freed on another it waits there in a chain with others of that owner and
// size; a whole chain is pushed on the owner's `returned_` stack at once, and the owner takes it as
// it is, without a look at each block: that would cost it a cache line from another processor for
// each, one after the other. The lines of each are fetched some blocks before it is used, all of
// them: a locked instruction would wait for the writes to those that are not there (send_bench: 64
// bytes). So a thread that only allocates and a thread that only frees reach a steady state without
// operator new, and with few cache lines moved. (The scheme of mimalloc: Leijen, Zorn, de Moura,
// "Free List Sharding in Action", 2019.) A cache outlives its thread as long as blocks of it are
// about. Blocks are whole cache lines, header included: a small message that goes to another
// processor is one line. Those of up to 1 KiB are carved from slabs. A thread keeps 32 MiB of free
// ones (one line counts as that, though it has two for itself), and up to 15 of a size that are not
// counted; what a burst needs beyond that is dropped as it is freed, and a slab is given back with
// the last of its blocks.

class block_cache {
public:
    static constexpr std::size_t fine_classes = 16;  // 64, 128, ... 1024 bytes, with the header
    static constexpr std::size_t packed = fine_classes;  // 64 bytes too, but side by side
    static constexpr std::size_t slab_classes = packed + 1;
    static constexpr std::size_t classes = slab_classes + 6;  // 2, 4, ... 64 KiB
    static constexpr std::size_t largest_fine = fine_classes * 64 - sizeof(block);
    static constexpr std::size_t largest = std::size_t{64} * 1024 - sizeof(block);
    static constexpr std::size_t max_bytes_kept = std::size_t{32} * 1024 * 1024;  // a thread

    static constexpr std::size_t class_of(std::size_t size) noexcept {
        const std::size_t last = size + sizeof(block) - 1;
        if (size <= largest_fine) return last / 64;
        // whatever that wraps to, if it is too large
        return slab_classes + static_cast<std::size_t>(std::bit_width(last | 1024)) - 11;
    }
    /// The same for what there may be a million of at a time: the fewer lines that are fetched, the
    /// sooner all have been used (spawn_bench).
    static constexpr std::size_t packed_class_of(std::size_t size) noexcept {
        const std::size_t c = class_of(size);
        return c == 0 ? packed : c;
    }
    /// Of a block, with its header.
    static constexpr std::size_t bytes_of(std::size_t size_class) noexcept {
        if (size_class == packed) return 64;
        return size_class < fine_classes ? (size_class + 1) * 64
                                         : std::size_t{2048} << (size_class - slab_classes);
    }

    /// A block of a slab that its own thread has freed, from where it is used.
    struct freed {
        freed* next;
        std::size_t depth;  // so many, with this
    };
    static constexpr freed bottom{nullptr, 0};
    static constexpr std::size_t counted_at_once = 16;
    /// Those of this thread by class, the latest first, and `bottom` below them all.
    static auto& freed_inlined() noexcept {
        static constinit thread_local auto lists = [] {
            std::array<freed*, slab_classes> empty{};
            empty.fill(const_cast<freed*>(&bottom));
            return empty;
        }();
        return lists;
    }
    /// nullptr: there is none.
    static void* take_latest(std::size_t size_class) noexcept {
        freed*& latest = freed_inlined()[size_class];
        freed* const f = latest;
        if (!f->next) return nullptr;
        latest = f->next;
        return f;
    }
    /// False: not without counting, by put(). Only for the owning thread, as what follows.
    static bool put_latest(void* memory, std::size_t size_class) noexcept {
        POSTHASTE_ASSERT((static_cast<block*>(memory) - 1)->size_class == size_class);
        freed*& latest = freed_inlined()[size_class];
        const std::size_t depth = latest->depth + 1;
        if (depth % counted_at_once == 0) return false;
        latest = ::new (memory) freed{latest, depth};
        return true;
    }
    /// In a block that came back from elsewhere, or a new one; nullptr: out of memory. The latest
    /// ones come first: see above.
    void* allocate(std::size_t size_class) noexcept {
        block* const b = free_[size_class];
        if (!b) return allocate_elsewhere(size_class);
        const free_links& l = links(b);
        free_[size_class] = l.next;
        kept_ -= b->bytes;
        return l.ahead == b ? b + 1 : fetch_later_ones(b);
    }

    /// Only for the owning thread.
    POSTHASTE_NOINLINE void put(block* b) noexcept {
        const std::size_t size_class = b->size_class, bytes = b->bytes;
        if (size_class >= slab_classes) {
            if (!fits(bytes)) return drop(b);
            kept_ += bytes;
            free_links& l = set_free(b);
            l.next = detail::exchange(free_[size_class], b);
            l.ahead = b;  // what was freed here is in this processor's cache
        } else {
            freed*& latest = freed_inlined()[size_class];
            const std::size_t depth = latest->depth + 1;
            if (depth % counted_at_once == 0) {
                if (!fits(counted_at_once * bytes)) return drop(b);
                counted_ += counted_at_once * bytes;
            }
            latest = ::new (b + 1) freed{latest, depth};
        }
    }

    /// Of another cache: keeps it here until there are some more for that one. Only for the owning
    /// thread of this one.
    POSTHASTE_NOINLINE void put_aside(block* b) noexcept {
        aside& a = aside_[place_of(*b)];
        if (a.owner != b->owner || a.size_class != b->size_class) return put_aside_first(a, b);
        block* const some_before = a.latest[(a.count - a.steps) % most_steps];
        a.latest[a.count++ % most_steps] = b;
        free_links& l = set_free(b);
        l.next = detail::exchange(a.first, b);
        l.ahead = some_before;
        if (a.count == a.most) a.give_back();
    }
    /// Gives back all that was put aside. Only for the owning thread.
    void give_all_back() noexcept {
        for (aside& a : aside_) a.give_back();
    }
    /// Gives one back at once. For every thread but its owner.
    static void give_one_back(block* b) noexcept {
        set_free(b) = {nullptr, nullptr, nullptr, 1, {}};
        give_back(b);
    }

    /// The owning thread ends: frees what is here; the last block to come back frees the cache.
    void end() noexcept {
        give_all_back();
        collect();
        for (std::size_t c = 0; c != slab_classes; ++c) {
            while (void* const memory = take_latest(c)) drop(static_cast<block*>(memory) - 1);
        }
        for (std::size_t c = 0; c != classes; ++c) {
            drop_chain(free_[c]);
            while (block* const chain = chains_[c]) {
                chains_[c] = links(chain).next_chain;
                drop_chain(chain);
            }
        }
        orphans_.store(abroad_ + 1, std::memory_order_relaxed);
        void* late = returned_.exchange(this, std::memory_order_acq_rel);  // (2)
        while (late) {
            block* const chain = static_cast<block*>(late);
            late = links(chain).next_chain;
            drop_orphans(chain);
        }
        forget_orphan();
    }

private:
    static constexpr std::uint32_t chain_length = 32, chain_bytes = 32 * 1024;
    static constexpr std::size_t places = 8;
    // To the block that is fetched: a line may be 250 ns away, and a message takes 20 (send_bench).
    // Of larger blocks half as many: only so many lines can be under way at once.
    static constexpr std::uint32_t most_steps = 8;
    static constexpr std::size_t most_fetched = 8;  // lines of a block

    static std::size_t place_of(const block& b) noexcept {
        return (reinterpret_cast<std::uintptr_t>(b.owner) / sizeof(block_cache) + b.size_class) %
               places;
    }

    // A chain of other caches' blocks, all of one owner and size. What is known of it stands here
    // and not in its first block, which is another one each time.
    struct aside {
        block* first = nullptr;
        std::array<block*, most_steps> latest{};  // a ring: the count-th put stands at count - 1
        block_cache* owner = nullptr;
        std::uint32_t size_class = 0, count = 0, most = 0, steps = 0;

        POSTHASTE_NOINLINE void give_back() noexcept {
            if (count == 0) return;
            free_links& l = links(first);
            l.count = count;
            l.ways = {};
            const std::uint32_t fetched = detail::min(steps, count);
            for (std::uint32_t i = 0; i != l.ways.size() && i + 3 <= fetched; ++i)
                l.ways[i] = trail_between(first, latest[(count - 3 - i) % most_steps]);
            latest = {};
            count = 0;
            block_cache::give_back(detail::exchange(first, nullptr));
        }
    };
    POSTHASTE_NOINLINE void put_aside_first(aside& a, block* b) noexcept {
        a.give_back();
        a.owner = b->owner;
        a.size_class = b->size_class;
        a.most = detail::clamp(chain_bytes / b->bytes, 1U, chain_length);
        a.steps = b->bytes <= line_pair ? most_steps : most_steps / 2;
        put_aside(b);
    }
    // A block that is written soon, or the beginning of a large one.
    static void fetch(const void* b, std::size_t size_class) noexcept {
        const std::byte* const at = static_cast<const std::byte*>(b);
        const std::size_t lines = detail::min(bytes_of(size_class) / cache_line, most_fetched);
        for (std::size_t line = lines; line-- != 0;) prefetch(at + line * cache_line);
    }
    // As b is used. Near the end of a chain, where none is ahead: the first blocks of the next one.
    POSTHASTE_NOINLINE void* fetch_later_ones(block* b) noexcept {
        const std::size_t size_class = b->size_class;
        if (block* const ahead = links(b).ahead) {
            fetch(ahead, size_class);
        } else {
            if (!chains_[size_class]) collect();
            block* const chain = chains_[size_class];
            if (chain && !detail::exchange(begin_fetched_[size_class], true)) {
                const free_links& l = links(chain);
                fetch(chain, size_class);
                if (l.next) fetch(l.next, size_class);
                for (const std::int32_t way : l.ways)
                    if (way != 0) fetch(end_of_trail(chain, way), size_class);
            }
        }
        return b + 1;
    }
    POSTHASTE_NOINLINE void* allocate_elsewhere(std::size_t size_class) noexcept {
        if (!chains_[size_class]) collect();
        if (block* const chain = chains_[size_class]) {
            chains_[size_class] = links(chain).next_chain;
            begin_fetched_[size_class] = false;
            free_[size_class] = chain;
            return allocate(size_class);
        }
        const std::size_t bytes = bytes_of(size_class);
        if (size_class < slab_classes) {
            std::size_t count = 0;
            if (block* const b = slabs_[size_class].revive(count)) {
                abroad_ += count;
                kept_ += count * bytes;
                free_[size_class] = b;
                return allocate(size_class);
            }
        }
        block* const b = anew(size_class, bytes);
        if (!b) return nullptr;
        ++abroad_;
        return b + 1;
    }

    static void give_back(block* chain) noexcept {
        free_links& l = links(chain);
        block_cache& owner = *chain->owner;
        void* before = owner.returned_.load(std::memory_order_acquire);  // (5)
        for (;;) {
            if (before == &owner) return owner.drop_orphans(chain);
            l.next_chain = static_cast<block*>(before);
            if (owner.returned_.compare_exchange_weak(before, chain,
                                                      std::memory_order_release,  // (1)
                                                      std::memory_order_acquire)) {  // (5)
                return;
            }
        }
    }
    // Is there room for so many more? What was counted may have gone; it is counted again when
    // there seems to be none, but not each time.
    POSTHASTE_NOINLINE bool fits(std::size_t bytes) noexcept {
        if (kept_ + counted_ + bytes <= max_bytes_kept) return true;
        if (refused_++ % counted_at_once != 0) return false;
        counted_ = 0;
        for (std::size_t c = 0; c != slab_classes; ++c) {
            const std::size_t depth = freed_inlined()[c]->depth;
            counted_ += (depth - depth % counted_at_once) * bytes_of(c);
        }
        if (kept_ + counted_ + bytes > max_bytes_kept) return false;
        refused_ = 0;
        return true;
    }
    block* anew(std::size_t size_class, std::size_t bytes) noexcept {
        if (size_class < slab_classes)
            return slabs_[size_class].carve(this, size_class, bytes,
                                            size_class == packed ? cache_line : line_pair);
        void* memory = ::operator new(bytes, slabs::aligned, std::nothrow);
        if (!memory) return nullptr;
        return ::new (memory) block{this, static_cast<std::uint16_t>(size_class), 0,
                                    static_cast<std::uint32_t>(bytes)};
    }
    POSTHASTE_NOINLINE void drop(block* b) noexcept {
        --abroad_;
        if (b->place != 0) slabs_[b->size_class].drop(b);
        else ::operator delete(b, slabs::aligned);
    }
    void drop_chain(block* b) noexcept {
        while (b) {
            block* const next = links(b).next;
            drop(b);
            b = next;
        }
    }
    void collect() noexcept {
        if (!returned_.load(std::memory_order_relaxed)) return;
        void* list = returned_.exchange(nullptr, std::memory_order_acquire);  // (3)
        while (list) {
            block* const chain = static_cast<block*>(list);
            list = links(chain).next_chain;
            const std::size_t bytes = links(chain).count * chain->bytes;
            if (!fits(bytes)) {
                drop_chain(chain);
            } else {
                kept_ += bytes;
                links(chain).next_chain = detail::exchange(chains_[chain->size_class], chain);
            }
        }
    }
    void drop_orphans(block* b) noexcept {
        while (b) {
            block* const next = links(b).next;
            if (b->place != 0) slabs::drop_orphan(b);
            else ::operator delete(b, slabs::aligned);
            b = next;
            forget_orphan();
        }
    }
    void forget_orphan() noexcept {
        if (orphans_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;  // (4)
    }

    std::array<block*, classes> free_{};
    std::array<slabs, slab_classes> slabs_;
    std::array<block*, classes> chains_{};  // that came back, and are not begun
    std::array<bool, classes> begin_fetched_{};  // of the first of those
    std::size_t kept_ = 0;  // bytes in free_ and chains_
    std::size_t counted_ = 0;  // of those that this thread has freed, so many or fewer
    std::size_t refused_ = 0;  // times that there was no room, in a row
    std::size_t abroad_ = 0;  // blocks that exist, here or in use

    // returned_: a stack of chains; or `this`, once the owner has ended.
    // (1) releases the freeing thread's last use of the block to (2) and (3).
    // (2) acquires from (1), and releases orphans_ and all of *this to whoever then sees `this`.
    // (3) acquires from (1).
    // (4) the last one acquires from all others before it deletes.
    // (5) acquires orphans_ from (2), where it sees `this`.
    // relaxed: a look that decides nothing; orphans_ is published by (2).
    // In the first KiB: ThreadSanitizer looks no further into what is deleted, and is to see (4).
    alignas(64) std::atomic<void*> returned_ = nullptr;
    std::atomic<std::size_t> orphans_ = 0;

    alignas(64) std::array<aside, places> aside_{};  // the owner's again
};

/// Ends the cache with its thread. What is freed on this thread later goes to operator delete.
struct block_cache_guard {
    block_cache_guard() = default;
    block_cache_guard(const block_cache_guard&) = delete;
    ~block_cache_guard() {
        thread_state& here = this_thread();
        here.blocks_ended = true;
        here.own_blocks = &no_blocks;
        if (block_cache* cache = detail::exchange(here.blocks, nullptr)) cache->end();
    }
};

POSTHASTE_NOINLINE inline block_cache* make_block_cache(thread_state& here) noexcept {
    if (here.blocks_ended) return nullptr;
    static thread_local block_cache_guard guard;
    static_cast<void>(&guard);
    block_cache* const made = ::new (std::nothrow) block_cache;
    if (made) here.own_blocks = made;
    return here.blocks = made;
}

inline constexpr bool recycles = !address_sanitizer;  // a sanitizer wants to see each block

POSTHASTE_NOINLINE inline void* allocate_rarely(std::size_t size, std::size_t size_class) noexcept {
    if (recycles && size <= block_cache::largest) {
        thread_state& here = this_thread_inlined();
        if (block_cache* cache = here.blocks ? here.blocks : make_block_cache(here))
            return cache->allocate(size_class);
    }
    if (size > std::numeric_limits<std::size_t>::max() - sizeof(block)) return nullptr;
    void* memory = ::operator new(sizeof(block) + size, std::nothrow);
    return memory ? ::new (memory) block{nullptr, 0, 0, 0} + 1 : nullptr;
}

POSTHASTE_NOINLINE inline void* allocate_another(std::size_t size,
                                                 std::size_t size_class) noexcept {
    block_cache* const mine = this_thread_inlined().blocks;
    if (recycles && size <= block_cache::largest && mine) return mine->allocate(size_class);
    return allocate_rarely(size, size_class);
}

/// Of one of the slab_classes.
POSTHASTE_OF_THIS_THREAD void* allocate_fine(std::size_t size_class) noexcept {
    if (void* const latest = block_cache::take_latest(size_class)) return latest;
    return allocate_another(block_cache::bytes_of(size_class) - sizeof(block), size_class);
}
/// As the next one, of this class, which holds it.
POSTHASTE_ALWAYS_INLINE void* allocate(std::size_t size, std::size_t size_class) noexcept {
    if (recycles && size_class < block_cache::slab_classes) return allocate_fine(size_class);
    return allocate_another(size, size_class);
}
/// At least `size` bytes, aligned for max_align_t; nullptr when out of memory. Inlined, as a rule
/// the class is a constant.
/// Cost       a few nanoseconds, no operator new in the steady state, up to 64 KiB.
POSTHASTE_ALWAYS_INLINE void* allocate(std::size_t size) noexcept {
    return allocate(size, block_cache::class_of(size));
}

POSTHASTE_NOINLINE inline void deallocate_rarely(block* b) noexcept {
    if (!b->owner) return ::operator delete(b);
    if (block_cache* const mine = make_block_cache(this_thread_inlined())) mine->put_aside(b);
    else block_cache::give_one_back(b);
}
/// Takes back what allocate() gave, on any thread; nullptr is ignored.
POSTHASTE_NOINLINE inline void deallocate(void* memory) noexcept {
    if (!memory) return;
    block* const b = static_cast<block*>(memory) - 1;
    block_cache* const mine = this_thread_inlined().blocks;
    if (!mine || !b->owner) deallocate_rarely(b);
    else if (b->owner == mine) mine->put(b);
    else mine->put_aside(b);
}
POSTHASTE_OF_THIS_THREAD void deallocate_fine(void* memory, std::size_t size_class) noexcept {
    const void* const owner = (static_cast<block*>(memory) - 1)->owner;
    if (owner != this_thread_inlined().own_blocks || !block_cache::put_latest(memory, size_class))
        deallocate(memory);
}
/// The same of memory for `size`, which is some, had of that class.
POSTHASTE_ALWAYS_INLINE void deallocate(void* memory, std::size_t /*size*/,
                                        std::size_t size_class) noexcept {
    if (size_class < block_cache::slab_classes) deallocate_fine(memory, size_class);
    else deallocate(memory);
}
POSTHASTE_ALWAYS_INLINE void deallocate(void* memory, std::size_t size) noexcept {
    deallocate(memory, size, block_cache::class_of(size));
}

/// Other threads' memory that was freed here is given back to them some blocks at a time. For a
/// thread that is going to sleep: gives back the rest.
POSTHASTE_NOINLINE inline void give_all_back() noexcept {
    if (block_cache* const mine = this_thread_inlined().blocks) mine->give_all_back();
}

/// A standard allocator over the same memory.
template <typename T>
struct recycling_allocator {
    using value_type = T;
    recycling_allocator() = default;
    template <typename U>
    recycling_allocator(const recycling_allocator<U>&) noexcept {}
    T* allocate(std::size_t n) {
        void* memory = n <= std::numeric_limits<std::size_t>::max() / sizeof(T)
                           ? detail::allocate(n * sizeof(T))
                           : nullptr;
        if (!memory) raise(std::bad_alloc{});
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, std::size_t) noexcept { detail::deallocate(memory); }
    bool operator==(const recycling_allocator&) const = default;
};

}  // namespace posthaste::detail
