// What a message from one thread to another costs.  SPDX-License-Identifier: BSL-1.0
//
// All contenders are bounded in the same way, so that memory stays flat: see window.hpp. Thus none
// needs a bound of its own, and posthaste, whose queue has room for the window, refuses nothing.
#include "measure.hpp"
#include "window.hpp"
#include "workloads.hpp"

#include <posthaste/detail/concurrentqueue.hpp>
#include <posthaste/posthaste.hpp>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

// --- contenders: each has a producer with send(message), and calls handled.one(message) ----------

template <std::size_t Bytes, unsigned Lanes>  // 0: serial
class posthaste_endpoint {
public:
    explicit posthaste_endpoint(std::size_t) {
        const auto handler = [this](const numbered<Bytes>& m) { handled.one(m); };
        if constexpr (Lanes == 0) {
            bus_.handle<numbered<Bytes>>("sink", posthaste::serial.capacity(window), handler);
        } else {
            bus_.handle<numbered<Bytes>>("sink", posthaste::parallel(Lanes).capacity(window),
                                         handler);
        }
    }
    receiver<Lanes == 0 ? in_order : in_any_order> handled;

    class producer {
    public:
        explicit producer(posthaste_endpoint& to) : sink_(to.client()) {}
        void send(const numbered<Bytes>& m) {
            if (!sink_.send(m)) fail("refused");
        }

    private:
        posthaste::client<numbered<Bytes>> sink_;
    };

private:
    posthaste::client<numbered<Bytes>> client() {
        return bus_.template client<numbered<Bytes>>("sink");
    }
    static posthaste::bus_options options() {
        posthaste::bus_options o;
        o.threads = Lanes == 0 ? 1 : Lanes;
        return o;
    }
    posthaste::bus bus_{options()};
};

/// The key is made of the message's number.
template <std::uint32_t Keys>
class posthaste_keys {
    struct by_key {
        std::uint32_t producer, key;
    };

public:
    explicit posthaste_keys(std::size_t) {
        bus_.handle<by_key>("sink", posthaste::keyed(&by_key::key).capacity(window),
                            [this](const by_key& m) { handled.one(m); });
    }
    receiver<in_any_order> handled;

    class producer {
    public:
        explicit producer(posthaste_keys& to) : sink_(to.bus_.template client<by_key>("sink")) {}
        void send(const numbered<8>& m) {
            if (!sink_.send(m.producer, m.number % Keys)) fail("refused");
        }

    private:
        posthaste::client<by_key> sink_;
    };

private:
    posthaste::bus bus_{posthaste::bus_options{.threads = 2}};
};

/// One thread, which takes the whole deque each time it holds the lock, and is notified only if it
/// was empty.
template <std::size_t Bytes, bool Ordered = in_order>
class mutex_queue {
public:
    explicit mutex_queue(std::size_t) {}
    ~mutex_queue() {
        {
            const std::lock_guard guard(mutex_);
            ended_ = true;
        }
        changed_.notify_one();
        thread_.join();
    }
    receiver<Ordered> handled;

    class producer {
    public:
        explicit producer(mutex_queue& to) : to_(to) {}
        void send(const numbered<Bytes>& m) {
            bool was_empty = false;
            {
                const std::lock_guard guard(to_.mutex_);
                was_empty = to_.queue_.empty();
                to_.queue_.push_back(m);
            }
            if (was_empty) to_.changed_.notify_one();
        }

    private:
        mutex_queue& to_;
    };

private:
    void consume() {
        std::deque<numbered<Bytes>> taken;
        for (;;) {
            {
                std::unique_lock guard(mutex_);
                changed_.wait(guard, [this] { return ended_ || !queue_.empty(); });
                if (queue_.empty()) return;
                taken.swap(queue_);
            }
            for (const auto& m : taken) handled.one(m);
            taken.clear();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<numbered<Bytes>> queue_;
    bool ended_ = false;
    std::thread thread_{[this] { consume(); }};
};

/// A deque and a mutex, and some threads that take one message at a time.
template <unsigned Threads>
class mutex_work_queue {
public:
    explicit mutex_work_queue(std::size_t) {
        for (unsigned i = 0; i != Threads; ++i) threads_.emplace_back([this] { consume(); });
    }
    ~mutex_work_queue() {
        {
            const std::lock_guard guard(mutex_);
            ended_ = true;
        }
        changed_.notify_all();
        for (auto& t : threads_) t.join();
    }
    receiver<in_any_order> handled;

    class producer {
    public:
        explicit producer(mutex_work_queue& to) : to_(to) {}
        void send(const numbered<8>& m) {
            {
                const std::lock_guard guard(to_.mutex_);
                to_.queue_.push_back(m);
            }
            to_.changed_.notify_one();
        }

    private:
        mutex_work_queue& to_;
    };

private:
    void consume() {
        for (;;) {
            std::unique_lock guard(mutex_);
            changed_.wait(guard, [this] { return ended_ || !queue_.empty(); });
            if (queue_.empty()) return;
            const numbered<8> m = queue_.front();
            queue_.pop_front();
            guard.unlock();
            handled.one(m);
        }
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<numbered<8>> queue_;
    bool ended_ = false;
    std::vector<std::thread> threads_;
};

/// What keeps a key's messages in order without a table of keys: a thread for each half of them,
/// which waits for nobody, but has its keys wait for each other.
template <std::uint32_t Keys>
class mutex_shards {
    using half = mutex_queue<8, in_any_order>;

public:
    explicit mutex_shards(std::size_t producers) : halves_{{half(producers), half(producers)}} {}

    struct counts {
        const mutex_shards& of;
        void wait_for(std::size_t producer, std::uint32_t n) const noexcept {
            while (static_cast<std::int32_t>(n - count(producer)) > 0) std::this_thread::yield();
        }
        std::uint32_t count(std::size_t producer) const noexcept {
            std::uint32_t sum = 0;
            for (const auto& h : of.halves_) sum += h.handled.count(producer);
            return sum;
        }
        std::uint32_t total() const noexcept {
            std::uint32_t sum = 0;
            for (const auto& h : of.halves_) sum += h.handled.total();
            return sum;
        }
    };
    const counts handled{*this};

    class producer {
    public:
        explicit producer(mutex_shards& to) : to_{end(to.halves_[0]), end(to.halves_[1])} {}
        void send(const numbered<8>& m) { to_[m.number % Keys % 2].send(m); }

    private:
        using end = typename half::producer;
        std::array<end, 2> to_;
    };

private:
    std::array<half, 2> halves_;
};

/// moodycamel::ConcurrentQueue as fast as it can be: a token for each producer and for the
/// consumer, 64 messages a dequeue, room made beforehand. Its consumer never sleeps.
template <std::size_t Bytes>
class bare_queue {
public:
    explicit bare_queue(std::size_t producers)
        : queue_(std::size_t{2} * window, producers, 0), thread_([this] { consume(); }) {}
    ~bare_queue() {
        ended_.store(true, std::memory_order_relaxed);
        thread_.join();
    }
    receiver<in_order> handled;

    class producer {
    public:
        explicit producer(bare_queue& to) : to_(to), token_(to.queue_) {}
        void send(const numbered<Bytes>& m) { to_.queue_.enqueue(token_, m); }

    private:
        bare_queue& to_;
        moodycamel::ProducerToken token_;
    };

private:
    void consume() {
        moodycamel::ConsumerToken token(queue_);
        std::array<numbered<Bytes>, 64> some;
        for (unsigned empty = 0; !ended_.load(std::memory_order_relaxed);) {
            const std::size_t n = queue_.try_dequeue_bulk(token, some.data(), some.size());
            for (std::size_t i = 0; i != n; ++i) handled.one(some[i]);
            empty = n == 0 ? empty + 1 : 0;
            if (empty >= 64) std::this_thread::yield();
            else if (n < 48) back_off();
        }
    }
    // A consumer that looks too often takes the producers' cache lines from them; this halves the
    // cost of a message.
    static void back_off() noexcept {
        for (int i = 0; i != 8; ++i) posthaste::detail::pause();
    }

    moodycamel::ConcurrentQueue<numbered<Bytes>> queue_;
    std::atomic<bool> ended_ = false;
    std::thread thread_;
};

// --- to a queue that is full: no window here -----------------------------------------------------

/// The producers are coroutines, on the bus's threads.
template <unsigned Consumers, unsigned Threads>
class posthaste_waits {
public:
    posthaste_waits() {
        bus_.handle<numbered<8>>("sink", mode(), [this](const numbered<8>& m) { handled_.one(m); });
    }
    std::uint64_t operator()(std::uint64_t n) {
        const std::uint32_t before = handled_.total();
        bus_.run([&] { return all(n); });
        for (std::size_t p = 0; p != most_producers; ++p) handled_.wait_for(p, next_[p]);
        return handled_.total() - before;
    }

private:
    static auto mode() {
        constexpr auto full = posthaste::when_full::wait;
        if constexpr (Consumers == 1) return posthaste::serial.capacity(workload::room).full(full);
        else return posthaste::parallel(Consumers).capacity(workload::room).full(full);
    }
    posthaste::task<> all(std::uint64_t n) {
        posthaste::scope producers(co_await posthaste::this_context);
        for (std::uint32_t p = 0; p != most_producers; ++p) {
            producers.spawn([this, p, n] { return produce(p, share_of(n, p, most_producers)); });
        }
        co_await producers.join();
    }
    posthaste::task<> produce(std::uint32_t p, std::uint32_t n) {
        for (std::uint32_t i = 0; i != n; ++i) {
            auto taken = co_await sink_.send_when_room(p, next_[p] + i);
            if (!taken) fail("refused");
        }
        next_[p] += n;
    }
    receiver<Consumers == 1> handled_;
    std::array<std::uint32_t, most_producers> next_{};
    posthaste::bus bus_{posthaste::bus_options{.threads = Threads}};
    const posthaste::client<numbered<8>> sink_ = bus_.client<numbered<8>>("sink");
};

/// Producers and consumers are threads; a second condition variable tells of room.
template <unsigned Consumers>
class bounded_mutex_queue {
public:
    bounded_mutex_queue() {
        for (unsigned i = 0; i != Consumers; ++i) threads_.emplace_back([this] { consume(); });
    }
    ~bounded_mutex_queue() {
        for (unsigned i = 0; i != Consumers; ++i) put({0, ended});
        for (auto& t : threads_) t.join();
    }
    std::uint64_t operator()(std::uint64_t n) {
        const std::uint32_t before = handled_.total();
        producers_.run([&](std::size_t self) {
            std::uint32_t number = handled_.count(self);
            for (std::uint32_t i = share_of(n, self, most_producers); i != 0; --i)
                put({static_cast<std::uint32_t>(self), number++});
            handled_.wait_for(self, number);
        });
        return handled_.total() - before;
    }

private:
    static constexpr std::uint32_t ended = ~0u;
    void put(const numbered<8>& m) {
        std::unique_lock guard(mutex_);
        room_.wait(guard, [this] { return queue_.size() != workload::room; });
        queue_.push_back(m);
        guard.unlock();
        some_.notify_one();
    }
    void consume() {
        for (;;) {
            std::unique_lock guard(mutex_);
            some_.wait(guard, [this] { return !queue_.empty(); });
            const numbered<8> m = queue_.front();
            queue_.pop_front();
            guard.unlock();
            room_.notify_one();
            if (m.number == ended) return;
            handled_.one(m);
        }
    }
    receiver<Consumers == 1> handled_;
    std::mutex mutex_;
    std::condition_variable some_, room_;
    std::deque<numbered<8>> queue_;
    std::vector<std::thread> threads_;
    team producers_{most_producers};
};

template <std::size_t Bytes>
using posthaste_serial = posthaste_endpoint<Bytes, 0>;

template <std::size_t Bytes>
using mutex_serial = mutex_queue<Bytes>;

template <std::uint32_t Keys>
bool by_key() {
    const std::string name = workload::send_keyed(Keys);
    contend<sends<posthaste_keys<Keys>, 8>>(name, "posthaste", std::size_t{2});
    contend<sends<mutex_shards<Keys>, 8>>(name, "mutex, a deque a thread", std::size_t{2});
    return true;
}

template <std::size_t Bytes>
bool in_any(std::size_t producers) {
    const std::string name = workload::send(Bytes, producers, false);
    contend<sends<posthaste_endpoint<Bytes, 1>, Bytes>>(name, "posthaste", producers);
    contend<sends<posthaste_endpoint<Bytes, 2>, Bytes>>(name, "posthaste, 2 at a time", producers);
    contend<sends<bare_queue<Bytes>, Bytes>>(name, "floor: concurrentqueue", producers);
    return true;
}

[[maybe_unused]] const bool contenders[] = {
    contend_by_sending<posthaste_serial>("posthaste"),
    contend_by_sending<bare_queue>("floor: concurrentqueue"),
    contend_by_sending<mutex_serial>("mutex, deque"),
    contend<posthaste_waits<1, 2>>(workload::send_waiting, "posthaste"),
    contend<posthaste_waits<1, 1>>(workload::send_waiting, "posthaste, one thread"),
    contend<bounded_mutex_queue<1>>(workload::send_waiting, "mutex, deque"),
    contend<posthaste_waits<4, 2>>(workload::send_shared_waiting, "posthaste"),
    contend<bounded_mutex_queue<4>>(workload::send_shared_waiting, "mutex, deque"),
    in_any<8>(1),
    in_any<8>(2),
    in_any<8>(4),
    in_any<64>(1),
    in_any<64>(4),
    contend<sends<posthaste_endpoint<8, 4>, 8>>(workload::send_shared, "posthaste", most_producers),
    contend<sends<mutex_work_queue<4>, 8>>(workload::send_shared, "mutex, deque", most_producers),
    by_key<1>(),
    by_key<100>(),
    by_key<1'000'000>(),
};

}  // namespace
