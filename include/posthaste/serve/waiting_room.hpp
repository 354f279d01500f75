// Those whose message waits for room in a full queue.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/serve/envelope.hpp>

#include <atomic>
#include <cstddef>
#include <mutex>

namespace posthaste {

/// Envelopes that are not accepted yet, first come first served. Whoever leaves the queue admits
/// the next. An envelope is either admitted or still here: its owner can take it back, never both.
class waiting_room {
public:
    enum class place : unsigned char {
        standing,  ///< here
        reserved,  ///< in the queue: `has_room()` found it one at the last moment
        nowhere,   ///< this is shut
    };
    template <typename HasRoom>
    place stand(envelope& e, HasRoom has_room) noexcept {
        const std::lock_guard guard(lock_);
        if (shut_) return place::nowhere;
        count_.fetch_add(1, std::memory_order_seq_cst);  // (1)
        if (!first_ && has_room()) {
            count_.fetch_sub(1, std::memory_order_relaxed);
            return place::reserved;
        }
        e.call()->waits_for_room = true;
        e.call()->before = last_;
        e.next = nullptr;
        (last_ ? last_->next : first_) = &e;
        last_ = &e;
        return place::standing;
    }
    /// Takes `e` back; false: it has been admitted.
    bool leave(envelope& e) noexcept {
        const std::lock_guard guard(lock_);
        if (!e.call()->waits_for_room) return false;
        letter* const before = e.call()->before;
        (before ? before->next : first_) = e.next;
        behind(e) = before;
        gone(e);
        return true;
    }
    /// Whoever was taken from here before has been admitted afterwards.
    void pass_by() noexcept { const std::lock_guard guard(lock_); }
    /// Admits as many as `has_room()` allows: `admit(envelope)` puts them into the queue. A lock is
    /// held meanwhile: what may take long is for later.
    template <typename HasRoom, typename Admit>
    void call_in(HasRoom has_room, Admit admit) noexcept {
        const std::lock_guard guard(lock_);
        while (first_ && has_room()) {
            envelope& e = static_cast<envelope&>(*first_);
            first_ = e.next;
            behind(e) = nullptr;
            gone(e);
            admit(e);
        }
    }
    /// To be asked by whoever has made room: should he call in?
    bool empty() const noexcept { return count_.load(std::memory_order_seq_cst) == 0; }  // (1)
    /// Nobody is admitted any more; all who stand here are handed to `refuse`.
    template <typename Refuse>
    void shut(Refuse refuse) noexcept {
        letter* all = nullptr;
        {
            const std::lock_guard guard(lock_);
            shut_ = true;
            all = detail::exchange(first_, nullptr);
            last_ = nullptr;
            for (letter* l = all; l; l = l->next) gone(static_cast<envelope&>(*l));
        }
        while (all) refuse(static_cast<envelope&>(*detail::exchange(all, all->next)));
    }

private:
    // Where is kept who stands before the one behind `e`.
    letter*& behind(envelope& e) noexcept {
        return e.next ? static_cast<envelope*>(e.next)->call()->before : last_;
    }
    void gone(envelope& e) noexcept {
        e.call()->waits_for_room = false;
        count_.fetch_sub(1, std::memory_order_relaxed);
    }

    // (1), seq_cst: who stands here counts itself, then looks for room; who makes room does so (a
    //     seq_cst operation), then looks at the count. Otherwise both could miss the other.
    // relaxed: counting down needs no order.
    std::atomic<std::size_t> count_ = 0;
    detail::spin_lock lock_;
    // Guarded by lock_, as waits_for_room and before of each request.
    letter* first_ = nullptr;
    letter* last_ = nullptr;
    bool shut_ = false;
};

}  // namespace posthaste
