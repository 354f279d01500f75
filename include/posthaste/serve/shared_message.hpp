// A message that many share.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/cache_line.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/serve/envelope.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <utility>

namespace posthaste {

/// What is published: built once, in recycled memory; each block of envelopes holds it, also the
/// one that is in the same memory.
template <typename M>
class shared_message {
public:
    /// Held once, by the caller. nullptr: no memory, or what the message is made of threw.
    template <typename... Args>
    static shared_message* make(Args&&... args) noexcept {
        return make_with_room(0, std::forward<Args>(args)...);
    }
    /// With so many bytes behind it, which last as long as it does.
    template <typename... Args>
    static shared_message* make_with_room(std::size_t room, Args&&... args) noexcept {
        static_assert(alignof(shared_message) <= alignof(std::max_align_t),
                      "a message must not be over-aligned; hold what is in a std::unique_ptr");
        void* const memory = detail::allocate(room == 0 ? sizeof(shared_message) : size() + room);
        if (!memory) return nullptr;
        return detail::guarded(
            [&] {
                return ::new (memory) shared_message(std::in_place, std::forward<Args>(args)...);
            },
            [&](const std::exception_ptr&) -> shared_message* {
                return detail::deallocate(memory), nullptr;
            });
    }
    shared_message(const shared_message&) = delete;

    const M& value() const noexcept { return box_.value; }
    /// Of one with room.
    void* behind() noexcept { return reinterpret_cast<std::byte*>(this) + size(); }
    /// So much that envelopes behind it, two to a cache line, begin with one.
    static constexpr std::size_t size() noexcept { return (sizeof(shared_message) + 31) / 32 * 32; }

    /// Requires   the caller holds it.
    void hold(std::uint32_t more = 1) noexcept { held_.fetch_add(more, std::memory_order_relaxed); }
    void let_go(std::uint32_t fewer = 1) noexcept {
        if (held_.load(std::memory_order_acquire) != fewer &&  // (2)
            held_.fetch_sub(fewer, std::memory_order_acq_rel) != fewer) {  // (1)
            return;
        }
        std::destroy_at(this);
        detail::deallocate(this);
    }

private:
    template <typename... Args>
    explicit shared_message(std::in_place_t, Args&&... args)
        : box_(std::in_place, std::forward<Args>(args)...) {}

    // (1) releases the last use of one holder to the last of all, who acquires it.
    // (2) acquires the same for one who is the only holder left: then nobody else counts any more.
    // relaxed: whoever holds it more holds it already.
    std::atomic<std::uint32_t> held_ = 1;
    const detail::boxed<M> box_;
};

/// Holds the latest message of a topic, its type forgotten; or none.
class kept_message {
public:
    kept_message() noexcept = default;
    template <typename M>
    explicit kept_message(shared_message<M>& m) noexcept
        : what_(&m), let_go_([](void* p) { static_cast<shared_message<M>*>(p)->let_go(); }) {
        m.hold();
    }
    kept_message(kept_message&& o) noexcept
        : what_(detail::exchange(o.what_, nullptr)), let_go_(o.let_go_) {}
    kept_message& operator=(kept_message o) noexcept {
        std::swap(what_, o.what_), std::swap(let_go_, o.let_go_);
        return *this;
    }
    ~kept_message() {
        if (what_) let_go_(what_);
    }
    template <typename M>
    shared_message<M>* get() const noexcept {
        return static_cast<shared_message<M>*>(what_);
    }

private:
    void* what_ = nullptr;
    void (*let_go_)(void*) = nullptr;
};

namespace detail {

/// One subscriber's, in a block of copies; a const M is a message that is shared.
template <typename M>
struct sent<const M> final : envelope {
    using envelope::envelope;
    static constexpr const envelope_kind& its_kind() noexcept;
    const M& value() const noexcept;
};

/// The envelopes of some subscribers, side by side, two in a cache line: they are written and
/// counted together, and a reader's next ones are fetched in time. The last to be destroyed frees
/// all.
template <typename M>
class copies {
    using one = sent<const M>;
    static_assert(sizeof(one) == sizeof(envelope));

public:
    /// Bytes: an odd number of cache lines. Were it 1 KiB, what one subscriber has in many of them,
    /// side by side, would meet in 4 of a cache's 64 sets.
    static constexpr std::size_t largest = block_cache::largest_fine - cache_line;
    static constexpr std::uint32_t most = static_cast<std::uint32_t>((largest - 16) / sizeof(one));

    /// Takes over one hold, where there is memory; nullptr: there is none. `trail`: how many blocks
    /// before is the one for the same subscribers.
    static copies* make(shared_message<M>& m, std::uint32_t n, unsigned trail = 1) noexcept {
        void* const memory = allocate(bytes(n));
        return memory ? ::new (memory) copies(m, n, trail, false) : nullptr;
    }
    /// In the room behind the message.
    static copies* make_behind(shared_message<M>& m, std::uint32_t n, unsigned trail) noexcept {
        return ::new (m.behind()) copies(m, n, trail, true);
    }
    /// How much room that takes; 0: they had better have a block of their own.
    static constexpr std::size_t room_for(std::uint32_t n) noexcept {
        const bool fits =
            n < most && shared_message<M>::size() + bytes(n) <= block_cache::largest_fine;
        return fits ? bytes(n) : 0;
    }
    copies(const copies&) = delete;

    /// Once for each.
    one& number(std::uint32_t i, const handler_entry& how) noexcept {
        one* const e = ::new (static_cast<void*>(first() + i)) one(kind);
        e->place = static_cast<std::uint8_t>(i);
        e->trail = trail_;
        e->how = &how;
        return *e;
    }
    static const M& value_of(const one& e) noexcept {
        return block_of(const_cast<one&>(e)).message_.value();
    }
    POSTHASTE_ALWAYS_INLINE static void destroy(envelope& e) noexcept {
        one& self = static_cast<one&>(e);
        copies& all = block_of(self);
        std::destroy_at(&self);
        if (all.left_.load(std::memory_order_acquire) == 1 ||  // (4)
            all.left_.fetch_sub(1, std::memory_order_acq_rel) == 1) {  // (3)
            all.end();
        }
    }

    static constexpr envelope_kind kind{&type_of<M>, &destroy, false, true};

private:
    copies(shared_message<M>& m, std::uint32_t n, unsigned trail, bool behind) noexcept
        : message_(m),
          left_(static_cast<std::uint16_t>(n)),
          is_behind_(behind),
          trail_(trail_to_block(this, trail)) {
        // The lines come over together: each put() would wait for its own.
        auto* const begin = reinterpret_cast<volatile std::byte*>(this + 1);
        for (std::size_t i = cache_line; i < n * sizeof(one); i += cache_line) begin[i] = {};
    }
    static constexpr std::size_t bytes(std::uint32_t n) noexcept {
        return sizeof(copies) + n * sizeof(one);
    }
    one* first() noexcept { return reinterpret_cast<one*>(this + 1); }
    static copies& block_of(one& e) noexcept {
        return *(reinterpret_cast<copies*>(&e - e.place) - 1);
    }
    POSTHASTE_NOINLINE void end() noexcept {
        shared_message<M>& message = message_;
        const bool is_behind = is_behind_;
        std::destroy_at(this);
        if (!is_behind) deallocate(this);
        message.let_go();
    }

    // (3) releases the last use of each to the last of all, who acquires it.
    // (4) acquires the same for the only one left.
    shared_message<M>& message_;
    std::atomic<std::uint16_t> left_;
    const bool is_behind_;
    const std::int32_t trail_;
};

template <typename M>
constexpr const envelope_kind& sent<const M>::its_kind() noexcept {
    return copies<M>::kind;
}
template <typename M>
const M& sent<const M>::value() const noexcept {
    return copies<M>::value_of(*this);
}

}  // namespace detail

}  // namespace posthaste
