// Asking for an end, and hearing that it was asked for.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/assert.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/detail/this_thread.hpp>

#include <atomic>
#include <concepts>
#include <mutex>
#include <type_traits>
#include <utility>

namespace posthaste {

class stop_source;

namespace detail {

/// A registered wish to be told; the node is part of the stop_callback.
class stop_node {
public:
    explicit stop_node(void (*fn)(stop_node&) noexcept) noexcept : fn_(fn) {}
    stop_node(const stop_node&) = delete;

private:
    friend posthaste::stop_source;
    void (*fn_)(stop_node&) noexcept;
    stop_node* next_ = nullptr;
    stop_node** link_ = nullptr;      // what points here, while registered
    bool* gone_ = nullptr;            // set while fn_ runs, to learn that it destroyed this
};

}  // namespace detail

/// Half of a stop_source: who holds it can only ask and listen. Empty by default: never stopped.
/// Valid as long as its source; in a handler, until the handler ends.
class stop_token {
public:
    stop_token() = default;
    bool stop_requested() const noexcept;
    bool stop_possible() const noexcept { return source_ != nullptr; }
    bool operator==(const stop_token&) const = default;

private:
    friend stop_source;
    friend class stop_link;
    template <typename>
    friend class stop_callback;
    explicit stop_token(stop_source* source) noexcept : source_(source) {}
    stop_source* source_ = nullptr;
};

/// std::stop_source without its allocation (and there where libc++ has none): it stays where it is,
/// and its tokens point to it.
///
/// Ordering   what was done before request_stop() happens before every callback, and before
///            stop_requested() returns true.
/// Threads    any; callbacks run on the thread that calls request_stop().
class stop_source {
public:
    stop_source() = default;
    stop_source(const stop_source&) = delete;
    ~stop_source() { POSTHASTE_ASSERT(!head_ && "a stop_callback outlives its stop_source"); }

    stop_token token() noexcept { return stop_token(this); }
    bool stop_requested() const noexcept {
        return requested_.load(std::memory_order_acquire);  // (1)
    }

    /// Runs the callbacks; false if it was called before.
    bool request_stop() noexcept {
        lock_.lock();
        if (requested_.exchange(true, std::memory_order_acq_rel)) {  // (2)
            return lock_.unlock(), false;
        }
        caller_ = &detail::this_thread();
        while (detail::stop_node* node = head_) {
            unlink(*node);
            bool gone = false;
            node->gone_ = &gone;
            running_ = node;
            lock_.unlock();
            node->fn_(*node);
            lock_.lock();
            if (!gone) node->gone_ = nullptr;
            running_ = nullptr;
        }
        caller_ = nullptr;
        lock_.unlock();
        return true;
    }

    /// Makes it as new. Requires that no callback is registered and no token is asked meanwhile.
    void reset() noexcept {
        if (requested_.load(std::memory_order_relaxed)) {
            const std::lock_guard guard(lock_);  // request_stop() may still be on its last lines
            POSTHASTE_ASSERT(!head_);
            requested_.store(false, std::memory_order_relaxed);
        }
    }

private:
    friend class stop_link;

    // False: a stop was requested already, nothing was registered.
    bool add(detail::stop_node& node) noexcept {
        const std::lock_guard guard(lock_);
        if (requested_.load(std::memory_order_relaxed)) return false;
        node.next_ = head_;
        node.link_ = &head_;
        if (head_) head_->link_ = &node.next_;
        head_ = &node;
        return true;
    }
    // Afterwards the callback neither runs nor will.
    void remove(detail::stop_node& node) noexcept {
        for (;;) {
            {
                const std::lock_guard guard(lock_);
                if (node.link_) return unlink(node);
                if (running_ != &node) return;
                if (caller_ == &detail::this_thread()) return void(*node.gone_ = true);
            }
            std::this_thread::yield();
        }
    }
    static void unlink(detail::stop_node& node) noexcept {
        *node.link_ = node.next_;
        if (node.next_) node.next_->link_ = node.link_;
        node.link_ = nullptr;
    }

    // All but requested_ is guarded by lock_. requested_ is written under it and read without:
    // (1) acquires what came before request_stop() from (2), which releases it.
    // relaxed: under the lock, or where nobody else is about.
    std::atomic<bool> requested_ = false;
    detail::spin_lock lock_;
    detail::stop_node* head_ = nullptr;
    detail::stop_node* running_ = nullptr;
    const void* caller_ = nullptr;
};

inline bool stop_token::stop_requested() const noexcept {
    return source_ && source_->stop_requested();
}

/// Registration without a callable: what the library's own awaiters use.
class stop_link : public detail::stop_node {
public:
    using detail::stop_node::stop_node;
    ~stop_link() { disarm(); }

    /// False: stop was requested already, and the function will not be called.
    bool arm(stop_token token) noexcept {
        if (!token.source_) return true;
        if (!token.source_->add(*this)) return false;
        source_ = token.source_;
        return true;
    }
    /// Afterwards the function neither runs nor will, unless it is what calls this.
    void disarm() noexcept {
        if (source_) detail::exchange(source_, nullptr)->remove(*this);
    }

private:
    stop_source* source_ = nullptr;
};

/// Calls `f()` when stop is requested, on that thread; at once, if it was. Not afterwards.
///
/// Errors     f must not throw.
/// Threads    its destructor waits for f to end, if another thread is in it.
template <typename F>
class stop_callback : private stop_link {
    static_assert(std::invocable<F&>,
                  "stop_callback: the callback takes no arguments; write [] { ... }");

public:
    stop_callback(stop_token token, F f)
        : stop_link([](detail::stop_node& n) noexcept { static_cast<stop_callback&>(n).f_(); }),
          f_(std::move(f)) {
        if (!arm(token)) f_();
    }
    ~stop_callback() { disarm(); }

private:
    F f_;
};

}  // namespace posthaste
