// Coroutines and threads with nothing around them.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#if defined(__linux__)
#  include <linux/futex.h>
#  include <sys/syscall.h>
#  include <unistd.h>
#endif

namespace floors {

/// Frames from a list of the thread's own.
class recycled_frame {
public:
    static void* operator new(std::size_t size) {
        node*& first = list(size);
        if (first) return std::exchange(first, first->next);
        return ::operator new(rounded(size));
    }
    static void operator delete(void* p, std::size_t size) noexcept {
        node*& first = list(size);
        first = ::new (p) node{first};
    }

private:
    struct node {
        node* next;
    };
    static constexpr std::size_t step = 64;
    static std::size_t rounded(std::size_t size) noexcept {
        return (size + step - 1) / step * step;
    }
    static node*& list(std::size_t size) noexcept {
        thread_local constinit std::array<node*, 16> lists{};
        if (size > step * lists.size()) std::terminate();
        return lists[(size - 1) / step];
    }
};

/// The least a task can be: starts when awaited, goes on with whoever awaits it by symmetric
/// transfer. No errors, no cancellation, no executor.
class task {
public:
    struct promise_type : recycled_frame {
        std::coroutine_handle<> after;
        std::uint64_t value = 0;

        task get_return_object() noexcept {
            return task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        auto final_suspend() const noexcept {
            struct transfer {
                bool await_ready() const noexcept { return false; }
                std::coroutine_handle<> await_suspend(
                    std::coroutine_handle<promise_type> h) const noexcept {
                    return h.promise().after;
                }
                void await_resume() const noexcept {}
            };
            return transfer();
        }
        void return_value(std::uint64_t v) noexcept { value = v; }
        void unhandled_exception() noexcept { std::terminate(); }
    };

    task(task&& other) noexcept : self_(std::exchange(other.self_, nullptr)) {}
    ~task() {
        if (self_) self_.destroy();
    }
    auto operator co_await() const noexcept {
        struct awaiter {
            std::coroutine_handle<promise_type> self;
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) const noexcept {
                self.promise().after = h;
                return self;
            }
            std::uint64_t await_resume() const noexcept { return self.promise().value; }
        };
        return awaiter{self_};
    }
    /// Runs a task that does not stand still, to its end.
    std::uint64_t run() const {
        self_.promise().after = std::noop_coroutine();
        self_.resume();
        return self_.promise().value;
    }

private:
    explicit task(std::coroutine_handle<promise_type> h) noexcept : self_(h) {}
    std::coroutine_handle<promise_type> self_;
};

// --- how threads wait for a word to change, from the quickest to the most patient ----------------

using word = std::atomic<std::uint32_t>;

/// Gives way after a while only, in case the other thread has no processor.
inline void spin(const word& w, std::uint32_t while_it_is) noexcept {
    for (int i = 0; i != 10'000; ++i) {
        if (w.load(std::memory_order_relaxed) != while_it_is) return;
    }
    std::this_thread::yield();
}
inline void no_wake(word&) noexcept {}

/// The kernel's own means, where there is one to be had; elsewhere std::atomic's, which may spin
/// first.
inline void park(const word& w, std::uint32_t while_it_is) noexcept {
#if defined(__linux__)
    ::syscall(SYS_futex, &w, FUTEX_WAIT_PRIVATE, while_it_is, nullptr, nullptr, 0);
#else
    w.wait(while_it_is, std::memory_order_relaxed);
#endif
}
inline void unpark(word& w) noexcept {
#if defined(__linux__)
    ::syscall(SYS_futex, &w, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
#else
    w.notify_one();
#endif
}

}  // namespace floors
