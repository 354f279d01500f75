// One message at a time, in order.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/serve/endpoint_core.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace posthaste {

/// The endpoint behind `serial`: a mailbox, and the one lane that holds its claim.
class serial_endpoint final : public endpoint_core {
public:
    serial_endpoint(std::string name, executor& at, dead_letters& dead, std::unique_ptr<handler> h,
                    const serial_mode& mode)
        : endpoint_core(std::move(name), at, dead, std::move(h), mode.capacity(), mode.full()),
          evicts_(mode.full() == when_full::drop_oldest) {}

    lane* claim(envelope&) noexcept override { return box_.claim() ? &lane_ : nullptr; }
    void for_each_lane(void* with, void (*f)(void*, lane&)) override { f(with, lane_); }
    bool idle() const noexcept override {
        if (!evicts_) return box_.idle();
        const std::lock_guard guard(lock_);  // whoever released the box has left the lock, too
        return box_.idle();
    }

private:
    bool enqueue(envelope& e) noexcept override {
        const auto put = box_.put(e);
        if (put == mailbox::put_result::claimed) home().post(lane_);
        return put != mailbox::put_result::refused;
    }
    envelope* take(lane&) noexcept override {
        letter* l = nullptr;
        if (evicts_) {
            const std::lock_guard guard(lock_);
            l = box_.take();
        } else {
            l = box_.take();
        }
        if (l) taken();
        return static_cast<envelope*>(l);
    }
    bool release(lane&) noexcept override {
        if (!evicts_) return box_.release();
        const std::lock_guard guard(lock_);
        return box_.release();
    }
    envelope* take_oldest() noexcept override {
        const std::lock_guard guard(lock_);
        return box_.idle() ? nullptr : static_cast<envelope*>(box_.take());
    }
    void shut() noexcept override { box_.shut(); }

    const bool evicts_;       // senders take from the queue too: then under lock_
    mutable detail::spin_lock lock_;  // guards take() and release() of box_, if evicts_
    mailbox box_;
    lane lane_{*this};
};

}  // namespace posthaste
