// How a handler runs, and how much may wait for it.  SPDX-License-Identifier: BSL-1.0
#pragma once

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

namespace detail {

/// What all modes say about their queue.
template <typename Mode>
class queue_options {
public:
    /// How many messages may wait, 1 to `unbounded`.
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

/// Up to n messages at a time, in no order.
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
/// a function makes of it; it is copied, hashed by std::hash and compared.
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

}  // namespace posthaste
