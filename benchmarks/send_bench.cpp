// What a message of 8 bytes from one thread to another costs.  SPDX-License-Identifier: BSL-1.0
//
// 1, 2 and 4 producer threads send to one receiver. The time is from the first send until the last
// message is handled, divided by the number of messages, all producers' together.
//
//     posthaste             a serial endpoint, in order; a bus with one thread
//     posthaste_parallel1   parallel(1), without order; a bus with one thread
//     posthaste_parallel2   parallel(2), a bus with two threads: so two consumers
//     mutex_queue           mutex, condition variable, deque; one thread that takes the whole deque
//                           each time it holds the lock, and is notified only if it was empty
//     moodycamel            floor: moodycamel::ConcurrentQueue with producer tokens, a consumer
//                           token, 64 messages a dequeue, room made beforehand. Its consumer never
//                           sleeps.
//
// All are bounded in the same way, so that memory stays flat: no more than `window` messages are
// under way. A producer that has used up its share yields its processor until half of that is
// handled; it learns so from a counter that the receiver keeps for each producer. Thus no
// contender needs a bound of its own, and posthaste, whose queue has room for the window, refuses
// nothing.
#include "allocations.hpp"

#include <posthaste/detail/concurrentqueue.hpp>
#include <posthaste/posthaste.hpp>

#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

namespace {

constexpr std::uint32_t window = 4096;  // messages under way, of all producers
constexpr std::size_t most_producers = 4;

struct tick {
    std::uint32_t producer;
    std::uint32_t number;  // counts up for each producer
};
static_assert(sizeof(tick) == 8);

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "send_bench: %s\n", what);
    std::abort();
}

/// What the receiver does with a message: it counts.
class receiver {
public:
    /// One message at a time, in the order of each producer.
    void in_order(const tick& t) noexcept {
        auto& n = handled_[t.producer].n;
        if (n.load(std::memory_order_relaxed) != t.number) fail("a message out of order");
        n.store(t.number + 1, std::memory_order_release);
    }
    void in_any_order(const tick& t) noexcept {
        handled_[t.producer].n.fetch_add(1, std::memory_order_release);
    }

    /// The calling producer waits until n of the messages of `producer` are handled.
    void wait_for(std::size_t producer, std::uint32_t n) const noexcept {
        while (static_cast<std::int32_t>(n - handled_[producer].n.load(std::memory_order_acquire)) >
               0)
            std::this_thread::yield();
    }

private:
    struct alignas(64) counter {
        std::atomic<std::uint32_t> n = 0;
    };
    std::array<counter, most_producers> handled_;
};

// --- contenders: each has a receiver `handled`, and a producer with send(tick) -------------------

template <unsigned Lanes>  // 0: serial
class posthaste_endpoint {
public:
    explicit posthaste_endpoint(int) : bus_(options()) {
        if constexpr (Lanes == 0) {
            bus_.handle<tick>("ticks", posthaste::serial.capacity(window),
                              [this](const tick& t) { handled.in_order(t); });
        } else {
            bus_.handle<tick>("ticks", posthaste::parallel(Lanes).capacity(window),
                              [this](const tick& t) { handled.in_any_order(t); });
        }
    }
    receiver handled;

    class producer {
    public:
        explicit producer(posthaste_endpoint& to) : ticks_(to.ticks()) {}
        void send(const tick& t) {
            if (!ticks_.send(t)) fail("refused");
        }

    private:
        posthaste::client<tick> ticks_;
    };

private:
    posthaste::client<tick> ticks() { return bus_.client<tick>("ticks"); }
    static posthaste::bus_options options() {
        posthaste::bus_options o;
        o.threads = Lanes == 0 ? 1 : Lanes;
        return o;
    }
    posthaste::bus bus_;
};

class mutex_queue {
public:
    explicit mutex_queue(int) {}
    ~mutex_queue() {
        {
            const std::lock_guard guard(mutex_);
            ended_ = true;
        }
        changed_.notify_one();
        thread_.join();
    }
    receiver handled;

    class producer {
    public:
        explicit producer(mutex_queue& to) : to_(to) {}
        void send(const tick& t) {
            bool was_empty = false;
            {
                const std::lock_guard guard(to_.mutex_);
                was_empty = to_.queue_.empty();
                to_.queue_.push_back(t);
            }
            if (was_empty) to_.changed_.notify_one();
        }

    private:
        mutex_queue& to_;
    };

private:
    void consume() {
        std::deque<tick> taken;
        for (;;) {
            {
                std::unique_lock guard(mutex_);
                changed_.wait(guard, [this] { return ended_ || !queue_.empty(); });
                if (queue_.empty()) return;
                taken.swap(queue_);
            }
            for (const tick& t : taken) handled.in_order(t);
            taken.clear();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<tick> queue_;
    bool ended_ = false;
    std::thread thread_{[this] { consume(); }};
};

class moodycamel_queue {
public:
    explicit moodycamel_queue(int producers)
        : queue_(std::size_t{2} * window, static_cast<std::size_t>(producers), 0),
          thread_([this] { consume(); }) {}
    ~moodycamel_queue() {
        ended_.store(true, std::memory_order_relaxed);
        thread_.join();
    }
    receiver handled;

    class producer {
    public:
        explicit producer(moodycamel_queue& to) : to_(to), token_(to.queue_) {}
        void send(const tick& t) { to_.queue_.enqueue(token_, t); }

    private:
        moodycamel_queue& to_;
        moodycamel::ProducerToken token_;
    };

private:
    void consume() {
        moodycamel::ConsumerToken token(queue_);
        std::array<tick, 64> some;
        for (unsigned empty = 0; !ended_.load(std::memory_order_relaxed);) {
            const std::size_t n = queue_.try_dequeue_bulk(token, some.data(), some.size());
            for (std::size_t i = 0; i != n; ++i) handled.in_order(some[i]);
            empty = n == 0 ? empty + 1 : 0;
            if (empty >= 64) std::this_thread::yield();
            else if (n < 48) backed_off();
        }
    }
    // A consumer that looks too often takes the producers' cache lines from them; this halves the
    // cost of a message.
    static void backed_off() noexcept {
        for (int i = 0; i != 8; ++i) posthaste::detail::pause();
    }

    moodycamel::ConcurrentQueue<tick> queue_;
    std::atomic<bool> ended_ = false;
    std::thread thread_;
};

// --- the workload --------------------------------------------------------------------------------

template <typename Contender>
std::unique_ptr<Contender> contender;  // of the round that is run

template <typename Contender>
void set_up(const benchmark::State& state) {
    contender<Contender> = std::make_unique<Contender>(state.threads());
}
template <typename Contender>
void tear_down(const benchmark::State&) {
    contender<Contender>.reset();
}

/// Runs on each producer thread.
template <typename Contender>
void send(benchmark::State& state) {
    const auto producers = static_cast<std::uint32_t>(state.threads());
    const auto self = static_cast<std::uint32_t>(state.thread_index());
    const std::uint32_t share = window / producers;
    Contender& to = *contender<Contender>;
    typename Contender::producer producer(to);

    std::uint32_t sent = 0;
    std::uint32_t allowed = share;
    const auto send_next = [&] {
        if (sent == allowed) {
            to.handled.wait_for(self, allowed - share / 2);
            allowed += share / 2;
        }
        producer.send(tick{self, sent});
        ++sent;
    };
    // Warm-up: every producer has had a full window of messages under way.
    while (sent != 2 * share) send_next();
    to.handled.wait_for(self, sent);

    const auto rounds = static_cast<std::uint32_t>(state.max_iterations);
    const std::uint32_t last = sent + rounds;
    allocation_count counted;
    for (auto _ : state) {
        if (sent == last - rounds) counted = allocation_count();  // all have warmed up
        send_next();
        if (sent != last) continue;
        // Within the last iteration, so that it is timed: all messages of all are handled.
        for (std::uint32_t p = 0; p != producers; ++p) to.handled.wait_for(p, last);
        if (self == 0) counted.report(state, std::uint64_t{rounds} * producers);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(rounds));
}

#define POSTHASTE_SEND_BENCHMARK(name, ...) \
    BENCHMARK_TEMPLATE(send, __VA_ARGS__)   \
        ->Name("send/" name)                \
        ->Setup(set_up<__VA_ARGS__>)        \
        ->Teardown(tear_down<__VA_ARGS__>)  \
        ->UseRealTime()                     \
        ->Threads(1)                        \
        ->Threads(2)                        \
        ->Threads(4)

POSTHASTE_SEND_BENCHMARK("posthaste", posthaste_endpoint<0>);
POSTHASTE_SEND_BENCHMARK("posthaste_parallel1", posthaste_endpoint<1>);
POSTHASTE_SEND_BENCHMARK("posthaste_parallel2", posthaste_endpoint<2>);
POSTHASTE_SEND_BENCHMARK("mutex_queue", mutex_queue);
POSTHASTE_SEND_BENCHMARK("moodycamel", moodycamel_queue);

}  // namespace
