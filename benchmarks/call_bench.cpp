// What a request with its reply costs.  SPDX-License-Identifier: BSL-1.0
#include "floors.hpp"
#include "measure.hpp"
#include "mutex_queue.hpp"
#include "posthaste_call.hpp"
#include "team.hpp"
#include "workloads.hpp"

#include <posthaste/posthaste.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace {

using namespace std::chrono_literals;

// --- posthaste -----------------------------------------------------------------------------------

adder parallel_adder(posthaste::bus& b) {
    b.handle<add_one>("adder", posthaste::parallel(2), plain);
    return b.client<add_one>("adder");
}
adder keyed_adder(posthaste::bus& b) {
    b.handle<add_one>("adder", posthaste::keyed(&add_one::to), plain);
    return b.client<add_one>("adder");
}
template <auto Handler>
adder patient_adder(posthaste::bus& b) {
    b.handle<add_one>("adder", Handler);
    return b.client<add_one>("adder", posthaste::deadline(posthaste::forever));
}
adder guarded_adder(posthaste::bus& b) {
    b.handle<add_one>("adder", plain);
    return b.client<add_one>("adder", posthaste::deadline(300ms) | posthaste::retry() |
                                          posthaste::breaker() | posthaste::limit(100));
}
adder impatient_adder(posthaste::bus& b) {
    b.handle<add_one>("adder", suspending);
    return b.client<add_one>("adder", posthaste::deadline(300ms));
}

/// On a pool, which also watches that no handler blocks its caller too long.
class calls_on_pool {
public:
    explicit calls_on_pool(make_adder make) : adder_(make(bus_)) {}
    std::uint64_t operator()(std::uint64_t n) {
        return bus_.run([&] { return call_in_turn(adder_, n); });
    }

private:
    posthaste::bus bus_{on_threads(1)};
    const adder adder_;
};

class calls_behind_sends {
public:
    explicit calls_behind_sends(make_adder make) : adder_(make(bus_)) {}
    std::uint64_t operator()(std::uint64_t n) {
        return posthaste::sync_wait(loop_, again_and_again(n));
    }

private:
    posthaste::task<std::uint64_t> again_and_again(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) {
            if (!adder_.send(sum)) fail("refused");
            auto answer = co_await adder_.call(sum);
            if (!answer) fail("no answer");
            sum = *answer;
        }
        co_return sum;
    }
    posthaste::run_loop loop_;
    posthaste::bus bus_{loop_};
    const adder adder_;
};

/// `Callers` tasks on a pool of that many threads or fewer; each makes n calls.
template <std::size_t Callers, unsigned Threads>
class callers_on_pool {
public:
    static constexpr std::uint64_t batch = Callers == Threads ? 1 : Callers;

    std::uint64_t operator()(std::uint64_t n) {
        done_ = 0, here_ = 0;
        bus_.run([&] { return all(n); });
        return done_ / (Callers / batch);
    }

private:
    posthaste::task<> all(std::uint64_t n) {
        posthaste::scope callers(co_await posthaste::this_context);
        for (std::size_t i = 0; i != Callers; ++i) callers.spawn([this, n] { return one(n); });
        co_await callers.join();
    }
    posthaste::task<> one(std::uint64_t n) {
        // With a thread for each they all begin at once.
        here_.fetch_add(1, std::memory_order_relaxed);
        while (Callers == Threads && here_.load(std::memory_order_relaxed) != Callers)
            std::this_thread::yield();
        const std::uint64_t sum = co_await call_in_turn(adder_, n);
        done_.fetch_add(sum, std::memory_order_relaxed);
    }
    posthaste::bus bus_{on_threads(Threads)};
    const adder adder_ = serial_adder<plain>(bus_);
    std::atomic<std::uint64_t> done_ = 0, here_ = 0;
};

class nested_calls {
public:
    nested_calls() {
        for (int i = 0; i != depth; ++i)
            clients_.push_back(bus_.client<add_one>(std::to_string(i)));
        for (int i = 0; i != depth - 1; ++i) {
            const adder& next = clients_[static_cast<std::size_t>(i) + 1];
            bus_.handle<add_one>(std::to_string(i), [&next](add_one m) { return ask(next, m.to); });
        }
        bus_.handle<add_one>(std::to_string(depth - 1), coroutine);
    }
    std::uint64_t operator()(std::uint64_t n) {
        return posthaste::sync_wait(loop_, call_in_turn(clients_.front(), n));
    }

private:
    static constexpr int depth = 5;
    static posthaste::task<std::uint64_t> ask(const adder& next, std::uint64_t to) {
        auto answer = co_await next.call(to);
        if (!answer) fail("no answer");
        co_return *answer;
    }
    posthaste::run_loop loop_;
    posthaste::bus bus_{loop_};
    std::deque<adder> clients_;
};

/// The caller on a pool of one thread, the handler on another one's.
class calls_between_pools {
public:
    std::uint64_t operator()(std::uint64_t n) {
        return posthaste::sync_wait(here_, call_in_turn(adder_, n));
    }

private:
    posthaste::thread_pool here_{1};
    posthaste::bus there_{on_threads(1)};
    const adder adder_ = serial_adder<plain>(there_);
};

class calls_from_outside {
public:
    std::uint64_t operator()(std::uint64_t n) {
        return posthaste::sync_wait(call_in_turn(adder_, n));
    }

private:
    posthaste::bus bus_{on_threads(1)};
    const adder adder_ = serial_adder<plain>(bus_);
};

// --- floors --------------------------------------------------------------------------------------

template <int Depth>
struct recycled_task {
    static floors::task add(std::uint64_t to) {
        if constexpr (Depth == 1) co_return to + 1;
        else co_return co_await recycled_task<Depth - 1>::add(to);
    }
    static floors::task again_and_again(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) sum = co_await add(sum);
        co_return sum;
    }
    std::uint64_t operator()(std::uint64_t n) const { return again_and_again(n).run(); }
};

/// A number goes to another thread and comes back, in one cache line; both wait by `Wait`.
template <void (*Wait)(const std::atomic<std::uint32_t>&, std::uint32_t while_it_is),
          void (*Wake)(std::atomic<std::uint32_t>&)>
class ping_pong {
public:
    ~ping_pong() {
        put(0);
        thread_.join();
    }
    std::uint64_t operator()(std::uint64_t n) {
        for (std::uint64_t i = 0; i != n; ++i) {
            put(1);
            while (ball_.load(std::memory_order_acquire) == 1) Wait(ball_, 1);
        }
        return n;
    }

private:
    void put(std::uint32_t ball) {
        ball_.store(ball, std::memory_order_release);
        Wake(ball_);
    }
    void answer() {
        for (;;) {
            std::uint32_t ball = 0;
            while ((ball = ball_.load(std::memory_order_acquire)) == 2) Wait(ball_, 2);
            if (ball == 0) return;
            put(2);
        }
    }
    alignas(64) std::atomic<std::uint32_t> ball_ = 2;
    alignas(64) std::thread thread_{[this] { answer(); }};
};
using spinning = ping_pong<floors::spin, floors::no_wake>;
using sleeping = ping_pong<floors::park, floors::unpark>;

// --- what one would write ------------------------------------------------------------------------

template <typename Call>
std::uint64_t again_and_again(std::uint64_t n, Call call) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i != n; ++i) sum = call(sum);
    return sum;
}

class mutex_queue {
public:
    std::uint64_t operator()(std::uint64_t n) {
        return again_and_again(n, [&](std::uint64_t sum) {
            return worker_.ask([sum] { return plain({sum}); }).get();
        });
    }

private:
    worker_thread worker_;
};

/// Emptied by the caller: no other thread.
template <bool Busy>
class mutex_queue_same_thread {
public:
    std::uint64_t operator()(std::uint64_t n) {
        return again_and_again(n, [&](std::uint64_t sum) {
            if (Busy) queue_.put([sum] { static_cast<void>(plain({sum})); });
            std::promise<std::uint64_t> answer;
            queue_.put([&answer, sum] { answer.set_value(plain({sum})); });
            if (Busy) queue_.run_one();
            queue_.run_one();
            return answer.get_future().get();
        });
    }

private:
    function_queue queue_;
};

/// No queue and no reply: a mutex around the call, which a handler must not keep while it waits.
class mutex_only {
public:
    std::uint64_t operator()(std::uint64_t n) {
        callers_.run([&](std::size_t) {
            again_and_again(n, [&](std::uint64_t sum) {
                const std::lock_guard guard(mutex_);
                ++handled_;
                return plain({sum});
            });
        });
        return std::exchange(handled_, 0) / callers_.size();
    }

private:
    team callers_{2};
    std::mutex mutex_;
    std::uint64_t handled_ = 0;
};

/// Every caller is a thread.
template <std::size_t Callers>
class mutex_queue_callers {
public:
    static constexpr std::uint64_t batch = Callers == 2 ? 1 : Callers;

    std::uint64_t operator()(std::uint64_t n) {
        std::atomic<std::uint64_t> done = 0;
        callers_.run([&](std::size_t) {
            done += again_and_again(n, [&](std::uint64_t sum) {
                return worker_.ask([sum] { return plain({sum}); }).get();
            });
        });
        return done / (Callers / batch);
    }

private:
    worker_thread worker_;
    team callers_{Callers};
};

struct std_async {
    std::uint64_t operator()(std::uint64_t n) const {
        return again_and_again(n, [](std::uint64_t sum) {
            return std::async(std::launch::async, plain, add_one{sum}).get();
        });
    }
};

struct thread_per_request {
    std::uint64_t operator()(std::uint64_t n) const {
        return again_and_again(n, [](std::uint64_t sum) {
            std::uint64_t answer = 0;
            std::thread([&] { answer = plain({sum}); }).join();
            return answer;
        });
    }
};

class mutex_queue_deadline {
public:
    std::uint64_t operator()(std::uint64_t n) {
        return again_and_again(n, [&](std::uint64_t sum) {
            auto answer = worker_.ask([sum] { return plain({sum}); });
            if (answer.wait_for(300ms) != std::future_status::ready) fail("no answer");
            return answer.get();
        });
    }

private:
    worker_thread worker_;
};

const make_adder by_function = serial_adder<plain>;
const make_adder by_coroutine = serial_adder<coroutine>;
const make_adder by_suspending = serial_adder<suspending>;
const make_adder without_deadline = patient_adder<plain>;
const make_adder suspending_without_deadline = patient_adder<suspending>;

[[maybe_unused]] const bool contenders[] = {
    contend<calls_on_loop>(workload::call_idle, "posthaste", by_function),
    contend<calls_on_loop>(workload::call_idle, "posthaste, a coroutine", by_coroutine),
    contend<calls_on_loop>(workload::call_idle, "posthaste, parallel", parallel_adder),
    contend<calls_on_loop>(workload::call_idle, "posthaste, keyed", keyed_adder),
    contend<calls_on_loop>(workload::call_idle, "posthaste, no deadline", without_deadline),
    contend<calls_on_loop>(workload::call_idle, "posthaste, four policies", guarded_adder),
    contend<calls_on_pool>(workload::call_idle, "posthaste, on a pool", by_function),
    contend<recycled_task<1>>(workload::call_idle, "floor: await a recycled frame"),
    contend<mutex_queue_same_thread<false>>(workload::call_idle, "mutex, deque, promise"),
    contend<mutex_queue>(workload::call_idle, "mutex, deque, promise, a thread"),
    contend<std_async>(workload::call_idle, "std::async"),
    contend<thread_per_request>(workload::call_idle, "a thread each"),

    contend<calls_behind_sends>(workload::call_busy, "posthaste", by_function),
    contend<calls_behind_sends>(workload::call_busy, "posthaste, parallel", parallel_adder),
    contend<calls_behind_sends>(workload::call_busy, "posthaste, keyed", keyed_adder),
    contend<mutex_queue_same_thread<true>>(workload::call_busy, "mutex, deque, promise"),

    contend<callers_on_pool<2, 2>>(workload::call_contended, "posthaste"),
    contend<mutex_only>(workload::call_contended, "a mutex, no queue"),
    contend<mutex_queue_callers<2>>(workload::call_contended, "mutex, deque, promise, a thread"),

    contend<nested_calls>(workload::call_nested, "posthaste"),
    contend<recycled_task<5>>(workload::call_nested, "floor: await 5 recycled frames"),

    contend<calls_on_loop>(workload::call_suspending, "posthaste", by_suspending),

    contend<calls_on_loop>(workload::call_deadline, "posthaste", impatient_adder),
    contend<calls_on_loop>(workload::call_deadline, "posthaste, no deadline",
                           suspending_without_deadline),
    contend<mutex_queue_deadline>(workload::call_deadline, "mutex, deque, promise, a thread"),

    contend<calls_between_pools>(workload::call_awake, "posthaste"),
    contend<spinning>(workload::call_awake, "floor: a cache line there and back"),

    contend<calls_from_outside>(workload::call_parked, "posthaste"),
    contend<sleeping>(workload::call_parked, "floor: a futex there and back"),
    contend<mutex_queue>(workload::call_parked, "mutex, deque, promise, a thread"),
    contend<std_async>(workload::call_parked, "std::async"),

    contend<callers_on_pool<64, 1>>(workload::callers_1, "posthaste"),
    contend<callers_on_pool<64, 2>>(workload::callers_2, "posthaste"),
    contend<mutex_queue_callers<64>>(workload::callers_2, "mutex, deque, promise, a thread each"),
};

}  // namespace
