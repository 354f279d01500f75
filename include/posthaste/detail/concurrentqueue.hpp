// moodycamel's queue, found and kept apart.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>

#include <cstddef>
#include <new>

#if defined(POSTHASTE_MUTEX_QUEUE)  // for ThreadSanitizer, which does not understand fences
#  include <posthaste/detail/exceptions.hpp>

#  include <algorithm>
#  include <mutex>
#  include <vector>
#elif defined(POSTHASTE_CONCURRENTQUEUE_HEADER)  // set by Findconcurrentqueue.cmake
#  include POSTHASTE_CONCURRENTQUEUE_HEADER
#elif __has_include(<moodycamel/concurrentqueue.h>)  // upstream >= 1.0.4, vcpkg, Conan
#  include <moodycamel/concurrentqueue.h>
#elif __has_include(<concurrentqueue/moodycamel/concurrentqueue.h>)  // without its include dir
#  include <concurrentqueue/moodycamel/concurrentqueue.h>
#elif __has_include(<concurrentqueue/concurrentqueue.h>)  // Debian, Ubuntu, upstream 1.0.3
#  include <concurrentqueue/concurrentqueue.h>
#elif __has_include(<concurrentqueue.h>)  // source tree
#  include <concurrentqueue.h>
#else
#  error "posthaste needs moodycamel's concurrentqueue.h: apt install libconcurrentqueue-dev"
#endif

namespace posthaste::detail {

#if defined(POSTHASTE_MUTEX_QUEUE)

/// What shared_queue uses of moodycamel::ConcurrentQueue, with a mutex.
template <typename T>
class raw_queue {
public:
    struct consumer_token_t {
        explicit consumer_token_t(raw_queue&) noexcept {}
    };

    explicit raw_queue(std::size_t) noexcept {}

    bool enqueue(T item) {
        const std::lock_guard lock(mutex_);
        const auto add = [&] { return in_.push_back(item), true; };
        return guarded(add, [](const std::exception_ptr&) { return false; });
    }
    bool try_dequeue(T& item) { return try_dequeue_bulk(&item, 1) == 1; }
    bool try_dequeue(consumer_token_t&, T& item) { return try_dequeue(item); }
    std::size_t try_dequeue_bulk(consumer_token_t&, T* to, std::size_t max) {
        return try_dequeue_bulk(to, max);
    }
    std::size_t try_dequeue_bulk(T* to, std::size_t max) {
        const std::lock_guard lock(mutex_);
        if (out_.empty()) {
            in_.swap(out_);
            std::reverse(out_.begin(), out_.end());
        }
        const auto count = std::min(max, out_.size());
        for (std::size_t i = 0; i != count; ++i, out_.pop_back()) to[i] = out_.back();
        return count;
    }
    std::size_t size_approx() const {
        const std::lock_guard lock(mutex_);
        return in_.size() + out_.size();
    }

private:
    mutable std::mutex mutex_;
    std::vector<T> in_;   // two stacks make a queue, and keep their memory
    std::vector<T> out_;  // the next one to take is at the back
};

#else

struct queue_traits : moodycamel::ConcurrentQueueDefaultTraits {
    // 1.0.3 always does; later ones, unless told so, allocate and free at every 32nd put
    static constexpr bool RECYCLE_ALLOCATED_BLOCKS = true;
    // as all of the library's memory, so that who replaces or counts operator new sees it
    static void* malloc(std::size_t size) noexcept { return ::operator new(size, std::nothrow); }
    static void free(void* memory) noexcept { ::operator delete(memory); }
};
template <typename T>
using raw_queue = moodycamel::ConcurrentQueue<T, queue_traits>;

#endif

/// A queue of pointers for any number of threads: for work that has no order to keep.
///
///     shared_queue<job> jobs;
///     if (!jobs.put(&some_job)) refuse(some_job);
///     while (job* next = jobs.take()) next->run();
///
/// Ordering   what one thread put comes out in the order it was put, as long as one thread takes.
///            What was done before put(p) happens before the take() that returns p.
/// Threads    any. No call is inlined, because the queue keeps a record for each thread and a
///            coroutine must not remember whose record it used before it was suspended.
/// Cost       lock-free; allocates a record for each thread that puts, and room for 32 pointers at
///            a time, both of which it keeps: in the steady state it allocates nothing.
template <typename T>
class shared_queue {
public:
    /// One taker's place in the queue: takes faster than the queue's own take().
    /// Requires   the queue outlives it.
    /// Threads    one at a time.
    class reader {
    public:
        explicit reader(shared_queue& queue) noexcept : queue_(queue.raw_), token_(queue.raw_) {}

        POSTHASTE_NOINLINE T* take() noexcept {
            T* item = nullptr;
            return queue_.try_dequeue(token_, item) ? item : nullptr;
        }
        POSTHASTE_NOINLINE std::size_t take(T** out, std::size_t max) noexcept {
            return queue_.try_dequeue_bulk(token_, out, max);
        }

    private:
        raw_queue<T*>& queue_;
        typename raw_queue<T*>::consumer_token_t token_;
    };

    /// Room for `capacity` pointers is made at once; with 0 nothing is allocated before put().
    explicit shared_queue(std::size_t capacity = 0) : raw_(capacity) {}
    shared_queue(const shared_queue&) = delete;

    /// Errors     false if there is no memory for it; the queue is as it was.
    [[nodiscard]] POSTHASTE_NOINLINE bool put(T* item) noexcept { return raw_.enqueue(item); }

    /// nullptr if the queue appears empty; what another thread puts just now may be overlooked.
    [[nodiscard]] POSTHASTE_NOINLINE T* take() noexcept {
        T* item = nullptr;
        return raw_.try_dequeue(item) ? item : nullptr;
    }

    /// Takes up to `max` at once, writes them to `out`, and says how many.
    [[nodiscard]] POSTHASTE_NOINLINE std::size_t take(T** out, std::size_t max) noexcept {
        return raw_.try_dequeue_bulk(out, max);
    }

    /// How many there are, exact only while no thread puts or takes.
    POSTHASTE_NOINLINE std::size_t size_hint() const noexcept { return raw_.size_approx(); }

private:
    raw_queue<T*> raw_;
};

}  // namespace posthaste::detail
