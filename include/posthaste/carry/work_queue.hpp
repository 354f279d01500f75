// Many senders, up to n readers at a time, in no order.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/concurrentqueue.hpp>
#include <posthaste/detail/spin_lock.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>

namespace posthaste {

/// The queue of a parallel endpoint. The letters are in a lock-free queue without order; one word
/// counts them and their readers, so that a letter is never put without somebody to read it, and a
/// reader takes no more than was counted.
///
/// Ordering   none between letters. What was done before put() happens before take(); what a
///            reader did before its release(), before the next reader is counted in its place, and
///            before idle() is true.
/// Threads    any.
/// Cost       one compare-exchange and the queue's own; no allocation in the steady state.
class work_queue {
public:
    enum class put_result : unsigned char {
        queued,   ///< a reader will see it
        claimed,  ///< the caller must send one more reader, which is counted already
        refused,  ///< it is shut
    };

    /// Requires   0 < readers.
    explicit work_queue(std::uint32_t readers) : max_readers_(readers) {}

    put_result put(letter& l) noexcept {
        bool claimed = false;
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (seen & shut_bit) return put_result::refused;
            claimed = readers(seen) < max_readers_;
        } while (!word_.compare_exchange_weak(seen, seen + one_letter + (claimed ? one_reader : 0),
                                              std::memory_order_acquire,  // (1)
                                              std::memory_order_relaxed));
        if (!letters_.put(&l)) {  // out of memory: it has been promised a reader, this needs none
            const std::lock_guard guard(lock_);
            l.next = spill_;
            spill_ = &l;
        }
        return claimed ? put_result::claimed : put_result::queued;
    }

    /// One reader more, if nothing is queued and there is room for one.
    bool claim() noexcept {
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (seen & shut_bit || queued(seen) != 0 || readers(seen) == max_readers_) return false;
        } while (!word_.compare_exchange_weak(seen, seen + one_reader,
                                              std::memory_order_acquire,  // (2)
                                              std::memory_order_relaxed));
        return true;
    }

    /// A letter, for readers and others; nullptr: none is there now.
    letter* take() noexcept {
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (queued(seen) == 0) return nullptr;
        } while (!word_.compare_exchange_weak(seen, seen - one_letter, std::memory_order_relaxed));
        return fetch();
    }
    /// One reader less, if nothing is there; false: there is, read on.
    bool release() noexcept {
        std::uint64_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (queued(seen) != 0) return false;
        } while (!word_.compare_exchange_weak(seen, seen - one_reader,
                                              std::memory_order_release,  // (3)
                                              std::memory_order_relaxed));
        return true;
    }

    void shut() noexcept { word_.fetch_or(shut_bit, std::memory_order_relaxed); }
    bool idle() const noexcept {
        return (word_.load(std::memory_order_acquire) & ~shut_bit) == 0;  // (4)
    }

private:
    static constexpr std::uint64_t one_letter = 1, one_reader = std::uint64_t{1} << 32;
    static constexpr std::uint64_t shut_bit = std::uint64_t{1} << 63;
    static std::uint32_t queued(std::uint64_t w) noexcept { return static_cast<std::uint32_t>(w); }
    static std::uint32_t readers(std::uint64_t w) noexcept {
        return static_cast<std::uint32_t>((w & ~shut_bit) >> 32);
    }
    // A letter that was counted is there, or is about to be: its sender is between two steps.
    letter* fetch() noexcept {
        for (;;) {
            if (letter* l = letters_.take()) return l;
            {
                const std::lock_guard guard(lock_);
                if (letter* l = spill_) return spill_ = l->next, l;
            }
            std::this_thread::yield();
        }
    }

    // word_: letters in the low half, readers in the high half, and the shut bit.
    // (1) acquires, if it claims, what those did who were readers before, from (3).
    // (2) acquires the same.
    // (3) releases all this reader did to (1), (2), (4).
    // (4) acquires what all readers did.
    // relaxed: a first look, checked by a read-modify-write; take() and shut(), which hand over
    // nothing: letters_ does that for a letter. As read-modify-writes they leave the others'
    // hand-overs whole.
    const std::uint32_t max_readers_;
    alignas(detail::cache_line) std::atomic<std::uint64_t> word_ = 0;
    detail::shared_queue<letter> letters_;
    detail::spin_lock lock_;
    letter* spill_ = nullptr;  // guarded by lock_
};

}  // namespace posthaste
