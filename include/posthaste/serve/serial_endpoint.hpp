// One message at a time, in order.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/serve/endpoint_core.hpp>
#include <posthaste/serve/reentry.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <utility>

namespace posthaste {

/// The endpoint behind `serial`: a mailbox, and the one lane that holds its claim.
class serial_endpoint final : public endpoint_core {
public:
    serial_endpoint(std::string name, executor& at, dead_letters& dead, detail::owned<handler> h,
                    const serial_mode& mode)
        : endpoint_core(std::move(name), at, dead, std::move(h), mode.capacity(), mode.full()),
          evicts_(mode.full() == when_full::drop_oldest),
          reentry_(mode.is_reentrant() ? detail::make_owned<reentry>(*this) : nullptr) {
        count_at(box_.counts());
        if (!evicts_ && !reentry_) go_straight(box_, lane_);
    }

    // Another thread's handler may be about to end: waiting for that is less than queueing behind
    // it, having the lane sent for, and being woken; and whoever queues makes others queue.
    lane* claim(envelope&) noexcept override {
        return box_.claim() || (!home().one_by_one() && claim_soon()) ? &lane_ : nullptr;
    }
    at_once answer_watched(const handler_entry& how, void* message, void* answer,
                           watched_call& by) noexcept override {
        if (!box_.claim()) return at_once::no;
        const at_once way = answer_on(lane_, how, message, answer, by);
        give_back();
        return way;
    }
    bool held_by(const call_chain& c) const noexcept override { return c.count(*this) != 0; }
    bool reentrant() const noexcept override { return bool(reentry_); }
    lane* reenter() noexcept override { return reentry_->claim(); }
    bool reenter(envelope& e) noexcept override {
        reentry::extra_lane* const l = reentry_->claim();
        if (!l) return false;
        accepted_beside(e);
        l->first = &e;
        home().post(*l);
        return true;
    }
    void for_each_lane(void* with, void (*f)(void*, lane&)) override {
        f(with, lane_);
        if (!reentry_) return;
        for (std::size_t i = 0; lane* const l = reentry_->number(i); ++i) f(with, *l);
    }
    const lane* lane_number(std::size_t i) noexcept override { return i == 0 ? &lane_ : nullptr; }

private:
    bool answer_claimed(const handler_entry& how, void* message, void* answer,
                        bus_keeper* failed) noexcept override {
        if (!box_.claim()) return false;
        lane_.answer(how, message, answer, failed);
        give_back();
        return true;
    }
    bool rests() const noexcept override {
        if (reentry_ && !reentry_->idle()) return false;
        if (answers_unclaimed() && !lane_.rests()) return false;
        if (!evicts_) return box_.idle();
        const std::lock_guard guard(lock_);  // whoever released the box has left the lock, too
        return box_.idle();
    }
    // As many looks as have paid lately. Where none has, now and then one.
    POSTHASTE_NOINLINE bool claim_soon() noexcept {
        const unsigned patience = patience_.load(std::memory_order_relaxed);
        const unsigned looks = patience / per_look;
        const bool paid = box_.claim_soon(looks);
        if (!paid && box_.queued()) return false;  // that is why: it says nothing of the handler
        const unsigned next = looks == 0  ? patience + 1
                              : paid      ? std::min(patience * 2, most_looks * per_look)
                              : looks > 1 ? patience / 2
                                          : 0;
        if (next != patience) patience_.store(next, std::memory_order_relaxed);
        return paid;
    }
    bool enqueue(envelope& e) noexcept override {
        const auto put = box_.put(e);
        if (put == mailbox::put_result::claimed) home().post(lane_);
        return put != mailbox::put_result::refused;
    }
    envelope* take(lane& by) noexcept override {
        letter* l = nullptr;
        if (&by != &lane_) {
            l = detail::exchange(static_cast<reentry::extra_lane&>(by).first, nullptr);
        } else if (evicts_) {
            const std::lock_guard guard(lock_);
            l = box_.take();
        } else {
            l = box_.take();
        }
        if (l) taken();
        return static_cast<envelope*>(l);
    }
    bool release(lane& by) noexcept override {
        if (&by != &lane_) {
            reentry_->release(static_cast<reentry::extra_lane&>(by));
            return true;
        }
        if (!evicts_) return box_.release();
        const std::lock_guard guard(lock_);
        return box_.release();
    }
    void give_back() noexcept {
        if (!(evicts_ ? release(lane_) : box_.release())) home().post(lane_);
    }
    envelope* take_oldest() noexcept override {
        const std::lock_guard guard(lock_);
        return box_.idle() ? nullptr : static_cast<envelope*>(box_.take());
    }
    void shut() noexcept override {
        box_.shut();
        if (reentry_) reentry_->shut();
    }

    static constexpr unsigned per_look = 16, most_looks = 16;
    [[no_unique_address]] mailbox box_;  // what follows begins in its last line
    const bool evicts_;  // senders take from the queue too: then under lock_
    mutable detail::spin_lock lock_;  // guards take() and release() of box_, if evicts_
    const detail::owned<reentry> reentry_;  // nullptr: not reentrant
    alignas(detail::cache_line) lane lane_{*this};
    // In looks, times per_look. relaxed: a guess, each as good as another.
    std::atomic<unsigned> patience_ = 4 * per_look;
};

}  // namespace posthaste
