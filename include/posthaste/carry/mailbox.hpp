// Many senders, one reader at a time, in order.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/atomics.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/trail.hpp>

#include <atomic>
#include <cstdint>

namespace posthaste {

/// A node in a mailbox or a list of messages; a base of the message's envelope.
struct letter {
    letter* next = nullptr;
    /// From here to what its sender put shortly before, in 16 bytes. 0: put() finds out. Once
    /// taken, to what is read soon.
    std::int32_t trail = 0;
};

/// What those who put letters count; how, is told in ledger. It stands beside the word that each of
/// them writes to, so that only one line has to come over.
struct senders_counts {
    std::atomic<std::uint64_t> accepted = 0;
    std::atomic<std::uint64_t> known_gone = 0;  ///< what they last saw to have left, or less
    std::atomic<std::uint64_t> refused = 0;
};

namespace detail {
/// A list from its other end. Each letter's trail leads to one some steps on, which is fetched
/// meanwhile; then, for who reads `along` them, to the one four behind it: in a long list it is out
/// of reach again.
template <bool Along>
letter* turn_round(letter* newest) noexcept {
    letter *oldest = nullptr, *second = nullptr, *third = nullptr, *fourth = nullptr;
    for (letter* l = newest; l;) {
        prefetch(end_of_trail(l, l->trail));
        if constexpr (Along) l->trail = fourth ? trail_between(l, fourth) : 0;
        letter* const older = detail::exchange(l->next, oldest);
        fourth = third, third = second, second = oldest;
        oldest = detail::exchange(l, older);
    }
    return oldest;
}
}  // namespace detail

/// The queue of an endpoint that keeps order: an intrusive stack in one word, which the reader
/// takes as a whole and turns round. (As folly's AtomicQueue; the turning costs each letter one
/// step.) The same word says whether there is a reader, so putting a letter and finding out that
/// somebody must be sent to read it is one step, and no wake-up can be lost.
///
/// To turn round what is in another processor's cache, one letter after the other, would cost the
/// whole way there and back for each. So each letter carries a hint where some later one of the
/// walk may be, which is fetched meanwhile: the one its sender put 16 letters before.
///
/// Ordering   letters come out in the order of their put()s, from whatever threads those came, as
///            far as one happened before the other. What was done before put() happens before
///            take().
/// Threads    put(), claim(), claim_soon() and shut() any; take() and release() only whoever holds
///            the claim; put_here() where all readers read, one at a time.
/// Cost       no allocation, no lock; put() one compare-exchange, repeated under contention;
///            put_here() none, where there is a reader.
template <typename Atomics = detail::std_atomics>
class basic_mailbox {
public:
    enum class put_result : unsigned char {
        queued,  ///< whoever holds the claim will see it
        claimed,  ///< nobody held the claim: the caller does now, and must have it read
        refused,  ///< it is shut
    };

    put_result put(letter& l) noexcept {
        if (l.trail == 0) l.trail = detail::trail_to(&l);
        return put(l, l);
    }
    /// Several at once: from `newest` each one's `next` is the one before it, down to `oldest`.
    put_result put(letter& newest, letter& oldest) noexcept {
        std::uintptr_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (seen & shut_bit) return put_result::refused;
            oldest.next = seen & idle_bit ? nullptr : list(seen);
        } while (!word_.compare_exchange_weak(seen, address(newest),
                                              std::memory_order_acq_rel,  // (1)
                                              std::memory_order_relaxed));
        return seen & idle_bit ? put_result::claimed : put_result::queued;
    }
    /// The same, behind what was taken, as long as nothing lies before that.
    /// Requires   whoever holds the claim runs here, but not just now; each holder does.
    put_result put_here(letter& l) noexcept {
        const bool claimed = claim();
        if (!claimed && word_.load(std::memory_order_relaxed) != 0) return put(l);
        l.next = nullptr;
        *(out_ ? &last_out_->next : &out_) = &l;
        last_out_ = &l;
        return claimed ? put_result::claimed : put_result::queued;
    }

    /// Takes the claim, if nobody has it and nothing is queued.
    bool claim() noexcept {
        std::uintptr_t idle = idle_bit;
        return is_free() &&
               word_.compare_exchange_strong(idle, 0, std::memory_order_acq_rel,  // (2)
                                             std::memory_order_relaxed);
    }

    /// The same, but looks up to so many times whether a reader goes who has nothing queued. Some
    /// time lies before each look, the first one, too: to a reader who comes and goes again and
    /// again, all it works on stays at hand meanwhile; to take it over at each turn costs more than
    /// most readers do in theirs.
    bool claim_soon(unsigned looks) noexcept {
        std::uintptr_t seen = word_.load(std::memory_order_relaxed);
        for (; looks != 0; --looks) {
            if (seen != 0 && seen != idle_bit) return false;
            for (int i = 0; i != 16; ++i) detail::pause();
            seen = word_.load(std::memory_order_relaxed);
            if (seen == idle_bit && claim()) return true;
        }
        return false;
    }
    /// Would claim() take it? A hint, if others may come.
    bool is_free() const noexcept { return word_.load(std::memory_order_relaxed) == idle_bit; }
    /// Has somebody put a letter that was not taken? Only a hint.
    bool queued() const noexcept { return list(word_.load(std::memory_order_relaxed)); }

    /// The oldest letter; nullptr: none is there now.
    letter* take() noexcept {
        letter* const l = out_ ? out_ : queued() ? fetch() : nullptr;
        if (!l) return nullptr;
        out_ = l->next;
        detail::prefetch(detail::end_of_trail(l, l->trail));
        return l;
    }

    /// Gives the claim up, if nothing is there; false: there is, read on.
    bool release() noexcept {
        if (out_) return false;
        std::uintptr_t seen = word_.load(std::memory_order_relaxed);
        do {
            if (list(seen)) return false;
        } while (!word_.compare_exchange_weak(seen, seen | idle_bit,
                                              std::memory_order_acq_rel,  // (4)
                                              std::memory_order_relaxed));
        return true;
    }

    /// From now on put() is refused; what is there can still be taken.
    void shut() noexcept { word_.fetch_or(shut_bit, std::memory_order_relaxed); }

    /// Nothing there, nobody reading.
    bool idle() const noexcept {
        return word_.load(std::memory_order_acquire) & idle_bit;  // (5)
    }
    senders_counts& counts() noexcept { return counts_; }

private:
    static constexpr std::uintptr_t idle_bit = 1, shut_bit = 2, bits = 3;
    static_assert(alignof(letter) > bits);

    static std::uintptr_t address(letter& l) noexcept {
        return reinterpret_cast<std::uintptr_t>(&l);
    }
    static letter* list(std::uintptr_t word) noexcept {
        return reinterpret_cast<letter*>(word & ~bits);
    }
    POSTHASTE_NOINLINE letter* fetch() noexcept {
        return turned(word_.fetch_and(shut_bit, std::memory_order_acq_rel));  // (3)
    }
    letter* turned(std::uintptr_t word) noexcept {
        return detail::turn_round<true>(last_out_ = list(word));
    }

    //     word_            out_     who may write out_     put()        who moves it on
    //     idle             empty    nobody                 claims       put (1), claim (2)
    //     0                any      the claim's holder     queues       put (1), release (4)
    //     address          any      the claim's holder     queues       put (1), take (3)
    //     with shut_bit    as above                        is refused   take (3), release (4)
    //
    // (1) releases the letter to (3); if it claims, acquires the last holder's work from (4).
    // (2) acquires the last holder's work from (4).
    // (3) acquires the letters from (1).
    // (4) releases all this holder did to the next one: (1), (2). A read-modify-write, so that it
    //     cannot pass a put() that has gone before.
    // (5) acquires what the last holder did from (4).
    // relaxed: a first look, checked by a read-modify-write; shut(), which hands over nothing: as a
    // read-modify-write it leaves the others' hand-overs whole; a put() is before it, or refused.
    // put_here() reads 0 where a reader is here, or on its way, and hands over nothing: what was
    // put() before is in out_ then, and what is put() later is read later.
    alignas(detail::cache_line) typename Atomics::template atomic<std::uintptr_t> word_ = idle_bit;
    senders_counts counts_;
    // Taken and turned round; guarded by the claim. Away from what senders write.
    alignas(detail::cache_line) letter* out_ = nullptr;
    letter* last_out_ = nullptr;  // unless that is empty
};

using mailbox = basic_mailbox<>;

}  // namespace posthaste
