// How many messages an endpoint has had, and where they are.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/serve/account.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace posthaste {

/// Counts what is accepted into a queue and what leaves it: so it knows whether there is room, and
/// what the account is. Its users say what happens, before or after it as noted; the lanes count
/// for themselves what becomes of what they have.
///
/// Threads    any; to_the_lane() one at a time, and accept_here().
/// Cost       none takes a lock; to_the_lane() is a load and a store, and so is accept_here() 15
///            times of 16; all others take one read-modify-write, accept_if_room() repeats it under
///            contention. counts() waits while places are being taken ahead.
class ledger {
public:
    /// What became of the messages that the lanes took, and how many they are at.
    struct lanes {
        std::uint64_t ran_inline = 0, handled = 0, failed = 0, expired = 0, dropped = 0,
                      discarded = 0, running = 0;
    };

    /// Of so many messages there is room, from when they are accepted until they leave.
    explicit ledger(std::size_t capacity) noexcept : capacity_(capacity) {}
    ledger(const ledger&) = delete;

    /// What senders count is there from now on. Before it is used.
    void count_at(senders_counts& beside) noexcept { senders_ = &beside; }

    std::size_t capacity() const noexcept { return capacity_; }

    /// One more, if there is room: the how-manieth it is; 0: there is none. Not by adding and
    /// taking back: somebody else would find the queue full meanwhile, and wait for room that is
    /// there.
    std::uint64_t accept_if_room() noexcept {
        number& accepted = senders_->accepted;
        std::uint64_t seen = accepted.load(std::memory_order_relaxed);
        do {
            if (is_full(seen, senders_->known_gone.load(std::memory_order_acquire)) &&  // (4)
                !has_room(seen)) {
                return 0;
            }
        } while (!accepted.compare_exchange_weak(seen, seen + 1, std::memory_order_release,  // (3)
                                                 std::memory_order_relaxed));
        return seen + 1;
    }
    /// The same for senders who come one at a time. While there is room for many they take a few
    /// places ahead, each time a 64th of all, 16 at most: so to others the queue may seem full when
    /// it all but is. Who only comes here finds as much room as there is.
    std::uint64_t accept_here() noexcept {
        const std::uint64_t used = used_ahead_.load(std::memory_order_relaxed);
        std::uint64_t ahead = ahead_.load(std::memory_order_relaxed) / 2;
        if (used == ahead && (ahead = take_ahead(ahead)) == used) return accept_if_room();
        used_ahead_.store(used + 1, std::memory_order_release);  // (6)
        return senders_->accepted.load(std::memory_order_relaxed) - (ahead - used - 1);
    }
    /// One more, whether there is room or not: the how-manieth it is.
    std::uint64_t accept() noexcept {
        return senders_->accepted.fetch_add(1, std::memory_order_relaxed) + 1;
    }
    /// One that was counted is not in the queue, after all.
    void not_accepted() noexcept { senders_->accepted.fetch_sub(1, std::memory_order_relaxed); }

    void refuse() noexcept { add(senders_->refused); }
    void not_refused() noexcept { senders_->refused.fetch_sub(1, std::memory_order_relaxed); }

    /// A message has left the queue, and a lane has it.
    void to_lane() noexcept { leave(to_lanes_); }
    /// The same, for the only lane there is, which needs no read-modify-write. Whoever waits for
    /// room is not sure to see it at once.
    void to_the_lane() noexcept {
        const std::uint64_t before = to_the_lane_.load(std::memory_order_relaxed);
        to_the_lane_.store(before + 1, std::memory_order_release);  // (2)
    }
    /// A message has left the queue, and is given up.
    void drop() noexcept { leave(dropped_); }

    /// A place that was accepted has no message yet; later there is one, or it is given back.
    void grant_place() noexcept { granted_.fetch_add(1, std::memory_order_release); }  // (5)
    void use_place() noexcept { add(used_); }  ///< before its message can leave the queue
    void place_not_used() noexcept { used_.fetch_sub(1, std::memory_order_relaxed); }
    void give_place_back() noexcept { leave(given_back_); }

    /// A reply came so long after its caller's deadline.
    void late(duration by) noexcept {
        add(late_);
        auto most = late_by_.load(std::memory_order_relaxed);
        while (most < by.count() &&
               !late_by_.compare_exchange_weak(most, by.count(), std::memory_order_relaxed)) {}
    }

    /// How many have left the queue; never less than before.
    std::uint64_t gone() const noexcept { return gone(std::memory_order_relaxed); }
    /// How many have been accepted since so many had left.
    std::uint64_t accepted_after(std::uint64_t gone) const noexcept {
        return accepted_by_now() - gone;
    }

    account counts(const lanes& l, std::uint64_t redelivered) const noexcept {
        // All of one moment: what was seen before the look at `accepted` is the same after it.
        moment m = look();
        std::uint64_t queued = 0;
        for (int looks = 0;; ++looks) {
            queued = accepted_by_now();
            const moment after = look();
            if (after == m || looks == 1000) break;
            m = after;
        }
        account a = ends(l, redelivered, m);
        a.accepted = queued - redelivered + l.ran_inline - m.not_used(0);
        a.left = l.discarded + (queued - m.gone() - m.not_used(m.given_back)) + l.running;
        return a;
    }
    /// The same, once it is shut and at rest: then all that was accepted has been taken, and
    /// whoever is being refused just now, who counts as accepted for a moment, is not in it. A
    /// sender may still be dropping what it took out before: that is in it whole, or not at all.
    account last_counts(const lanes& l, std::uint64_t redelivered) const noexcept {
        const moment m = look();
        account a = ends(l, redelivered, m);
        a.left = l.discarded;
        a.accepted = m.to_lanes + m.dropped - redelivered + l.ran_inline;
        return a;
    }

private:
    using number = std::atomic<std::uint64_t>;

    // What has left the queue, and what is in it with no message yet.
    struct moment {
        std::uint64_t to_lanes, dropped, given_back, granted, used;
        std::uint64_t gone() const noexcept { return to_lanes + dropped + given_back; }
        // Fewer may seem granted than used, if they are not of one moment after all.
        std::uint64_t not_used(std::uint64_t but) const noexcept {
            return granted - std::min(granted, used + but);
        }
        bool operator==(const moment&) const = default;
    };

    // As many places as it takes at a time, or none: how many they have been so far.
    POSTHASTE_NOINLINE std::uint64_t take_ahead(std::uint64_t before) noexcept {
        const std::uint64_t more = std::min<std::uint64_t>(capacity_ / 64, 16);
        if (more < 2) return before;
        number& accepted = senders_->accepted;
        std::uint64_t seen = accepted.load(std::memory_order_relaxed), now = before + more;
        ahead_.store(2 * before + 1, std::memory_order_relaxed);
        do {
            if (is_full(seen + more - 1, gone())) {
                now = before;
                break;
            }
        } while (!accepted.compare_exchange_weak(seen, seen + more,
                                                 std::memory_order_release,  // (3)
                                                 std::memory_order_relaxed));
        ahead_.store(2 * now, std::memory_order_release);  // (6)
        return now;
    }
    bool is_full(std::uint64_t accepted, std::uint64_t gone) const noexcept {
        return static_cast<std::int64_t>(accepted - gone) >= static_cast<std::int64_t>(capacity_);
    }
    POSTHASTE_NOINLINE bool has_room(std::uint64_t accepted) noexcept {
        const std::uint64_t now = gone(std::memory_order_seq_cst);  // (1)
        if (is_full(accepted, now)) return false;
        senders_->known_gone.store(now, std::memory_order_release);  // (4)
        return true;
    }
    static void add(number& n) noexcept { n.fetch_add(1, std::memory_order_relaxed); }
    static void leave(number& how) noexcept {
        how.fetch_add(1, std::memory_order_seq_cst);  // (1)
    }
    std::uint64_t to_lanes(std::memory_order order) const noexcept {
        return to_lanes_.load(order) + to_the_lane_.load(order);
    }
    std::uint64_t gone(std::memory_order order) const noexcept {
        return to_lanes(order) + dropped_.load(order) + given_back_.load(order);
    }
    moment look() const noexcept {
        moment m;
        m.to_lanes = to_lanes(std::memory_order_acquire);  // (2)
        m.dropped = dropped_.load(std::memory_order_acquire);  // (2)
        m.given_back = given_back_.load(std::memory_order_acquire);  // (2)
        m.granted = granted_.load(std::memory_order_acquire);  // (5)
        m.used = used_.load(std::memory_order_relaxed);
        return m;
    }
    // Without the places that are not used. Of one moment by itself, whatever else goes on: what is
    // used may become more meanwhile, as if it had been accepted then.
    std::uint64_t accepted_by_now() const noexcept {
        for (;;) {
            const std::uint64_t ahead = ahead_.load(std::memory_order_acquire);  // (6)
            const std::uint64_t used = used_ahead_.load(std::memory_order_acquire);  // (6)
            const std::uint64_t all = senders_->accepted.load(std::memory_order_acquire);  // (3)
            const bool taking = ahead % 2 != 0 || ahead_.load(std::memory_order_relaxed) != ahead;
            if (!taking) return all - (ahead / 2 - used);
            std::this_thread::yield();  // who takes them may have been stopped in between
        }
    }
    account ends(const lanes& l, std::uint64_t redelivered, const moment& m) const noexcept {
        account a;
        a.handled = l.handled, a.failed = l.failed, a.expired = l.expired;
        a.dropped = l.dropped + m.dropped;
        a.refused = senders_->refused.load(std::memory_order_relaxed);
        a.redelivered = redelivered;
        a.late = late_.load(std::memory_order_relaxed);
        a.late_by = duration(late_by_.load(std::memory_order_relaxed));
        return a;
    }

    // What leaves the queue adds one to one of four, which add up to gone(): so whoever looks sees
    // it whole, or not at all.
    //
    // (1), seq_cst: see waiting_room (1). It also releases to (2) that the message had been
    //     accepted, so that an account never shows more gone than accepted.
    // (2) acquires that. In to_the_lane() it releases the same.
    // (3) releases from a sender to an account what the sender has seen of gone(), so that an
    //     account never shows more left than there is room for; and that it is taking places ahead.
    // (4) hands that on from sender to sender. The value may be too small: then all are asked.
    // (5) releases to an account that a place had been accepted before it was granted. That it was
    //     used or given back before it was taken, (2) does.
    // (6) releases to an account that places had been accepted before they were ahead, and were
    //     ahead before they were used.
    // relaxed: the other counters; each is exact, their sum at rest. A first look at accepted,
    // checked by a read-modify-write. What accept_here() reads it wrote itself. A second look at
    // ahead_: it comes after (3).
    alignas(detail::cache_line) number to_lanes_ = 0;  // the readers'
    number to_the_lane_ = 0;
    number dropped_ = 0;
    number granted_ = 0, used_ = 0, given_back_ = 0;  // places: each was granted, and has one end
    number ahead_ = 0;  // places taken ahead, times 2; odd while more are taken
    number used_ahead_ = 0;
    // Which only few write to, if any.
    alignas(detail::cache_line) number late_ = 0;
    std::atomic<duration::rep> late_by_ = 0;
    senders_counts* senders_ = &own_;
    const std::size_t capacity_;
    senders_counts own_;  // of a ledger that is told of no others
};

}  // namespace posthaste
