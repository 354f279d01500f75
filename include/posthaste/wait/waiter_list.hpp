// Coroutines that stand in line, and may give up.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/wait/frame.hpp>

#include <mutex>

namespace posthaste {

/// The line behind an event or a semaphore, first come first served. Whoever stands in it either
/// gets what it waits for or leaves the line untouched: never both.
///
/// Threads    any. A waiter goes on at its home, by posting, never inside the caller.
class waiter_list {
public:
    class waiter;

    waiter_list() = default;
    waiter_list(const waiter_list&) = delete;

    /// Takes the place's lock: everything about `ready` conditions is decided under it.
    [[nodiscard]] std::unique_lock<detail::spin_lock> lock() noexcept {
        return std::unique_lock(lock_);
    }

    /// Wakes the first in line; false if there is none. Requires the lock.
    bool wake_first() noexcept;
    bool empty() const noexcept { return first_ == nullptr; }

private:
    void append(waiter& w) noexcept;
    void remove(waiter& w) noexcept;

    detail::spin_lock lock_;
    waiter* first_ = nullptr;
    waiter* last_ = nullptr;
};

/// One who stands in line; a part of the awaiter in the coroutine's frame.
class waiter_list::waiter {
public:
    explicit waiter(waiter_list& list) noexcept : list_(list) {}
    waiter(const waiter&) = delete;
    ~waiter() { leave(); }  // also when the frame is destroyed where it stands

    /// Stands in line unless `ready()` holds (asked under the lock) or stop was requested.
    /// True if the coroutine is suspended; then *this may be gone.
    template <typename Ready>
    bool stand(frame& f, const char* on, Ready ready) noexcept {
        frame_ = &f;
        if (!stop_.arm(f.stop())) return state_ = state::stopped, false;
        const auto guard = list_.lock();
        if (state_ == state::stopped) return false;
        if (ready()) return state_ = state::woken, false;
        state_ = state::standing;
        list_.append(*this);
        f.park(on);
        return true;
    }
    /// Was it woken? Otherwise it gave up.
    bool woken() noexcept {
        stop_.disarm();
        return state_ == state::woken;
    }

private:
    friend waiter_list;
    enum class state : unsigned char { away, standing, woken, stopped };

    void leave() noexcept {
        if (!frame_) return;  // it never came to stand
        stop_.disarm();
        const auto guard = list_.lock();
        if (state_ == state::standing) list_.remove(*this);
        state_ = state::away;
    }
    static void on_stop(detail::stop_node& node) noexcept;

    waiter_list& list_;
    frame* frame_ = nullptr;
    waiter* next_ = nullptr;
    waiter* before_ = nullptr;
    state state_ = state::away;  // guarded by the list's lock until woken or stopped
    struct link : stop_link {
        explicit link(waiter& w) noexcept : stop_link(&waiter::on_stop), of(w) {}
        waiter& of;
    } stop_{*this};
};

inline void waiter_list::waiter::on_stop(detail::stop_node& node) noexcept {
    waiter& w = static_cast<link&>(node).of;
    const auto guard = w.list_.lock();
    const bool stood = w.state_ == state::standing;
    if (stood) w.list_.remove(w);
    if (w.state_ != state::woken) w.state_ = state::stopped;
    if (stood) w.frame_->wake();  // under the lock: the waiter's destructor waits for it
}

inline bool waiter_list::wake_first() noexcept {
    waiter* w = first_;
    if (!w) return false;
    remove(*w);
    w->state_ = waiter::state::woken;
    w->frame_->wake();
    return true;
}

inline void waiter_list::append(waiter& w) noexcept {
    w.before_ = detail::exchange(last_, &w);
    w.next_ = nullptr;
    (w.before_ ? w.before_->next_ : first_) = &w;
}

inline void waiter_list::remove(waiter& w) noexcept {
    (w.before_ ? w.before_->next_ : first_) = w.next_;
    (w.next_ ? w.next_->before_ : last_) = w.before_;
}

}  // namespace posthaste
