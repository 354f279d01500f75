// The two sides of a stream, whatever its values.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>
#include <posthaste/run/promise.hpp>
#include <posthaste/serve/envelope.hpp>
#include <posthaste/serve/lane.hpp>
#include <posthaste/wait/stop.hpp>
#include <posthaste/wait/timer.hpp>
#include <posthaste/wait/waiter_list.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

namespace posthaste::detail {

class stream_producer;

/// Why a producer is to end, though it has not.
enum class cut : unsigned char {
    none,
    unwanted,  ///< the consumer has gone
    stopped,   ///< the handler was asked to stop
    expired,   ///< the deadline of the call has passed
};

/// What a handler that produces and its caller who consumes share: how full the buffer is, who
/// stands still, how it ends. Whoever leaves second destroys it.
///
/// Threads    one on either side, and any that end it.
class stream_core {
public:
    static constexpr std::size_t capacity = 16;  // values that wait for the consumer

    stream_core() = default;
    stream_core(const stream_core&) = delete;

    // --- the producer's side ---

    /// It is about to start, as the handler of what the lane has taken up. `wanted`: for somebody,
    /// who has the other side.
    void start(lane& l, bool wanted) noexcept {
        deadline_ = l.ctx().deadline();
        const auto guard = line_.lock();
        started_ = true;
        if (wanted) lane_ = &l;
    }
    bool started() noexcept {
        const auto guard = line_.lock();
        return started_;
    }
    /// True: it stands still until half of the buffer is free, or has come to its end.
    bool stand(stream_producer& p) noexcept;
    /// It is to end: now, if it stands still.
    void end_producer(cut why) noexcept;
    cut to_end() noexcept {
        const auto guard = line_.lock();
        return cut_;
    }
    /// It has come to its end: nobody will ask its lane to stop any more.
    void retire() noexcept {
        for (;; std::this_thread::yield()) {
            const auto guard = line_.lock();
            if (asking_) continue;
            lane_ = nullptr;
            parked_ = nullptr;
            return;
        }
    }
    /// Nothing more will come; because of a failure, unless that is nullptr.
    void end(failure* why) noexcept {
        if (why) failure_ = std::move(*why);
        const auto guard = line_.lock();
        ended_ = true;
        static_cast<void>(line_.wake_first());
    }

    // --- the consumer's side ---

    /// It wants no more: the producer is asked to stop, and ends at its next co_yield.
    void give_up() noexcept;
    bool gone() const noexcept { return gone_; }
    time_point deadline() const noexcept { return deadline_; }

    /// True: the other side has left before.
    bool leave() noexcept {
        const auto guard = line_.lock();
        return detail::exchange(left_, true);
    }

protected:
    friend stream_producer;
    ~stream_core() = default;

    /// There is something to be had, if only the end.
    bool ready() const noexcept { return size_ != 0 || ended_ || !started_; }
    // Under the lock: the producer, if it stands still, goes on, or comes to its end.
    void wake_producer(bool to_end) noexcept;

    waiter_list line_;  // the consumer, if it stands; its lock guards all below, but as said
    stream_producer* parked_ = nullptr;  // it stands still
    lane* lane_ = nullptr;  // from the producer's start to its end
    bool asking_ = false;  // the consumer is asking the lane to stop
    cut cut_ = cut::none;
    bool started_ = false, ended_ = false, left_ = false;
    bool gone_ = false;  // written by the consumer alone, who reads it without the lock
    std::size_t size_ = 0;  // values that wait
    time_point deadline_ = never;  // written before the consumer has it
    std::optional<failure> failure_;  // the producer's, until ended_; then the consumer's
};

/// The promise of a coroutine that yields the values of a stream.
///
/// At a co_yield it comes to its end if it is to: its variables are destroyed, as at a co_return.
class stream_producer : public promise_base {
public:
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { thrown_ = std::current_exception(); }
    const std::exception_ptr& thrown() const noexcept { return thrown_; }
    /// Why it came to its end at a co_yield; none: it did not.
    cut ended_by() const noexcept { return ended_by_; }

protected:
    class yielding {
    public:
        static constexpr bool keeps_home = true;
        yielding(stream_producer& p, bool go_on) noexcept : producer_(p), go_on_(go_on) {}
        bool await_ready() const noexcept { return go_on_; }
        bool await_suspend(std::coroutine_handle<>) noexcept {
            return producer_.core_.stand(producer_);
        }
        void await_resume() noexcept { producer_.disarm(); }

    private:
        stream_producer& producer_;
        const bool go_on_;
    };

    stream_producer(std::coroutine_handle<> h, stream_core& c) noexcept
        : promise_base(h), core_(c) {}
    ~stream_producer() { disarm(); }

private:
    friend stream_core;

    void come_to_end(cut why) noexcept {
        disarm();
        ended_by_ = why;
        end_here();  // the last access: *this may be gone
    }
    void disarm() noexcept {
        if (!armed_) return;
        armed_ = false;
        stop_.disarm();
        at->disarm(alarm_);
    }

    struct link : stop_link {
        explicit link(stream_producer& p) noexcept
            : stop_link([](stop_node& n) noexcept {
                  static_cast<link&>(n).of.core_.end_producer(cut::stopped);
              }),
              of(p) {}
        stream_producer& of;
    };
    struct alarm : timer {
        explicit alarm(stream_producer& p) noexcept
            : timer([](timer& t) noexcept {
                  static_cast<alarm&>(t).of.core_.end_producer(cut::expired);
              }),
              of(p) {}
        stream_producer& of;
    };

    stream_core& core_;
    std::exception_ptr thrown_;
    cut ended_by_ = cut::none;
    bool armed_ = false;
    link stop_{*this};
    alarm alarm_{*this};
};

POSTHASTE_NOINLINE inline bool stream_core::stand(stream_producer& p) noexcept {
    if (to_end() == cut::none) {
        p.armed_ = true;
        if (!p.stop_.arm(p.stop())) end_producer(cut::stopped);
        p.at->arm(p.alarm_, deadline_);
        const auto guard = line_.lock();
        if (cut_ == cut::none) {
            if (size_ != capacity) return false;
            p.park("room in a stream");
            parked_ = &p;
            return true;
        }
    }
    p.come_to_end(to_end());
    return true;
}

inline void stream_core::end_producer(cut why) noexcept {
    const auto guard = line_.lock();
    if (cut_ == cut::none) cut_ = why;
    wake_producer(true);
}

inline void stream_core::wake_producer(bool to_end) noexcept {
    stream_producer* const p = detail::exchange(parked_, nullptr);
    if (!p) return;
    if (to_end) {
        p->ended_by_ = cut_;
        p->run = [](work& w) noexcept {
            auto& self = static_cast<stream_producer&>(static_cast<frame&>(w));
            self.come_to_end(self.ended_by_);
        };
    }
    p->wake();
}

inline void stream_core::give_up() noexcept {
    if (detail::exchange(gone_, true)) return;
    lane* to_ask = nullptr;
    {
        const auto guard = line_.lock();
        if (cut_ == cut::none) cut_ = cut::unwanted;
        to_ask = lane_;
        asking_ = to_ask != nullptr;
    }
    if (!to_ask) return;
    to_ask->cancel(nullptr);  // wakes the producer; while asking_, the lane is still at this
    const auto guard = line_.lock();
    asking_ = false;
}

}  // namespace posthaste::detail
