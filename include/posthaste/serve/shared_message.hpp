// A message that many share.  SPDX-License-Identifier: BSL-1.0
#pragma once

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

/// What is published: built once, in recycled memory; each subscriber's envelope holds it.
template <typename M>
class shared_message {
public:
    /// Held once, by the caller. nullptr: no memory, or what the message is made of threw.
    template <typename... Args>
    static shared_message* make(Args&&... args) noexcept {
        static_assert(alignof(shared_message) <= alignof(std::max_align_t),
                      "a message must not be over-aligned; hold what is in a std::unique_ptr");
        void* const memory = detail::allocate(sizeof(shared_message));
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

    /// Requires   the caller holds it.
    void hold(std::uint32_t more = 1) noexcept { held_.fetch_add(more, std::memory_order_relaxed); }
    void let_go(std::uint32_t fewer = 1) noexcept {
        if (held_.fetch_sub(fewer, std::memory_order_acq_rel) != fewer) return;  // (1)
        std::destroy_at(this);
        detail::deallocate(this);
    }

private:
    template <typename... Args>
    explicit shared_message(std::in_place_t, Args&&... args)
        : box_(std::in_place, std::forward<Args>(args)...) {}

    // (1) releases the last use of one holder to the last of all, who acquires it.
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
        : what_(std::exchange(o.what_, nullptr)), let_go_(o.let_go_) {}
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

/// One subscriber's; a const M is a message that is shared.
template <typename M>
struct sent<const M> final : envelope {
    using content = M;
    static constexpr bool shares = true;
    shared_message<M>& message;

    /// Takes over one hold.
    explicit sent(shared_message<M>& m) noexcept : envelope(kind_of<sent>), message(m) {}
    ~sent() { message.let_go(); }
};

}  // namespace detail

}  // namespace posthaste
