// Many values in answer to one call.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/serve/message.hpp>
#include <posthaste/serve/stream_core.hpp>

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace posthaste {

template <typename T>
class stream;

namespace detail {

template <typename T>
inline constexpr bool a_stream = false;
template <typename T>
inline constexpr bool a_stream<stream<T>> = true;

/// The core with room for the values. A place belongs to the producer while it is free, to the
/// consumer while it is not.
template <typename T>
class stream_buffer final : public stream_core {
public:
    static stream_buffer& make() {
        void* const memory = allocate(sizeof(stream_buffer));
        if (!memory) raise(std::bad_alloc());
        return *::new (memory) stream_buffer;
    }
    /// One side has nothing to do with it any more.
    void leave_behind() noexcept {
        if (!leave()) return;
        std::destroy_at(this);
        deallocate(this);
    }

    /// False: now it is full, or the producer is to end.
    bool put(T&& value) noexcept {
        std::optional<T>& place = places_[last_ % capacity];
        place.emplace(std::move(value));
        {
            const auto guard = line_.lock();
            if (cut_ == cut::none) {
                ++last_;
                static_cast<void>(line_.wake_first());
                return ++size_ != capacity;
            }
        }
        place.reset();
        return false;
    }
    /// False: there is none.
    bool take(std::optional<T>& into) noexcept {
        {
            const auto guard = line_.lock();
            if (size_ == 0) return false;
        }
        std::optional<T>& place = places_[first_++ % capacity];
        into.emplace(*std::move(place));
        place.reset();
        const auto guard = line_.lock();
        if (--size_ <= capacity / 2) wake_producer(false);
        return true;
    }

    /// The consumer stands in line for a value.
    class next_one {
    public:
        static constexpr bool keeps_home = true;
        explicit next_one(stream_buffer& b) noexcept : buffer_(b), waiter_(b.line_) {}
        next_one(next_one&& not_yet) noexcept : next_one(not_yet.buffer_) {}
        ~next_one() { disarm(); }

        bool await_ready() noexcept { return buffer_.take(value_); }
        template <homed Promise>
        bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
            return stand(h.promise());
        }
        result<std::optional<T>> await_resume() noexcept {
            disarm();
            const bool stopped = frame_ && !waiter_.woken();
            if (!value_ && !buffer_.take(value_)) return buffer_.outcome(stopped);
            return result<std::optional<T>>(std::in_place, *std::move(value_));
        }

    private:
        POSTHASTE_NOINLINE bool stand(frame& f) noexcept {
            frame_ = &f;
            f.at->arm(alarm_, buffer_.deadline_);
            return waiter_.stand(f, "a value of a stream",
                                 [this] { return expired_ || buffer_.ready(); });
        }
        void disarm() noexcept {
            if (frame_) frame_->at->disarm(alarm_);
        }

        struct alarm : timer {
            explicit alarm(next_one& n) noexcept
                : timer([](timer& t) noexcept {
                      next_one& self = static_cast<alarm&>(t).of;
                      const auto guard = self.buffer_.line_.lock();
                      self.expired_ = true;
                      static_cast<void>(self.buffer_.line_.wake_first());
                  }),
                  of(n) {}
            next_one& of;
        };

        stream_buffer& buffer_;
        std::optional<T> value_;
        frame* frame_ = nullptr;  // once it stood
        bool expired_ = false;    // guarded by the line's lock until the alarm is disarmed
        waiter_list::waiter waiter_;
        alarm alarm_{*this};
    };

    /// The consumer drops what it has not taken.
    void drop() noexcept {
        give_up();
        for (bool more = true; more;) {
            std::optional<T> value;  // goes when the place is free: it may be what calls this again
            more = take(value);
        }
    }

private:
    // Why there is no value.
    result<std::optional<T>> outcome(bool stopped) noexcept {
        if (gone_) return failure::because(code::cancelled, effect::unknown, "by its consumer");
        {
            const auto guard = line_.lock();
            if (!started_) {
                return failure::because(code::no_reply, effect::none,
                                        "the stream was not started: a handler returns it");
            }
            if (ended_) {
                if (!failure_) return std::optional<T>();
                failure why = *std::move(failure_);
                failure_.emplace(code::closed);
                return why;
            }
        }
        if (stopped) return failure::because(code::cancelled, effect::unknown, "waiting for it");
        give_up();
        return failure::because(code::deadline_exceeded, effect::unknown, "the stream is not over");
    }

    std::array<std::optional<T>, capacity> places_;
    std::size_t last_ = 0;  // the producer's, with the free places
    std::size_t first_ = 0;  // the consumer's, with the others
};

template <typename T>
class stream_promise final : public stream_producer {
public:
    stream_promise() : stream_promise(stream_buffer<T>::make()) {}
    ~stream_promise() {
        if (buffer_) buffer_->leave_behind();
    }
    stream<T> get_return_object() noexcept;

    yielding yield_value(T&& value) noexcept { return give(std::move(value)); }
    yielding yield_value(const T& value)
        requires std::copy_constructible<T>
    {
        return give(T(value));
    }
    [[deprecated(
        "this compiler destroys a temporary twice inside co_yield (GCC PR 99576); "
        "name it: T value{...}; co_yield value")]] yielding
    yield_value(T&& value) noexcept
        requires(unsafe_temporary<T> && std::copy_constructible<T>)
    {
        return give(std::move(value));
    }

    /// It is about to start, for somebody or for nobody.
    void start(lane& l, bool wanted) noexcept { buffer_->start(l, wanted); }
    /// It has come to its end, but for destroying it.
    stream_buffer<T>& retire() noexcept {
        buffer_->retire();
        return *detail::exchange(buffer_, nullptr);
    }

private:
    yielding give(T&& value) noexcept {
        if (stop().stop_requested()) buffer_->end_producer(cut::stopped);
        return yielding(*this, buffer_->put(std::move(value)));
    }
    explicit stream_promise(stream_buffer<T>& b) noexcept
        : stream_producer(std::coroutine_handle<stream_promise>::from_promise(*this), b),
          buffer_(&b) {}

    stream_buffer<T>* buffer_;
};

}  // namespace detail

/// The reply of a message that is answered by many values, one after the other. The handler is a
/// coroutine that yields them; its caller takes them as they come.
///
///     struct list_orders { using reply = stream<order>; int customer; };
///
///     app.handle<list_orders>("orders", [](list_orders q) -> stream<order> {
///         for (int id = 1; id <= 3; ++id) co_yield order{id, q.customer};
///     });
///
///     auto orders = co_await client.call(42);   // as soon as the handler is taken up
///     if (!orders) co_return orders.error();
///     for (;;) {
///         auto next = co_await orders->next();
///         if (!next) co_return next.error();    // it failed, after all that came before
///         if (!*next) break;                    // the end
///         use(**next);
///     }
///
/// The producer is up to 16 values ahead, then it stands still until half of them are taken. To
/// destroy the stream, or to cancel() it, is to ask the handler to stop: at its next co_yield it
/// comes to its end, as by co_return. It runs at its endpoint's home, the consumer at its own. The
/// endpoint is at work on it until it has ended: a serial one takes no other message meanwhile.
///
/// The deadline of the call is that of the stream as a whole: what has not come by then does not.
/// For one that lasts, make the client with deadline(1h), or deadline(forever).
///
/// Threads    one at a time on either side.
/// Cost       no operator new in the steady state; 16 values of room.
template <typename T>
class [[nodiscard]] stream {
    static_assert(std::is_object_v<T> && std::is_nothrow_move_constructible_v<T>,
                  "stream: moving a value must not throw; hold what throws in a std::unique_ptr");

public:
    using promise_type = detail::stream_promise<T>;
    using value_type = T;

    stream(stream&& other) noexcept
        : buffer_(detail::exchange(other.buffer_, nullptr)), producer_(other.producer_) {}
    stream& operator=(stream other) noexcept {
        std::swap(buffer_, other.buffer_);
        std::swap(producer_, other.producer_);
        return *this;
    }
    ~stream() {
        if (!buffer_) return;
        if (!buffer_->started()) producer_->self.destroy();
        buffer_->drop();
        buffer_->leave_behind();
    }

    /// The next value; std::nullopt: that was all.
    ///
    /// Errors     what the producer threw, as handler_failed, after all that came before it;
    ///            deadline_exceeded, then the stream is cancelled; cancelled: by the context's
    ///            stop, then it goes on and no value is lost, or by cancel(); no_reply: the handler
    ///            was destroyed; closed, once the failure was given.
    /// Requires   one at a time, and *this stays where it is meanwhile.
    [[nodiscard]] auto next() noexcept {
        POSTHASTE_ASSERT(buffer_);
        return typename detail::stream_buffer<T>::next_one(*buffer_);
    }

    /// Wants no more: the handler is asked to stop, and what has come is dropped.
    void cancel() noexcept {
        POSTHASTE_ASSERT(buffer_);
        buffer_->drop();
    }

    /// The producer, if it is to be started yet; for those who run handlers.
    promise_type* to_start() const noexcept {
        return buffer_ && !buffer_->started() ? producer_ : nullptr;
    }

private:
    friend promise_type;
    stream(detail::stream_buffer<T>& b, promise_type& p) noexcept : buffer_(&b), producer_(&p) {}

    detail::stream_buffer<T>* buffer_;
    promise_type* producer_;  // until it is started
};

template <typename T>
stream<T> detail::stream_promise<T>::get_return_object() noexcept {
    return stream<T>(*buffer_, *this);
}

}  // namespace posthaste
