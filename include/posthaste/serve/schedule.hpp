// Messages that wait for their time.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/dead_letters.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/wait/timer.hpp>

#include <cstdint>
#include <mutex>

namespace posthaste {

/// The messages of a bus that are to be sent later, or again and again, until it drains.
///
/// Threads    any.
class schedule {
public:
    class item;

    explicit schedule(dead_letters& dead) noexcept : dead_(dead) {}
    schedule(const schedule&) = delete;

    /// Has it sent when it is due. Until it is over, `held`, which its holder keeps, points to it.
    /// False: nothing is taken any more.
    bool add(item& i, item*& held) noexcept;
    /// The same for one that nobody holds. Where nothing is taken any more, it is sent if it is
    /// due, and given up if not.
    void add(item& i) noexcept;
    /// True: it was not sent, and will not be.
    bool cancel(item*& held) noexcept;
    /// nullptr: nobody holds it any more.
    void hand_over(item*& from, item** to) noexcept;

    /// Takes no more. What is not due yet is given up, what is due is sent while busy().
    void close() noexcept;
    bool busy() noexcept {
        const std::lock_guard guard(mutex_);
        return first_ || sending_ != 0;
    }
    /// How many messages close() gave up.
    std::uint64_t given_up() noexcept {
        const std::lock_guard guard(mutex_);
        return given_up_;
    }

private:
    void send(item& i) noexcept;
    void put(item& i) noexcept;
    void enter(item& i) noexcept;
    void bury(envelope& e, const address& to, code c, detail::literal why) noexcept;
    void forget(item& i) noexcept;

    dead_letters& dead_;
    std::mutex mutex_;  // guards all below, the items but for their messages, and who holds them
    item* first_ = nullptr;
    unsigned sending_ = 0;
    std::uint64_t given_up_ = 0;
    bool closed_ = false;
};

/// One message that waits, with its timer and its place in the executor's queue.
class schedule::item : timer, work {
public:
    item(const address& to, const address::route& where, time_point first, duration period) noexcept
        : timer([](timer& t) noexcept {
              item& self = static_cast<item&>(t);
              self.fired_ = true;
              self.to_.home.post(self);
          }),
          to_(to),
          where_(where),
          due_(first),
          period_(period) {
        run = [](work& w) noexcept {
            item& self = static_cast<item&>(w);
            self.to_.later->send(self);
        };
    }
    item(const item&) = delete;

    /// What is to be sent now; nullptr: there is no memory for it. Once it is, an item that sends
    /// only once belongs to it.
    virtual envelope* message() noexcept = 0;
    /// Destroys what is not to be sent any more.
    virtual void drop() noexcept = 0;

protected:
    ~item() = default;

private:
    friend schedule;
    bool repeats() const noexcept { return period_ != duration::zero(); }
    // No drift; what was missed is left out.
    void next_time() noexcept {
        const duration late = to_.home.now() - due_;
        due_ = saturating_add(due_, period_ * (late / period_) + period_);
    }

    const address& to_;
    const address::route where_;
    time_point due_;
    const duration period_;  // zero: only once
    item** holder_ = nullptr;
    item* after_ = nullptr;
    item** link_ = nullptr;  // what points here
    bool fired_ = false;  // until it was sent; written by the timer, read after it is disarmed
    bool cancelled_ = false;
};

inline bool schedule::add(item& i, item*& held) noexcept {
    const std::lock_guard guard(mutex_);
    if (closed_) return false;
    i.holder_ = &held;
    held = &i;
    enter(i);
    return true;
}

inline void schedule::add(item& i) noexcept {
    bool now = false;
    {
        const std::lock_guard guard(mutex_);
        if (!closed_) return enter(i);
        if (i.due_ > i.to_.home.now()) ++given_up_;
        else now = true;
    }
    if (now) put(i);
    else bury(*i.message(), i.to_, code::closed, "it was not due yet");
}

// Under mutex_.
inline void schedule::enter(item& i) noexcept {
    i.after_ = first_;
    i.link_ = &first_;
    if (first_) first_->link_ = &i.after_;
    first_ = &i;
    i.to_.home.arm(i, i.due_);  // within: what fires at once waits for this lock
}

inline bool schedule::cancel(item*& held) noexcept {
    item* i = nullptr;
    {
        const std::lock_guard guard(mutex_);
        i = detail::exchange(held, nullptr);
        if (!i) return false;
        i->holder_ = nullptr;
        i->cancelled_ = true;
        i->to_.home.disarm(*i);
        if (i->fired_) return true;  // send() will find it cancelled
        forget(*i);
    }
    i->drop();
    return true;
}

inline void schedule::hand_over(item*& from, item** to) noexcept {
    const std::lock_guard guard(mutex_);
    item* const i = detail::exchange(from, nullptr);
    if (i) i->holder_ = to;
    if (to) *to = i;
}

inline void schedule::close() noexcept {
    item* idle = nullptr;
    {
        const std::lock_guard guard(mutex_);
        closed_ = true;
        for (item *i = first_, *after = nullptr; i; i = after) {
            after = i->after_;
            i->to_.home.disarm(*i);
            if (i->fired_) continue;
            forget(*i);
            i->after_ = detail::exchange(idle, i);
            if (!i->repeats()) ++given_up_;
        }
    }
    while (idle) {
        item& i = *detail::exchange(idle, idle->after_);
        if (i.repeats()) i.drop();
        else bury(*i.message(), i.to_, code::closed, "it was not due yet");
    }
}

// Runs on the executor, at the time.
inline void schedule::send(item& i) noexcept {
    const bool repeats = i.repeats();
    bool over = false;
    {
        const std::lock_guard guard(mutex_);
        over = i.cancelled_;
        if (over || !repeats) forget(i);
        ++sending_;
    }
    if (!over) put(i);
    if (over || repeats) {
        {
            const std::lock_guard guard(mutex_);
            if (!over && !i.cancelled_ && !closed_) {
                --sending_;
                i.next_time();
                i.fired_ = false;
                return i.to_.home.arm(i, i.due_);
            }
            if (!over) forget(i);
        }
        i.drop();
    }
    const std::lock_guard guard(mutex_);
    --sending_;
}

// From now on an item that does not repeat is gone.
inline void schedule::put(item& i) noexcept {
    const address& to = i.to_;
    endpoint_core& endpoint = *i.where_.to;
    envelope* const e = i.message();
    if (!e) return;
    const auto admission = endpoint.put(*e, false);
    if (admission == endpoint_core::admission::closed) bury(*e, to, code::closed, "");
    else if (admission != endpoint_core::admission::accepted)
        bury(*e, to, code::overloaded, "the queue was full when it was due");
}

inline void schedule::bury(envelope& e, const address& to, code c, detail::literal why) noexcept {
    dead_.put(e, to.name, to.find(e.type()).to, detail::failure_at(to.name, c, effect::none, why),
              to.home.now(), true);
}

// Under mutex_: it is in nobody's hands any more.
inline void schedule::forget(item& i) noexcept {
    *i.link_ = i.after_;
    if (i.after_) i.after_->link_ = i.link_;
    if (i.holder_) *detail::exchange(i.holder_, nullptr) = nullptr;
}

}  // namespace posthaste
