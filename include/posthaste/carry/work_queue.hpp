// Many senders, up to n readers at a time, in no order.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/detail/trail.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace posthaste {

/// The queue of a parallel endpoint: a stack in one word, as the mailbox, of which the readers take
/// under a lock. The word also says whether a place for a reader is vacant. Who puts a letter takes
/// that place, and must send somebody to it; a reader that has found a letter opens the next place,
/// or has it filled at once, if there is more to read. So a letter never waits while a place is
/// free, and senders do not count readers.
///
/// Ordering   none between letters that are read at once; they are taken in the order of their
///            put()s. What was done before put() happens before take(); what a reader did before
///            its release(), before claim() and the first take() of the next one in its place, and
///            before idle() is true.
/// Threads    any.
/// Cost       put() one compare-exchange, repeated under contention; take() a short lock, and a
///            longer one now and then for the turning round; no allocation.
class work_queue {
public:
    enum class put_result : unsigned char {
        queued,  ///< a reader will see it
        claimed,  ///< the caller must send one more reader, which is counted already
        refused,  ///< it is shut
    };

    /// Requires   0 < readers.
    explicit work_queue(std::uint32_t readers) : max_places_(readers) {}

    put_result put(letter& l) noexcept {
        if (l.trail == 0) l.trail = detail::trail_to(&l);
        std::uintptr_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (seen & shut_bit) return put_result::refused;
            l.next = list(seen);
        } while (!word_.compare_exchange_weak(seen, address(l), std::memory_order_release,  // (1)
                                              std::memory_order_relaxed));
        return seen & vacant_bit ? put_result::claimed : put_result::queued;
    }
    /// The same for a letter that was taken before: it is not refused.
    put_result put_back(letter& l) noexcept {
        l.trail = 0;
        std::uintptr_t seen = word_.load(std::memory_order_relaxed);
        do {
            l.next = list(seen);
        } while (!word_.compare_exchange_weak(seen, address(l) | (seen & shut_bit),
                                              std::memory_order_release,  // (1)
                                              std::memory_order_relaxed));
        return seen & vacant_bit ? put_result::claimed : put_result::queued;
    }

    /// One reader more, if nothing is queued and there is room for one.
    bool claim() noexcept {
        const std::lock_guard guard(lock_);
        std::uintptr_t seen = word_.load(std::memory_order_relaxed);
        if (seen != vacant_bit) return false;
        if (places_ != max_places_) return ++places_, true;
        return word_.compare_exchange_strong(seen, 0, std::memory_order_relaxed);
    }

    /// A letter, for a reader; nullptr: none is there now. `one_more`: the caller must send another
    /// reader, which is counted already. `taken()` is called for each letter, one at a time.
    template <typename Taken>
    letter* take(bool& one_more, Taken taken) noexcept {
        const std::lock_guard guard(lock_);
        letter* const l = next();
        if (l) taken();
        one_more = false;
        if (l && places_ != max_places_ && !vacant()) {
            ++places_;  // that of the reader who comes with the next letter; or to one that is here
            one_more = !open_place();
        }
        return l;
    }
    /// A letter, for one who is no reader.
    letter* take_beside() noexcept {
        const std::lock_guard guard(lock_);
        return next();
    }

    /// One reader less, if nothing is there; false: there is, read on.
    bool release() noexcept {
        const std::lock_guard guard(lock_);
        if (!vacant()) return open_place();
        --places_;
        return true;
    }

    void shut() noexcept { word_.fetch_or(shut_bit, std::memory_order_relaxed); }
    /// Nothing there, nobody reading.
    bool idle() const noexcept {
        const std::lock_guard guard(lock_);
        return places_ == 1 && vacant();
    }
    senders_counts& counts() noexcept { return counts_; }

private:
    static constexpr std::uintptr_t vacant_bit = 1, shut_bit = 2, bits = 3;
    static_assert(alignof(letter) > bits);

    static std::uintptr_t address(letter& l) noexcept {
        return reinterpret_cast<std::uintptr_t>(&l);
    }
    static letter* list(std::uintptr_t word) noexcept {
        return reinterpret_cast<letter*>(word & ~bits);
    }
    bool vacant() const noexcept { return word_.load(std::memory_order_relaxed) & vacant_bit; }

    // The next two under lock_.
    letter* next() noexcept {
        if (!out_ && list(word_.load(std::memory_order_relaxed)))
            out_ = detail::turn_round<false>(
                list(word_.fetch_and(shut_bit, std::memory_order_acquire)));  // (2)
        return out_ ? detail::exchange(out_, out_->next) : nullptr;
    }
    // A place that is counted waits for the next letter; false: it is there already.
    bool open_place() noexcept {
        if (out_) return false;
        std::uintptr_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (list(seen)) return false;
        } while (!word_.compare_exchange_weak(seen, seen | vacant_bit, std::memory_order_relaxed));
        return true;
    }

    // word_            out_    places_                 put()        who moves it on
    // vacant_bit       empty   readers, and that one   claims       put (1), claim
    // 0                any     readers                 queues       put (1), take, release
    // address          any     readers                 queues       put (1), take (2)
    // with shut_bit    as above                        is refused   put_back (1), take (2), release
    //
    // Where no place is vacant but one could be, a reader is on its way, or about to look again.
    //
    // (1) releases the letter to (2), which acquires it.
    // relaxed: a first look, checked by a read-modify-write; shut() and vacant_bit, which hand over
    // nothing: what one reader leaves to the next, and to idle(), lock_ hands over. As
    // read-modify-writes they leave the others' hand-overs whole.
    const std::uint32_t max_places_;
    alignas(detail::cache_line) std::atomic<std::uintptr_t> word_ = vacant_bit;
    senders_counts counts_;
    alignas(detail::cache_line) mutable detail::spin_lock lock_;
    std::uint32_t places_ = 1;  // guarded by lock_: of readers, and the vacant one
    letter* out_ = nullptr;  // guarded by lock_: taken and turned round
};

}  // namespace posthaste
