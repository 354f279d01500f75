// How a handler runs, and how much may wait for it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

namespace posthaste {

/// What becomes of a message that comes to a full queue.
enum class when_full : unsigned char {
    reject,       ///< refused, to the sender's face: `overloaded`
    drop_oldest,  ///< the one that has waited longest, of all keys, gives way, to the dead letters
    drop_newest,  ///< the one that comes goes to the dead letters, and a caller is told
    wait,  ///< calls and send_when_room() wait for room; send() is refused
};

inline constexpr std::size_t default_capacity = 1024;  ///< messages
inline constexpr std::size_t unbounded = std::numeric_limits<std::uint32_t>::max() / 2;

/// How a message that was sent is delivered again, as long as its handler fails. The delay doubles
/// from one attempt to the next, and half of it is random; a failure with a retry_after() has it
/// wait no less than that.
struct redelivery {
    unsigned attempts = 5;  ///< in all, 1 to 1,000
    unsigned in_place = 1;  ///< a `parallel` lane waits for so many; for the rest it goes on
    duration delay = std::chrono::milliseconds(100);  ///< before the second attempt, 1 ns or more
    duration max_delay = std::chrono::seconds(10);  ///< `delay` or more

    constexpr std::string_view fault() const noexcept {
        if (attempts < 1 || attempts > 1000) return "at_least_once: attempts must be 1 to 1,000";
        if (in_place > 1000) return "at_least_once: in_place must be 0 to 1,000";
        if (delay <= duration::zero()) return "at_least_once: delay must be more than 0";
        if (max_delay < delay) return "at_least_once: max_delay must be `delay` or more";
        return {};
    }
};

template <typename Mode>
class redelivering;

namespace detail {

/// What all modes say about their queue.
template <typename Mode>
class queue_options {
public:
    /// How many messages may wait, 1 to `unbounded`. A serial one of 128 or more, on an executor of
    /// one thread, may be full when fewer do, by up to 15, for who sends other than in work of that
    /// executor. Not with when_full::wait or drop_oldest.
    constexpr Mode capacity(std::size_t n) const noexcept {
        Mode changed = self();
        changed.capacity_ = n;
        return changed;
    }
    constexpr Mode full(when_full policy) const noexcept {
        Mode changed = self();
        changed.full_ = policy;
        return changed;
    }
    /// What is sent is delivered until the handler returns without a failure; see `redelivering`.
    constexpr redelivering<Mode> at_least_once(redelivery how = {}) const noexcept {
        return {self(), how};
    }
    constexpr std::size_t capacity() const noexcept { return capacity_; }
    constexpr when_full full() const noexcept { return full_; }

    /// Why it cannot be; "" if it can.
    constexpr std::string_view fault() const noexcept {
        if (capacity_ == 0) return "capacity must be 1 or more";
        if (capacity_ > unbounded) return "capacity must be at most `unbounded`";
        return self().own_fault();
    }

    /// What a mode itself has to say; it may hide this.
    constexpr std::string_view own_fault() const noexcept { return {}; }

private:
    constexpr const Mode& self() const noexcept { return static_cast<const Mode&>(*this); }
    std::size_t capacity_ = default_capacity;
    when_full full_ = when_full::reject;
};

}  // namespace detail

/// One message at a time, in order: the handler's state needs no lock.
///
///     bus.handle<order>("shop", serial.capacity(64).full(when_full::wait), handler);
class serial_mode : public detail::queue_options<serial_mode> {
public:
    /// A call that comes back to a handler which waits for it (A calls B, which calls A) runs at
    /// once, beside the one that stands still, and is not refused as `would_deadlock`. So the
    /// handler's state may change while it awaits a call. A handler that makes several calls at a
    /// time may have several come back at a time: then its state needs a lock, after all.
    constexpr serial_mode reentrant() const noexcept {
        serial_mode changed = *this;
        changed.reentrant_ = true;
        return changed;
    }
    constexpr bool is_reentrant() const noexcept { return reentrant_; }

private:
    bool reentrant_ = false;
};
inline constexpr serial_mode serial{};

/// Up to n messages at a time, in no order. So a handler with something of its own for each of the
/// n is as n handlers that take from one queue:
///
///     bus.handle<picture>("resize", parallel(4), [&](const picture& p, context& ctx) {
///         resizers[ctx.slot()].run(p);
///     });
///
/// And one that passes on what it takes makes n endpoints a group that takes from one queue. Each
/// has its next message when it is done with the last, so a slow one gets fewer; and what one fails
/// at is for another:
///
///     std::array group{bus.client<page>("press.old"), bus.client<page>("press.new")};
///     bus.handle<page>("print", parallel(2).at_least_once({.in_place = 0}),
///         [&](const page& p, context& ctx) -> task<result<int>> {
///             co_return co_await group[ctx.slot()].call(p);
///         });
class parallel : public detail::queue_options<parallel> {
public:
    explicit constexpr parallel(std::size_t n) noexcept : n_(n) {}
    constexpr std::size_t count() const noexcept { return n_; }
    constexpr std::string_view own_fault() const noexcept {
        return n_ >= 1 && n_ <= 65536 ? std::string_view() : "parallel(n): n must be 1 to 65536";
    }

private:
    std::size_t n_;
};

/// In order for each key, any number of keys at a time. The key is a member of the message, or what
/// a function makes of it; it is copied, hashed by std::hash and compared. That is done under a
/// spin lock of the endpoint: it is to be quick, and to wait for nothing. The key is kept when the
/// message is gone: it is no std::string_view of it. A message whose key throws is `overloaded`.
///
///     bus.handle<order>("shipping", keyed(&order::id), handler);
template <typename KeyOf>
class keyed : public detail::queue_options<keyed<KeyOf>> {
public:
    explicit constexpr keyed(KeyOf function) noexcept : key_of_(std::move(function)) {}
    constexpr const KeyOf& key_of() const noexcept { return key_of_; }

private:
    KeyOf key_of_;
};

/// A mode whose messages are not lost when a handler fails: returning acknowledges one that was
/// sent, failing has it delivered again, and after the last attempt it is a dead letter, as at once
/// with a failure of code rejected or undecodable. It keeps its place in the queue's capacity until
/// then; in a serial endpoint, and in its key, all that came after it waits. A call is not
/// repeated: its caller is told.
///
///     bus.handle<payment>("pay", keyed(&payment::rider).at_least_once({.attempts = 8}), pay);
///
/// The handler takes `const M&`, or an M that can be copied.
template <typename Mode>
class redelivering {
public:
    constexpr redelivering(Mode m, redelivery how) noexcept : mode_(std::move(m)), how_(how) {}

    constexpr redelivering capacity(std::size_t n) const noexcept {
        return {mode_.capacity(n), how_};
    }
    constexpr redelivering full(when_full policy) const noexcept {
        return {mode_.full(policy), how_};
    }
    constexpr std::size_t capacity() const noexcept { return mode_.capacity(); }
    constexpr when_full full() const noexcept { return mode_.full(); }
    constexpr const Mode& mode() const noexcept { return mode_; }
    constexpr const redelivery& how() const noexcept { return how_; }

    constexpr std::string_view fault() const noexcept {
        if (const auto why = mode_.fault(); !why.empty()) return why;
        if (full() == when_full::drop_oldest || full() == when_full::drop_newest)
            return "at_least_once: full must be reject or wait; what is dropped is not delivered";
        return how_.fault();
    }

private:
    Mode mode_;
    redelivery how_;
};

namespace detail {
template <typename Mode>
inline constexpr bool redelivers = false;
template <typename Mode>
inline constexpr bool redelivers<redelivering<Mode>> = true;

/// Its endpoint is the same whatever the messages.
template <typename Mode>
inline constexpr bool for_any_messages =
    std::same_as<Mode, serial_mode> || std::same_as<Mode, parallel>;
template <typename Mode>
inline constexpr bool for_any_messages<redelivering<Mode>> = for_any_messages<Mode>;
}  // namespace detail

}  // namespace posthaste
