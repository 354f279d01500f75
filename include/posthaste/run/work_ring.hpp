// One worker's queue, from which others may steal.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/assert.hpp>
#include <posthaste/detail/atomics.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/wait/home.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace posthaste {

/// First in, first out, of fixed size, as Go's and Tokio's run queues: the owner puts at the tail,
/// owner and thieves take at the head, thieves half of it at a time.
///
/// Ordering   what was done before put() happens before the take() or steal() that returns it.
/// Requires   Capacity is 2, 4, 8, ...: the counts of puts and takes run over.
/// Threads    empty() and being stolen from, any; the rest the owner.
/// Cost       no allocation; put() one exchange, however many it puts, take() one compare-exchange.
template <typename Atomics = detail::std_atomics, std::uint32_t Capacity = 256>
class basic_work_ring {
    static_assert(std::has_single_bit(Capacity) && Capacity != 1,
                  "work_ring: the capacity must be 2, 4, 8, ...; write 256");

public:
    static constexpr std::uint32_t capacity = Capacity;

    /// False: it is full.
    bool put(work& w) noexcept {
        const std::uint32_t head = head_.load(std::memory_order_acquire);  // (1)
        const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head == capacity) return false;
        slots_[tail % capacity].store(&w, std::memory_order_relaxed);
        tail_.exchange(tail + 1, std::memory_order_seq_cst);  // (2)
        return true;
    }

    /// The same, and take(), where nobody steals or needs to be woken: no locked instruction.
    bool put_alone(work& w) noexcept {
        const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_.load(std::memory_order_relaxed) == capacity) return false;
        slots_[tail % capacity].store(&w, std::memory_order_relaxed);
        tail_.store(tail + 1, std::memory_order_relaxed);
        return true;
    }
    work* take_alone() noexcept {
        const std::uint32_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_.load(std::memory_order_relaxed)) return nullptr;
        head_.store(head + 1, std::memory_order_relaxed);
        return slots_[head % capacity].load(std::memory_order_relaxed);
    }

    /// All of them, the oldest first; there is room() for so many.
    void put(work* const* all, std::uint32_t count) noexcept {
        std::uint32_t tail = tail_.load(std::memory_order_relaxed);
        const std::uint32_t head = head_.load(std::memory_order_acquire);  // (1)
        POSTHASTE_ASSERT(count <= capacity - (tail - head));
        static_cast<void>(head);  // the load is wanted for its order
        for (std::uint32_t i = 0; i != count; ++i)
            slots_[tail++ % capacity].store(all[i], std::memory_order_relaxed);
        tail_.exchange(tail, std::memory_order_seq_cst);  // (2)
    }

    /// nullptr: it is empty.
    work* take() noexcept {
        std::uint32_t head = head_.load(std::memory_order_relaxed);
        for (;;) {
            if (head == tail_.load(std::memory_order_relaxed)) return nullptr;
            work* const w = slots_[head % capacity].load(std::memory_order_relaxed);
            if (head_.compare_exchange_weak(head, head + 1, std::memory_order_release,  // (3)
                                            std::memory_order_relaxed)) {
                return w;
            }
        }
    }

    /// Takes the oldest ones, so many as there is room for in `into`, or none if there are fewer.
    template <std::size_t Count>
        requires(Count <= Capacity)
    bool take(std::array<work*, Count>& into) noexcept {
        constexpr std::uint32_t count = Count;
        const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
        std::uint32_t head = head_.load(std::memory_order_relaxed);
        while (tail - head >= count) {
            for (std::uint32_t i = 0; i != count; ++i)
                into[i] = slots_[(head + i) % capacity].load(std::memory_order_relaxed);
            if (head_.compare_exchange_weak(head, head + count, std::memory_order_release,  // (3)
                                            std::memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }
    /// The owner has at least so much.
    std::uint32_t room() const noexcept {
        return capacity -
               (tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed));
    }
    /// What the owner takes so many takes later, should nobody steal it; nullptr: nothing yet.
    const work* ahead(std::uint32_t takes) const noexcept {
        const std::uint32_t head = head_.load(std::memory_order_relaxed);
        if (tail_.load(std::memory_order_relaxed) - head <= takes) return nullptr;
        return slots_[(head + takes) % capacity].load(std::memory_order_relaxed);
    }

    /// Takes half of what `victim` has into this ring, which must be empty; gives one of it.
    work* steal_from(basic_work_ring& victim) noexcept {
        const std::uint32_t mine = tail_.load(std::memory_order_relaxed);
        std::uint32_t head = victim.head_.load(std::memory_order_relaxed);
        for (;;) {
            const std::uint32_t tail = victim.tail_.load(std::memory_order_acquire);  // (4)
            const std::uint32_t there = tail - head;
            if (there == 0) return nullptr;
            const std::uint32_t count = there - there / 2;
            if (count > capacity / 2) {  // head and tail are of different moments
                head = victim.head_.load(std::memory_order_acquire);  // (1)
                continue;
            }
            for (std::uint32_t i = 0; i != count; ++i) {
                work* const w =
                    victim.slots_[(head + i) % capacity].load(std::memory_order_relaxed);
                slots_[(mine + i) % capacity].store(w, std::memory_order_relaxed);
            }
            if (!victim.head_.compare_exchange_weak(head, head + count,
                                                    std::memory_order_release,  // (3)
                                                    std::memory_order_relaxed)) {
                continue;
            }
            work* const last =
                slots_[(mine + count - 1) % capacity].load(std::memory_order_relaxed);
            tail_.exchange(mine + count - 1, std::memory_order_seq_cst);  // (2)
            return last;
        }
    }

    /// How many there are; to others only a hint.
    std::uint32_t size() const noexcept {
        return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed);
    }
    bool empty() const noexcept {
        const std::uint32_t tail = tail_.load(std::memory_order_seq_cst);  // (5)
        return tail == head_.load(std::memory_order_relaxed);
    }

private:
    // A slot between head and tail is full. Only the owner writes slots, and none that is full.
    // (1) acquires from (3): for the owner, that the slots before head have been read and may be
    //     written again; for a thief, a tail that is not behind head, so that it comes to an end.
    // (2) releases the slots and the work to (4); seq_cst with (5), see thread_pool: a worker that
    //     announces its sleep and then finds all rings empty is seen by whoever puts afterwards.
    // (3) releases the reading of the slots, and what is known of tail, to (1).
    // (4) acquires slots and work from (2).
    // relaxed: the owner's own tail; slots, which head and tail guard;
    // a look at head that (3) checks; all that put_alone() and take_alone() do, as there is nobody
    // but the owner.
    alignas(detail::cache_line) typename Atomics::template atomic<std::uint32_t> head_ = 0u;
    alignas(detail::cache_line) typename Atomics::template atomic<std::uint32_t> tail_ = 0u;
    std::array<typename Atomics::template atomic<work*>, capacity> slots_{};
};

using work_ring = basic_work_ring<>;

}  // namespace posthaste
