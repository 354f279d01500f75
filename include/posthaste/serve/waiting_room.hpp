// Those whose message waits for room in a full queue.  SPDX-License-Identifier: BSL-1.0
#pragma once

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
        const std::lock_guard guard(mutex_);
        if (shut_) return place::nowhere;
        count_.fetch_add(1, std::memory_order_seq_cst);  // (1)
        if (!first_ && has_room()) {
            count_.fetch_sub(1, std::memory_order_relaxed);
            return place::reserved;
        }
        e.call()->waits_for_room = true;
        e.next = nullptr;
        (first_ ? last_->next : first_) = &e;
        last_ = &e;
        return place::standing;
    }
    /// Takes `e` back; false: it has been admitted.
    bool leave(envelope& e) noexcept {
        const std::lock_guard guard(mutex_);
        if (!e.call()->waits_for_room) return false;
        letter* before = nullptr;
        letter* l = first_;
        for (; l != &e; l = l->next) before = l;
        (before ? before->next : first_) = e.next;
        if (last_ == &e) last_ = before;
        gone(e);
        return true;
    }
    /// Admits as many as `has_room()` allows: `admit(envelope)` puts them into the queue.
    template <typename HasRoom, typename Admit>
    void call_in(HasRoom has_room, Admit admit) noexcept {
        if (count_.load(std::memory_order_seq_cst) == 0) return;  // (1)
        const std::lock_guard guard(mutex_);
        while (first_ && has_room()) {
            envelope& e = static_cast<envelope&>(*first_);
            first_ = e.next;
            gone(e);
            admit(e);
        }
    }
    /// Nobody is admitted any more; all who stand here are handed to `refuse`.
    template <typename Refuse>
    void shut(Refuse refuse) noexcept {
        const std::lock_guard guard(mutex_);
        shut_ = true;
        while (first_) {
            envelope& e = static_cast<envelope&>(*first_);
            first_ = e.next;
            gone(e);
            refuse(e);
        }
    }

private:
    void gone(envelope& e) noexcept {
        e.call()->waits_for_room = false;
        count_.fetch_sub(1, std::memory_order_relaxed);
    }

    // (1), seq_cst: who stands here counts itself, then looks for room; who makes room does so (a
    //     seq_cst operation), then looks at the count. Otherwise both could miss the other.
    // relaxed: counting down needs no order.
    std::atomic<std::size_t> count_ = 0;
    std::mutex mutex_;
    letter* first_ = nullptr;  // guarded by mutex_, as all below and request::waits_for_room
    letter* last_ = nullptr;
    bool shut_ = false;
};

}  // namespace posthaste
