// What it costs an executor to start, run, wake and free.  SPDX-License-Identifier: BSL-1.0
#include "floors.hpp"
#include "measure.hpp"
#include "mutex_queue.hpp"
#include "wake.hpp"
#include "workloads.hpp"

#include <posthaste/posthaste.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <thread>
#include <tuple>
#include <utility>

namespace {

// --- spawn ---------------------------------------------------------------------------------------

posthaste::task<> count(std::atomic<std::uint64_t>& n) {
    n.fetch_add(1, std::memory_order_relaxed);
    co_return;
}

/// From a coroutine on a pool of so many threads.
template <unsigned Threads>
class posthaste_spawn {
public:
    static constexpr std::uint64_t batch = workload::spawned;

    std::uint64_t operator()(std::uint64_t turns) {
        ended_ = 0;
        for (std::uint64_t i = 0; i != turns; ++i) posthaste::sync_wait(pool_, spawn());
        return ended_;
    }

private:
    posthaste::task<> spawn() {
        posthaste::scope tasks(co_await posthaste::this_context);
        for (std::uint64_t i = 0; i != batch; ++i) tasks.spawn([this] { return count(ended_); });
        co_await tasks.join();
    }
    posthaste::thread_pool pool_{Threads};
    std::atomic<std::uint64_t> ended_ = 0;
};

/// A thread each, and 64 of them at a time.
class std_async_spawn {
public:
    static constexpr std::uint64_t batch = 64;

    std::uint64_t operator()(std::uint64_t turns) {
        std::atomic<std::uint64_t> ended = 0;
        for (std::uint64_t i = 0; i != turns; ++i) {
            std::array<std::future<void>, batch> all;
            for (auto& f : all) f = std::async(std::launch::async, [&] { ended.fetch_add(1); });
        }
        return ended;
    }
};

// --- trees: when_all() runs each until it stands still, on the thread that awaits ----------------

template <auto Tree>
class posthaste_skynet {
public:
    static constexpr std::uint64_t batch = workload::skynet_leaves;

    std::uint64_t operator()(std::uint64_t turns) {
        std::uint64_t leaves = 0;
        for (std::uint64_t i = 0; i != turns; ++i) {
            const std::uint64_t sum = posthaste::sync_wait(pool_, Tree(0, batch));
            leaves += sum == batch * (batch - 1) / 2 ? batch : 0;
        }
        return leaves;
    }

private:
    posthaste::thread_pool pool_{2};
};
posthaste::task<std::uint64_t> tree_by_when_all(std::uint64_t first, std::uint64_t leaves) {
    using part = posthaste::task<std::uint64_t>;
    if (leaves == 1) co_return first;
    std::array<part, 10> parts;
    for (std::uint64_t i = 0; part & p : parts)
        p = tree_by_when_all(first + i++ * (leaves / 10), leaves / 10);
    std::uint64_t sum = 0;
    for (const std::uint64_t s : co_await posthaste::when_all<part>(std::move(parts))) sum += s;
    co_return sum;
}
/// Each part goes through the executor's queue, so that another thread can take it.
posthaste::task<std::uint64_t> tree_by_scope(std::uint64_t first, std::uint64_t leaves) {
    if (leaves == 1) co_return first;
    std::array<std::uint64_t, 10> sums{};
    const auto part = [first, leaves](std::uint64_t& into, std::uint64_t i) -> posthaste::task<> {
        into = co_await tree_by_scope(first + i * (leaves / 10), leaves / 10);
    };
    posthaste::scope parts(co_await posthaste::this_context);
    for (std::uint64_t i = 0; i != 10; ++i) parts.spawn(part, std::ref(sums[i]), i);
    co_await parts.join();
    std::uint64_t sum = 0;
    for (const std::uint64_t s : sums) sum += s;
    co_return sum;
}

class posthaste_fib {
public:
    static constexpr std::uint64_t batch = workload::fib_tasks;

    std::uint64_t operator()(std::uint64_t turns) {
        std::uint64_t tasks = 0;
        for (std::uint64_t i = 0; i != turns; ++i)
            tasks += posthaste::sync_wait(pool_, fib(workload::fib_of)) == workload::fib_value
                         ? batch
                         : 0;
        return tasks;
    }

private:
    static posthaste::task<std::uint64_t> fib(unsigned n) {
        if (n < 2) co_return n;
        auto both = co_await posthaste::when_all(fib(n - 1), fib(n - 2));
        co_return std::get<0>(both) + std::get<1>(both);
    }
    posthaste::thread_pool pool_{2};
};

struct recycled_fib {
    static constexpr std::uint64_t batch = workload::fib_tasks;

    static floors::task fib(unsigned n) {
        if (n < 2) co_return n;
        const std::uint64_t a = co_await fib(n - 1);
        co_return a + co_await fib(n - 2);
    }
    std::uint64_t operator()(std::uint64_t turns) const {
        std::uint64_t tasks = 0;
        for (std::uint64_t i = 0; i != turns; ++i)
            tasks += fib(workload::fib_of).run() == workload::fib_value ? batch : 0;
        return tasks;
    }
};

// --- memory that goes to another thread ----------------------------------------------------------

inline constexpr std::uint64_t under_way = 1024;

class posthaste_ends_elsewhere {
public:
    std::uint64_t operator()(std::uint64_t n) {
        ended_ = 0;
        posthaste::sync_wait(here_, spawn(n));
        return ended_;
    }

private:
    posthaste::task<> spawn(std::uint64_t n) {
        posthaste::scope tasks(posthaste::context(there_, posthaste::never, {}));
        for (std::uint64_t i = 0; i != n; ++i) {
            while (i - ended_.load(std::memory_order_relaxed) >= under_way)
                std::this_thread::yield();
            tasks.spawn([this] { return count(ended_); });
        }
        co_await tasks.join();
    }
    posthaste::thread_pool here_{1}, there_{1};
    std::atomic<std::uint64_t> ended_ = 0;
};

/// 192 bytes are had on one thread and given back on another: no task, no executor.
template <typename Memory>
class had_here_given_back_there {
public:
    ~had_here_given_back_there() {
        ended_.store(true, std::memory_order_relaxed);
        thread_.join();
    }
    std::uint64_t operator()(std::uint64_t n) {
        const std::uint64_t first = put_;
        for (; put_ != first + n; ++put_) {
            while (put_ - taken_.load(std::memory_order_acquire) == under_way)
                std::this_thread::yield();
            ring_[put_ % under_way].store(Memory::have(), std::memory_order_release);
        }
        while (taken_.load(std::memory_order_acquire) != put_) std::this_thread::yield();
        return put_ - first;
    }

private:
    void take() {
        for (std::uint64_t i = 0; !ended_.load(std::memory_order_relaxed);) {
            std::atomic<void*>& place = ring_[i % under_way];
            if (void* const m = place.load(std::memory_order_acquire)) {
                place.store(nullptr, std::memory_order_relaxed);
                Memory::give_back(m);
                taken_.store(++i, std::memory_order_release);
            } else {
                std::this_thread::yield();
            }
        }
    }
    std::array<std::atomic<void*>, under_way> ring_{};
    std::uint64_t put_ = 0;
    alignas(64) std::atomic<std::uint64_t> taken_ = 0;
    std::atomic<bool> ended_ = false;
    std::thread thread_{[this] { take(); }};
};

struct by_recycler {
    static void* have() noexcept { return posthaste::detail::allocate(192); }
    static void give_back(void* m) noexcept { posthaste::detail::deallocate(m, 192); }
};
struct by_new {
    static void* have() { return ::operator new(192); }
    static void give_back(void* m) noexcept { ::operator delete(m); }
};

struct handed_over {
    static void* have() noexcept {
        static std::array<std::byte, 192> memory;
        return &memory;
    }
    static void give_back(void*) noexcept {}
};

// --- wake ----------------------------------------------------------------------------------------

class posthaste_wake {
public:
    std::chrono::duration<double> operator()() {
        return watch_.time([this] { pool_.post(work_); });
    }

private:
    struct timed : posthaste::work {
        explicit timed(stopwatch& w) : watch(w) {
            run = [](posthaste::work& self) noexcept { static_cast<timed&>(self).watch.stop(); };
        }
        stopwatch& watch;
    };
    stopwatch watch_;
    timed work_{watch_};
    posthaste::thread_pool pool_{1};
};

class futex_wake {
public:
    ~futex_wake() {
        ended_.store(true, std::memory_order_relaxed);
        wake();
        thread_.join();
    }
    std::chrono::duration<double> operator()() {
        return watch_.time([this] { wake(); });
    }

private:
    void wake() {
        turn_.fetch_add(1, std::memory_order_release);
        floors::unpark(turn_);
    }
    void sleep() {
        for (std::uint32_t seen = 0;; ++seen) {
            while (turn_.load(std::memory_order_acquire) == seen) floors::park(turn_, seen);
            watch_.stop();
            if (ended_.load(std::memory_order_relaxed)) return;
        }
    }
    stopwatch watch_;
    floors::word turn_ = 0;
    std::atomic<bool> ended_ = false;
    std::thread thread_{[this] { sleep(); }};
};

struct worker : worker_thread {
    explicit worker(unsigned) {}
    void post(std::function<void()> f) { put(std::move(f)); }
};

[[maybe_unused]] const bool contenders[] = {
    contend<posthaste_spawn<1>>(workload::spawn_1, "posthaste"),

    contend<posthaste_spawn<2>>(workload::spawn_2, "posthaste"),
    contend<std_async_spawn>(workload::spawn_2, "std::async"),

    contend<posthaste_skynet<tree_by_when_all>>(workload::skynet, "posthaste"),
    contend<posthaste_skynet<tree_by_scope>>(workload::skynet, "posthaste, by a scope each"),

    contend<posthaste_fib>(workload::fib, "posthaste"),
    contend<recycled_fib>(workload::fib, "floor: recycled frames, one thread"),

    contend<posthaste_ends_elsewhere>(workload::end_elsewhere, "posthaste"),
    contend<had_here_given_back_there<by_new>>(workload::end_elsewhere, "new, delete; no task"),

    contend<had_here_given_back_there<by_recycler>>(workload::free_elsewhere, "posthaste"),
    contend<had_here_given_back_there<by_new>>(workload::free_elsewhere, "new, delete"),
    contend<had_here_given_back_there<handed_over>>(workload::free_elsewhere,
                                                    "floor: the same memory each time"),

    contend_singly<posthaste_wake>(workload::wake, "posthaste"),
    contend_singly<futex_wake>(workload::wake, "floor: futex"),
    contend_singly<wakes<worker>>(workload::wake, "mutex, deque"),
};

}  // namespace
