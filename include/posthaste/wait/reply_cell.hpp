// Who ends a call: reply, deadline or stop; exactly one.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/atomics.hpp>
#include <posthaste/detail/config.hpp>

#include <thread>

namespace posthaste {

/// How a call came to its end.
enum class ending : unsigned { open, replied, expired, cancelled };

/// The state of one call, shared by the caller, its handler and whoever may cut it short. It holds
/// no data: it says who may touch the envelope it is a part of, and who wakes the caller.
///
///   bit           set by                          means
///   begun         handler                         it was started: its effect is no longer none
///   waiting       caller                          suspended: whoever ends the call wakes it
///   ending        handler, timer, stop, close     how it ended; the first one wins
///   caller_left   caller                          it will not look again
///   handler_left  handler                         it will not look again
///   keeping       who cuts it short               it takes hold of what the caller needs then
///   at_home       caller, before anyone knows     at one home, one after the other, all touch it:
///                                                 so nothing takes a read-modify-write
///
/// The reply's storage belongs to the handler until `replied`, then to the caller. Whoever leaves
/// second destroys the envelope. While somebody is keeping, nobody leaves: what the handler's side
/// has is there still.
template <typename Atomics = detail::std_atomics>
class basic_reply_cell {
public:
    /// What settle() found.
    struct verdict {
        bool won;      ///< this call ended the call
        bool waiting;  ///< and the caller is suspended: wake it
        bool begun;    ///< the handler had been started
    };

    /// The handler is about to run; false: the caller is gone, do not.
    bool begin() noexcept {
        unsigned seen = word_.load(std::memory_order_relaxed);
        while (!(seen & ending_mask)) {
            if (replace(seen, seen | begun, std::memory_order_release)) return true;  // (1)
        }
        return false;
    }
    /// The same where nobody else knows the cell yet, and, if `home`, nobody elsewhere ever will.
    void begin_alone(bool home = false) noexcept { know(begun, home); }

    /// The caller is suspended; false: the call has ended already, do not suspend, ask how().
    bool wait() noexcept {
        unsigned seen = word_.load(std::memory_order_relaxed);
        do {
            if (seen & (waiting | ending_mask)) return seen & waiting;
        } while (!replace(seen, seen | waiting, std::memory_order_release));  // (2)
        return true;
    }
    /// The same where nobody else knows the cell yet, for a caller who goes on no sooner than it is
    /// suspended, whoever wakes it meanwhile. `home`: as begin_alone().
    void wait_alone(bool home = false) noexcept { know(waiting, home); }

    /// Ends the call, unless it has ended.
    verdict settle(ending how) noexcept { return settle(how, 0); }
    /// The same for the handler's side, which is done with the envelope then; `last`: destroy it.
    verdict settle_and_leave(ending how, bool& last) noexcept {
        const verdict v = settle(how, handler_left);
        if (v.won) last = false;  // the caller has yet to read it, and leaves after that
        else last = handler_leaves();
        return v;
    }

    /// As settle(); who wins takes hold of what the caller needs, and then says has_kept().
    verdict cut_short(ending how) noexcept { return settle(how, keeping); }
    void has_kept() noexcept { word_.fetch_and(~keeping, std::memory_order_release); }  // (7)

    ending how() const noexcept { return ending_of(word_.load(std::memory_order_acquire)); }  // (3)
    /// The same for the caller, once nobody is keeping.
    ending how_in_the_end() const noexcept { return ending_of(kept()); }
    bool was_begun() const noexcept { return word_.load(std::memory_order_relaxed) & begun; }

    /// True: the other side has left before; destroy the envelope.
    /// The caller after how_in_the_end().
    bool caller_leaves() noexcept {
        return leave(caller_left, handler_left, word_.load(std::memory_order_acquire));  // (5)
    }
    POSTHASTE_NOINLINE bool handler_leaves() noexcept {
        return leave(handler_left, caller_left, kept());
    }

private:
    static constexpr unsigned begun = 1, waiting = 2, caller_left = 4, handler_left = 8;
    static constexpr unsigned ending_mask = 0x30, keeping = 0x40, at_home = 0x80;
    static ending ending_of(unsigned word) noexcept {
        return static_cast<ending>((word & ending_mask) >> 4);
    }

    verdict settle(ending how, unsigned besides) noexcept {
        unsigned seen = word_.load(std::memory_order_relaxed);
        do {
            if (seen & ending_mask) return {false, false, (seen & begun) != 0};
        } while (!replace(seen, seen | besides | (static_cast<unsigned>(how) << 4),
                          std::memory_order_acq_rel));  // (4)
        return {true, (seen & waiting) != 0, (seen & begun) != 0};
    }
    void know(unsigned how, bool home) noexcept {
        word_.store(home ? how | at_home : how, std::memory_order_relaxed);
    }
    // As compare_exchange_weak(), but where nobody comes between.
    POSTHASTE_ALWAYS_INLINE bool replace(unsigned& seen, unsigned next,
                                         std::memory_order order) noexcept {
        if (seen & at_home) return word_.store(next, std::memory_order_relaxed), true;
        return word_.compare_exchange_weak(seen, next, order, std::memory_order_relaxed);
    }
    POSTHASTE_ALWAYS_INLINE bool leave(unsigned side, unsigned other, unsigned seen) noexcept {
        if (seen & other) return true;
        return word_.fetch_or(side, std::memory_order_acq_rel) & other;  // (6)
    }

    unsigned kept() const noexcept {
        const unsigned seen = word_.load(std::memory_order_acquire);  // (5)
        return seen & keeping ? kept_soon() : seen;
    }
    POSTHASTE_NOINLINE unsigned kept_soon() const noexcept {
        std::this_thread::yield();
        return kept();
    }

    // (1) releases where it is handled to (4) and (3): whoever cuts the call short asks there.
    // (2) releases the caller's frame and continuation to (4), which wakes it. Who waits alone has
    // them released by what makes the cell known.
    // Neither (1) nor (2) tells what it found besides no ending: there is nothing to acquire.
    // (3) acquires the reply, or the reason, from (4).
    // (4) releases the reply to (3); acquires the continuation from (2).
    // (5), (6) acquire the other side's last use of the envelope from its (4) or (6); (6) releases
    // ours. (5) acquires as well what was kept from (7), which releases it.
    // relaxed: a first look, whose result a later read-modify-write checks; at home, where one turn
    // knows what the others did.
    typename Atomics::template atomic<unsigned> word_ = 0u;
};

using reply_cell = basic_reply_cell<>;

}  // namespace posthaste
