// What a request with its reply costs.  SPDX-License-Identifier: BSL-1.0
//
//     call          one caller, one handler that is idle. The wall time of the whole round trip.
//         posthaste              handler a plain function, on the caller's executor, a run_loop
//         posthaste_coroutine    the same with a handler that is a coroutine
//         posthaste_pool         the first one on a thread_pool, as a bus made without arguments,
//                                which also watches that no handler blocks its caller too long
//         task                   floor: the same coroutine awaited directly, no endpoint between
//         mutex_queue_same_thread    the queue below, emptied by the caller: no thread switch
//         mutex_queue            mutex, condition variable, deque of functions, promise, worker
//         async                  std::async: a thread a call
//     call_across   the same when caller and handler live on different threads, both of which may
//                   sleep: two wake-ups by the kernel, whatever the library.
//         posthaste              a caller on its own run_loop, a bus with one thread
//         mutex_queue            as above
//
// So of `call`, the ratio of mutex_queue to posthaste says what it is worth not to change the
// thread, that of mutex_queue_same_thread what it is worth not to use a queue and a promise.
#include "allocations.hpp"

#include <posthaste/posthaste.hpp>

#include <benchmark/benchmark.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace {

struct add_one {
    using reply = std::uint64_t;
    std::uint64_t to;
};

constexpr int warm_up = 1000;

// As long as a program has had one thread only, libstdc++ counts references without locked
// instructions. No user of this library lives in such a program.
const bool has_had_threads = (std::thread([] {}).join(), true);

// --- posthaste -----------------------------------------------------------------------------------

std::uint64_t plain(add_one m) { return m.to + 1; }
posthaste::task<std::uint64_t> coroutine(add_one m) { co_return m.to + 1; }

posthaste::task<> call_again_and_again(benchmark::State& state, posthaste::client<add_one> target) {
    std::uint64_t n = 0;
    for (int i = 0; i != warm_up; ++i) {
        auto sum = co_await target.call(n);
        n = *sum;
    }
    const allocation_count counted;
    for (auto _ : state) {
        auto sum = co_await target.call(n);
        n = *sum;
    }
    counted.report(state, static_cast<std::uint64_t>(state.iterations()));
    if (n != warm_up + static_cast<std::uint64_t>(state.iterations()))
        state.SkipWithError("a wrong sum");
}

template <typename Handler>
void posthaste_inline(benchmark::State& state, Handler handler) {
    posthaste::run_loop loop;
    posthaste::bus bus(loop);
    bus.handle<add_one>("adder", handler);
    posthaste::sync_wait(loop, call_again_and_again(state, bus.client<add_one>("adder")));
}

posthaste::bus_options one_thread() {
    posthaste::bus_options options;
    options.threads = 1;
    return options;
}

void posthaste_pool(benchmark::State& state) {
    posthaste::bus bus(one_thread());
    bus.handle<add_one>("adder", plain);
    bus.run([&] { return call_again_and_again(state, bus.client<add_one>("adder")); });
}

void posthaste_across(benchmark::State& state) {
    posthaste::bus bus(one_thread());
    bus.handle<add_one>("adder", plain);
    posthaste::sync_wait(call_again_and_again(state, bus.client<add_one>("adder")));
}

posthaste::task<> await_again_and_again(benchmark::State& state) {
    std::uint64_t n = 0;
    for (int i = 0; i != warm_up; ++i) n = co_await coroutine(add_one{n});
    const allocation_count counted;
    for (auto _ : state) n = co_await coroutine(add_one{n});
    counted.report(state, static_cast<std::uint64_t>(state.iterations()));
    benchmark::DoNotOptimize(n);
}

void awaited_task(benchmark::State& state) { posthaste::sync_wait(await_again_and_again(state)); }

// --- what one would write ------------------------------------------------------------------------

class function_queue {
public:
    void put(std::function<void()> f) {
        {
            const std::lock_guard guard(mutex_);
            queue_.push_back(std::move(f));
        }
        changed_.notify_one();
    }
    void run_one() {
        std::unique_lock guard(mutex_);
        changed_.wait(guard, [this] { return !queue_.empty(); });
        const std::function<void()> f = std::move(queue_.front());
        queue_.pop_front();
        guard.unlock();
        f();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> queue_;
};

class worker_thread {
public:
    ~worker_thread() {
        queue_.put([this] { ended_ = true; });
        thread_.join();
    }
    function_queue& queue() { return queue_; }

private:
    bool ended_ = false;
    function_queue queue_;
    std::thread thread_{[this] {
        while (!ended_) queue_.run_one();
    }};
};

template <typename Call>
void call_blocking(benchmark::State& state, Call call) {
    std::uint64_t n = 0;
    for (int i = 0; i != warm_up; ++i) n = call(n);
    const allocation_count counted;
    for (auto _ : state) n = call(n);
    counted.report(state, static_cast<std::uint64_t>(state.iterations()));
    benchmark::DoNotOptimize(n);
}

void mutex_queue(benchmark::State& state) {
    worker_thread worker;
    call_blocking(state, [&](std::uint64_t n) {
        // Shared, as set_value() may still be in the promise when the caller goes on.
        auto answer = std::make_shared<std::promise<std::uint64_t>>();
        auto sum = answer->get_future();
        worker.queue().put(
            [answer = std::move(answer), n] { answer->set_value(plain(add_one{n})); });
        return sum.get();
    });
}

void mutex_queue_same_thread(benchmark::State& state) {
    function_queue queue;
    call_blocking(state, [&](std::uint64_t n) {
        std::promise<std::uint64_t> answer;
        queue.put([&answer, n] { answer.set_value(plain(add_one{n})); });
        queue.run_one();
        return answer.get_future().get();
    });
}

void async(benchmark::State& state) {
    call_blocking(state, [](std::uint64_t n) {
        return std::async(std::launch::async, plain, add_one{n}).get();
    });
}

BENCHMARK_CAPTURE(posthaste_inline, plain, plain)->Name("call/posthaste")->UseRealTime();
BENCHMARK_CAPTURE(posthaste_inline, coroutine, coroutine)
    ->Name("call/posthaste_coroutine")
    ->UseRealTime();
BENCHMARK(posthaste_pool)->Name("call/posthaste_pool")->UseRealTime();
BENCHMARK(awaited_task)->Name("call/task")->UseRealTime();
BENCHMARK(mutex_queue_same_thread)->Name("call/mutex_queue_same_thread")->UseRealTime();
BENCHMARK(mutex_queue)->Name("call/mutex_queue")->UseRealTime();
BENCHMARK(async)->Name("call/async")->UseRealTime();

BENCHMARK(posthaste_across)->Name("call_across/posthaste")->UseRealTime();
BENCHMARK(mutex_queue)->Name("call_across/mutex_queue")->UseRealTime();

}  // namespace
