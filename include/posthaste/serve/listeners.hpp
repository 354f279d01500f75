// Who listens to one topic, at some moment.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/serve/subscriber.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace posthaste {

/// Holds them; never changes, so many may publish to them at once. In recycled memory.
class listeners {
public:
    struct one {
        subscriber* who;
        endpoint_core* to;
        const handler_entry* how;
    };
    class reference;

    const one* begin() const noexcept { return reinterpret_cast<const one*>(this + 1); }
    const one* end() const noexcept { return begin() + count_; }
    std::uint32_t size() const noexcept { return count_; }
    /// Of the switchboard, when they were found.
    std::uint64_t version() const noexcept { return version_; }

    /// With room for so many, whom add() brings. Null: no memory.
    static reference make(std::size_t room, std::uint64_t version) noexcept;
    /// False: no memory for its endpoint. Requires: it is subscribed, under the switchboard's lock.
    bool add(subscriber& s) noexcept {
        endpoint_core* const to = s.needed();
        if (!to) return false;
        s.hold_once();
        ::new (static_cast<void*>(const_cast<one*>(end()))) one{&s, to, &s.how()};
        ++count_;
        return true;
    }

private:
    explicit listeners(std::uint64_t version) noexcept : version_(version) {}
    ~listeners() {
        for (const one& l : *this) l.who->let_go();
    }

    // (1) releases the last use of each holder to the last of all, who acquires it.
    // relaxed: whoever holds it more holds it already.
    std::atomic<std::uint32_t> held_ = 1;
    std::uint32_t count_ = 0;
    const std::uint64_t version_;
    listeners* next_ = nullptr;  // of a list of those to be let go of
};
static_assert(sizeof(listeners) % alignof(listeners::one) == 0);

/// Holds them. The last one may destroy subscribers: not under the switchboard's lock.
class listeners::reference {
public:
    /// Moves what it holds to the front of a list, which release_all() lets go of.
    void move_to(listeners*& list) noexcept {
        if (!to_) return;
        to_->next_ = list;
        list = detail::exchange(to_, nullptr);
    }
    static void release_all(listeners* list) noexcept {
        while (list) const reference last(detail::exchange(list, list->next_));
    }

    reference() noexcept = default;
    /// Takes over a hold.
    explicit reference(listeners* to) noexcept : to_(to) {}
    reference(const reference& o) noexcept : to_(o.to_) {
        if (to_) to_->held_.fetch_add(1, std::memory_order_relaxed);
    }
    reference(reference&& o) noexcept : to_(detail::exchange(o.to_, nullptr)) {}
    reference& operator=(reference o) noexcept { return std::swap(to_, o.to_), *this; }
    ~reference() {
        if (!to_ || to_->held_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;  // (1)
        to_->~listeners();
        detail::deallocate(to_);
    }
    explicit operator bool() const noexcept { return to_ != nullptr; }
    listeners* get() const noexcept { return to_; }
    listeners* operator->() const noexcept { return to_; }
    listeners& operator*() const noexcept { return *to_; }

private:
    listeners* to_ = nullptr;
};

inline listeners::reference listeners::make(std::size_t room, std::uint64_t version) noexcept {
    void* const memory = detail::allocate(sizeof(listeners) + room * sizeof(one));
    return reference(memory ? ::new (memory) listeners(version) : nullptr);
}

/// A topic that somebody publishes to, and who listened to it when somebody did last.
struct topic_line {
    const detail::message_type* type = nullptr;
    std::string topic;
    detail::spin_lock lock;  // guards `seen`; in the switchboard's table, all above, too
    listeners::reference seen;  // null: not known
    topic_line* before = nullptr;  // in the switchboard's list of them, under its mutex
    topic_line* after = nullptr;

    bool is(const detail::message_type& t, std::string_view name) const noexcept {
        return type == &t && topic == name;
    }
};

}  // namespace posthaste
