// What it costs to tell many.  SPDX-License-Identifier: BSL-1.0
//
// One publisher; each subscriber counts the messages, and sees that they come in order.
#include "audience.hpp"
#include "measure.hpp"
#include "workloads.hpp"

#include <posthaste/posthaste.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

/// The publisher is a coroutine on the bus, as the handlers are.
template <std::size_t Subscribers, unsigned Threads>
class posthaste_bus {
public:
    static constexpr std::uint64_t batch = Subscribers;
    posthaste_bus() {
        for (std::size_t i = 0; i != Subscribers; ++i) {
            bus_.subscribe<event>("events.*", posthaste::serial.capacity(capacity),
                                  [this, i](const event& e) { heard_.one(i, e); })
                .keep();
        }
    }
    std::uint64_t operator()(std::uint64_t n) {
        bus_.run([&] { return publish(n); });
        return n * Subscribers;
    }

private:
    posthaste::task<> publish(std::uint64_t n) {
        const std::uint64_t last = next_ + n;
        while (next_ != last) {
            while (!heard_.is_ready_for(next_)) co_await posthaste::yield();
            if (to_.publish(next_++).accepted != Subscribers) fail("refused");
        }
        while (heard_.all_heard() != last) co_await posthaste::yield();
    }
    static constexpr std::size_t capacity = 2 * audience<Subscribers>::window;
    audience<Subscribers> heard_;
    std::uint64_t next_ = 0;
    posthaste::bus bus_{posthaste::bus_options{.threads = Threads}};
    const posthaste::publisher<event> to_ = bus_.publisher<event>("events.happened");
};

/// A deque for each subscriber under one mutex; some threads take from theirs all there is at once.
template <std::size_t Subscribers, unsigned Threads>
class mutex_deques {
public:
    static constexpr std::uint64_t batch = Subscribers;
    mutex_deques() : queues_(Subscribers) {
        for (unsigned t = 0; t != Threads; ++t) threads_.emplace_back([this, t] { consume(t); });
    }
    ~mutex_deques() {
        {
            const std::lock_guard guard(mutex_);
            ended_ = true;
        }
        changed_.notify_all();
        for (auto& t : threads_) t.join();
    }
    std::uint64_t operator()(std::uint64_t n) {
        const std::uint64_t last = next_ + n;
        while (next_ != last) {
            while (!heard_.is_ready_for(next_)) std::this_thread::yield();
            {
                const std::lock_guard guard(mutex_);
                const auto message = std::make_shared<const event>(event{next_++});
                for (auto& q : queues_) q.push_back(message);
            }
            changed_.notify_all();
        }
        while (heard_.all_heard() != last) std::this_thread::yield();
        return n * Subscribers;
    }

private:
    using queue = std::deque<std::shared_ptr<const event>>;
    void consume(unsigned self) {
        std::vector<queue> taken(Subscribers);
        for (;;) {
            {
                std::unique_lock guard(mutex_);
                changed_.wait(guard, [&] { return ended_ || !queues_[self].empty(); });
                if (queues_[self].empty()) return;
                for (std::size_t i = self; i < Subscribers; i += Threads) taken[i].swap(queues_[i]);
            }
            for (std::size_t i = self; i < Subscribers; i += Threads) {
                for (const auto& m : taken[i]) heard_.one(i, *m);
                taken[i].clear();
            }
        }
    }
    audience<Subscribers> heard_;
    std::uint64_t next_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<queue> queues_;
    bool ended_ = false;
    std::vector<std::thread> threads_;
};

/// No queue: each subscriber keeps the publisher waiting.
template <std::size_t Subscribers>
class functions {
public:
    static constexpr std::uint64_t batch = Subscribers;
    functions() {
        for (std::size_t i = 0; i != Subscribers; ++i)
            subscribers_.emplace_back([this, i](const event& e) { heard_.one(i, e); });
    }
    std::uint64_t operator()(std::uint64_t n) {
        for (std::uint64_t i = 0; i != n; ++i) {
            const std::lock_guard guard(mutex_);
            const event e{next_++};
            for (const auto& f : subscribers_) f(e);
        }
        return n * Subscribers;
    }

private:
    audience<Subscribers> heard_;
    std::uint64_t next_ = 0;
    std::mutex mutex_;
    std::vector<std::function<void(const event&)>> subscribers_;
};

template <std::size_t Subscribers>
bool to() {
    const std::string name = workload::publish(Subscribers);
    contend<posthaste_bus<Subscribers, 1>>(name, "posthaste");
    contend<posthaste_bus<Subscribers, 2>>(name, "posthaste, 2 threads");
    contend<mutex_deques<Subscribers, 1>>(name, "mutex, deques");
    contend<mutex_deques<Subscribers, 2>>(name, "mutex, deques, 2 threads");
    contend<functions<Subscribers>>(name, "floor: functions called in place");
    return true;
}
[[maybe_unused]] const bool contenders[] = {to<8>(), to<64>()};

}  // namespace
