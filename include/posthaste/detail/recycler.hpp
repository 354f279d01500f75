// Memory for frames and messages, used again and again.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/this_thread.hpp>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

namespace posthaste::detail {

// Each thread owns a cache of free blocks by size class. A block remembers the cache it came from:
// freed on its own thread it goes back there with two plain stores; freed on another it is pushed
// on the owner's `returned_` stack, which the owner empties when it runs out. So a thread that only
// allocates and a thread that only frees reach a steady state without operator new. (The scheme of
// mimalloc: Leijen, Zorn, de Moura, "Free List Sharding in Action", 2019.) A cache outlives its
// thread as long as blocks of it are about. Blocks are whole cache lines, header included: a small
// message that goes to another processor is one line.

/// Stands before every block; a free one holds the next of its list in its first word.
struct alignas(16) block {
    block_cache* owner;  // nullptr: straight from operator new
    std::uint32_t size_class;
    std::uint32_t bytes;  // in all
};
static_assert(sizeof(block) == 16);

class block_cache {
public:
    static constexpr std::size_t fine_classes = 16;  // 64, 128, ... 1024 bytes, with the header
    static constexpr std::size_t classes = fine_classes + 6;  // 2, 4, ... 64 KiB
    static constexpr std::size_t largest_fine = fine_classes * 64 - sizeof(block);
    static constexpr std::size_t largest = std::size_t{64} * 1024 - sizeof(block);
    static constexpr std::size_t max_bytes_kept = std::size_t{32} * 1024 * 1024;  // a thread

    static constexpr std::size_t class_of(std::size_t size) noexcept {
        const std::size_t last = size + sizeof(block) - 1;
        if (last < 1024) return last / 64;
        return fine_classes + static_cast<std::size_t>(std::bit_width(last)) - 11;
    }
    /// Of a block, with its header.
    static constexpr std::size_t bytes_of(std::size_t size_class) noexcept {
        return size_class < fine_classes ? (size_class + 1) * 64
                                         : std::size_t{2048} << (size_class - fine_classes);
    }

    /// A block that was used before; nullptr: none is here now. Only for the owning thread.
    block* reuse(std::size_t size_class) noexcept {
        block* const b = free_[size_class];
        if (b) {
            free_[size_class] = next(b);
            kept_ -= b->bytes;
        }
        return b;
    }
    /// Where reuse() found none: nullptr when out of memory. Only for the owning thread.
    POSTHASTE_NOINLINE block* take(std::size_t size_class) noexcept {
        collect();
        if (block* b = reuse(size_class)) return b;
        const std::size_t bytes = bytes_of(size_class);
        void* memory = ::operator new(bytes, aligned, std::nothrow);
        if (!memory) return nullptr;
        ++abroad_;
        return ::new (memory)
            block{this, static_cast<std::uint32_t>(size_class), static_cast<std::uint32_t>(bytes)};
    }

    /// Only for the owning thread.
    void put(block* b) noexcept {
        if (kept_ + b->bytes > max_bytes_kept) return drop(b);
        kept_ += b->bytes;
        next(b) = std::exchange(free_[b->size_class], b);
    }

    /// For every other thread.
    POSTHASTE_NOINLINE void put_back(block* b) noexcept {
        void* before = returned_.load(std::memory_order_acquire);  // (5)
        for (;;) {
            if (before == this) return drop_orphan(b);
            next(b) = static_cast<block*>(before);
            if (returned_.compare_exchange_weak(before, b, std::memory_order_release,  // (1)
                                                std::memory_order_acquire)) {  // (5)
                return;
            }
        }
    }

    /// The owning thread ends: frees what is here; the last block to come back frees the cache.
    void end() noexcept {
        collect();
        for (std::size_t c = 0; c != classes; ++c) {
            while (block* b = reuse(c)) drop(b);
        }
        orphans_.store(abroad_ + 1, std::memory_order_relaxed);
        void* late = returned_.exchange(this, std::memory_order_acq_rel);  // (2)
        while (late) {
            block* b = static_cast<block*>(late);
            late = next(b);
            drop_orphan(b);
        }
        forget_orphan();
    }

private:
    static constexpr std::align_val_t aligned{64};

    static block*& next(block* b) noexcept { return *reinterpret_cast<block**>(b + 1); }

    POSTHASTE_NOINLINE void drop(block* b) noexcept {
        --abroad_;
        ::operator delete(b, aligned);
    }
    void collect() noexcept {
        if (!returned_.load(std::memory_order_relaxed)) return;
        void* list = returned_.exchange(nullptr, std::memory_order_acquire);  // (3)
        while (list) {
            block* b = static_cast<block*>(list);
            list = next(b);
            put(b);
        }
    }
    void drop_orphan(block* b) noexcept {
        ::operator delete(b, aligned);
        forget_orphan();
    }
    void forget_orphan() noexcept {
        if (orphans_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;  // (4)
    }

    std::array<block*, classes> free_{};
    std::size_t kept_ = 0;  // bytes in free_
    std::size_t abroad_ = 0;  // blocks that exist, here or in use

    // returned_: a stack of blocks; or `this`, once the owner has ended.
    // (1) releases the freeing thread's last use of the block to (2) and (3).
    // (2) acquires from (1), and releases orphans_ and all of *this to whoever then sees `this`.
    // (3) acquires from (1).
    // (4) the last one acquires from all others before it deletes.
    // (5) acquires orphans_ from (2), where it sees `this`.
    // relaxed: a look that decides nothing; orphans_ is published by (2).
    alignas(64) std::atomic<void*> returned_ = nullptr;
    std::atomic<std::size_t> orphans_ = 0;
};

/// Ends the cache with its thread. What is freed on this thread later goes to operator delete.
struct block_cache_guard {
    block_cache_guard() = default;
    block_cache_guard(const block_cache_guard&) = delete;
    ~block_cache_guard() {
        thread_state& here = this_thread();
        here.blocks_ended = true;
        if (block_cache* cache = std::exchange(here.blocks, nullptr)) cache->end();
    }
};

POSTHASTE_NOINLINE inline block_cache* make_block_cache(thread_state& here) noexcept {
    if (here.blocks_ended) return nullptr;
    static thread_local block_cache_guard guard;
    static_cast<void>(&guard);
    return here.blocks = ::new (std::nothrow) block_cache;
}

inline constexpr bool recycles = !address_sanitizer;  // a sanitizer wants to see each block

POSTHASTE_NOINLINE inline void* allocate_anew(std::size_t size) noexcept {
    if (recycles && size <= block_cache::largest) {
        thread_state& here = this_thread();
        if (block_cache* cache = here.blocks ? here.blocks : make_block_cache(here)) {
            const std::size_t size_class = block_cache::class_of(size);
            block* b = cache->reuse(size_class);
            if (!b) b = cache->take(size_class);
            return b ? b + 1 : nullptr;
        }
    }
    if (size > std::numeric_limits<std::size_t>::max() - sizeof(block)) return nullptr;
    void* memory = ::operator new(sizeof(block) + size, std::nothrow);
    return memory ? ::new (memory) block{nullptr, 0, 0} + 1 : nullptr;
}

/// At least `size` bytes, aligned for max_align_t; nullptr when out of memory.
/// Cost       a few nanoseconds, no operator new in the steady state, up to 64 KiB.
POSTHASTE_NOINLINE inline void* allocate(std::size_t size) noexcept {
    block_cache* const cache = this_thread_inlined().blocks;
    if (recycles && cache && size <= block_cache::largest_fine) {
        if (block* const b = cache->reuse(block_cache::class_of(size))) return b + 1;
    }
    return allocate_anew(size);
}

/// Takes back what allocate() gave, on any thread; nullptr is ignored.
POSTHASTE_NOINLINE inline void deallocate(void* memory) noexcept {
    if (!memory) return;
    block* b = static_cast<block*>(memory) - 1;
    block_cache* const owner = b->owner;
    if (!owner) return ::operator delete(b);
    if (owner == this_thread_inlined().blocks) owner->put(b);
    else owner->put_back(b);
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
