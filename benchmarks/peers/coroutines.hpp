// The workloads for any library of coroutines.  SPDX-License-Identifier: BSL-1.0
//
// A library is described by a struct `Lib` with
//
//     task<T>                 its coroutine that starts when awaited
//     executor(threads)       its own; run(task<T>) waits for it on the calling thread and gives T;
//                             start(task<void>), post(function), `co_await yield()`
//     both(a, b), all(vector&) to await several at once; value(x): one of the values they give
//     tasks                   spawn(task<>) from a coroutine; `co_await join()`
//
// and, if it has a queue that a coroutine can wait on,
//
//     queue<T>                put(T), to be awaited if put_waits; put_from_thread(T); get(), to be
//                             awaited, gives a T* or the like, null when closed; close(), a task
//     small_queue<T>          the same, where there are many of them
//     signal                  set(), and `co_await wait()` until then; once only
//
// There, an endpoint is a coroutine that takes requests from a queue; the reply goes into the
// caller's frame. There is no deadline, no cancellation, no account, no bound.
#pragma once

#include "measure.hpp"
#include "wake.hpp"
#include "window.hpp"
#include "workloads.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace coroutines {

// --- tasks ---------------------------------------------------------------------------------------

template <typename Lib>
class awaits {
public:
    std::uint64_t operator()(std::uint64_t n) { return on_.run(again_and_again(n)); }

private:
    using task = typename Lib::template task<std::uint64_t>;
    static task add_one(std::uint64_t to) { co_return to + 1; }
    static task again_and_again(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) sum = co_await add_one(sum);
        co_return sum;
    }
    typename Lib::executor on_{1};
};

template <typename Lib>
class awaits_8 {
public:
    std::uint64_t operator()(std::uint64_t n) { return on_.run(again_and_again(n)); }

private:
    using task = typename Lib::template task<std::uint64_t>;
    static task add_one(std::uint64_t to) { co_return to + 1; }
    static task again_and_again(std::uint64_t n) {
        std::uint64_t done = 0;
        for (std::uint64_t i = 0; i != n; ++i) {
            std::vector<task> tasks;
            tasks.reserve(8);
            for (int t = 0; t != 8; ++t) tasks.push_back(add_one(i));
            auto all = co_await Lib::all(tasks);
            std::uint64_t right = 0;
            for (auto& v : all) right += Lib::value(v) == i + 1;
            done += right == 8;
        }
        co_return done;
    }
    typename Lib::executor on_{1};
};

template <typename Lib>
class fib {
public:
    static constexpr std::uint64_t batch = workload::fib_tasks;
    std::uint64_t operator()(std::uint64_t turns) {
        std::uint64_t tasks = 0;
        for (std::uint64_t i = 0; i != turns; ++i)
            tasks += on_.run(term(workload::fib_of)) == workload::fib_value ? batch : 0;
        return tasks;
    }

private:
    static typename Lib::template task<std::uint64_t> term(unsigned n) {
        if (n < 2) co_return n;
        auto both = co_await Lib::both(term(n - 1), term(n - 2));
        co_return Lib::value(std::get<0>(both)) + Lib::value(std::get<1>(both));
    }
    typename Lib::executor on_{2};
};

template <typename Lib>
class skynet {
public:
    static constexpr std::uint64_t batch = workload::skynet_leaves;
    std::uint64_t operator()(std::uint64_t turns) {
        std::uint64_t leaves = 0;
        for (std::uint64_t i = 0; i != turns; ++i)
            leaves += on_.run(tree(0, batch)) == batch * (batch - 1) / 2 ? batch : 0;
        return leaves;
    }

private:
    using task = typename Lib::template task<std::uint64_t>;
    static task tree(std::uint64_t first, std::uint64_t leaves) {
        if (leaves == 1) co_return first;
        std::vector<task> parts;
        parts.reserve(10);
        for (std::uint64_t i = 0; i != 10; ++i)
            parts.push_back(tree(first + i * (leaves / 10), leaves / 10));
        auto sums = co_await Lib::all(parts);
        std::uint64_t sum = 0;
        for (auto& s : sums) sum += Lib::value(s);
        co_return sum;
    }
    typename Lib::executor on_{2};
};

template <typename Lib, unsigned Threads>
class spawns {
public:
    static constexpr std::uint64_t batch = workload::spawned;
    std::uint64_t operator()(std::uint64_t turns) {
        ended_ = 0;
        for (std::uint64_t i = 0; i != turns; ++i) on_.run(all());
        return ended_;
    }

private:
    typename Lib::template task<void> all() {
        typename Lib::tasks tasks(on_);
        for (std::uint64_t i = 0; i != batch; ++i) tasks.spawn(count());
        co_await tasks.join();
    }
    typename Lib::template task<void> count() {
        ended_.fetch_add(1, std::memory_order_relaxed);
        co_return;
    }
    typename Lib::executor on_{Threads};
    std::atomic<std::uint64_t> ended_ = 0;
};

/// What a library without a queue has.
template <typename Lib>
bool contend_with_tasks(const std::string& name) {
    contend<awaits<Lib>>(workload::await_task, name);
    contend<awaits_8<Lib>>(workload::await_8, name);
    contend<spawns<Lib, 1>>(workload::spawn_1, name);
    contend<spawns<Lib, 2>>(workload::spawn_2, name);
    contend<skynet<Lib>>(workload::skynet, name);
    contend<fib<Lib>>(workload::fib, name);
    contend_singly<wakes<typename Lib::executor>>(workload::wake, name);
    return true;
}

// --- a queue and a reply -------------------------------------------------------------------------

template <typename Lib>
struct request {
    std::uint64_t to = 0;
    std::uint64_t* answer = nullptr;
    typename Lib::signal* answered = nullptr;  // nullptr: nobody waits
};
template <typename Lib>
using requests = typename Lib::template queue<request<Lib>>;

template <typename Lib>
typename Lib::template task<std::uint64_t> ask_in_turn(requests<Lib>& q, std::uint64_t n,
                                                       bool behind_another) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i != n; ++i) {
        typename Lib::signal answered;
        if constexpr (Lib::put_waits) {
            if (behind_another) co_await q.put({sum, nullptr, nullptr});
            co_await q.put({sum, &sum, &answered});
        } else {
            if (behind_another) q.put({sum, nullptr, nullptr});
            q.put({sum, &sum, &answered});
        }
        co_await answered.wait();
    }
    co_return sum;
}

/// One that answers, until its queue is closed.
template <typename Lib>
class endpoint {
public:
    explicit endpoint(typename Lib::executor& on, endpoint* next = nullptr, bool yields = false)
        : on_(on) {
        on.start(serve(next, yields));
    }
    endpoint(const endpoint&) = delete;
    ~endpoint() {
        on_.run(queue.close());
        while (!ended_.load(std::memory_order_acquire)) std::this_thread::yield();
    }
    requests<Lib> queue;

private:
    typename Lib::template task<void> serve(endpoint* next, bool yields) {
        for (;;) {
            auto r = co_await queue.get();
            if (!r) break;
            std::uint64_t value = r->to + 1;
            if (next) {
                typename Lib::signal answered;
                if constexpr (Lib::put_waits) co_await next->queue.put({r->to, &value, &answered});
                else next->queue.put({r->to, &value, &answered});
                co_await answered.wait();
            }
            if (yields) co_await on_.yield();
            if (!r->answered) continue;
            *r->answer = value;
            r->answered->set();
        }
        ended_.store(true, std::memory_order_release);
    }
    typename Lib::executor& on_;
    std::atomic<bool> ended_ = false;
};

enum class behind { nothing, another };

template <typename Lib, behind Behind = behind::nothing, bool Yields = false>
class calls {
public:
    std::uint64_t operator()(std::uint64_t n) {
        return on_.run(ask_in_turn<Lib>(to_.queue, n, Behind == behind::another));
    }

private:
    typename Lib::executor on_{1};
    endpoint<Lib> to_{on_, nullptr, Yields};
};

template <typename Lib>
class nested_calls {
public:
    nested_calls() {
        for (int i = 0; i != 5; ++i) chain_.emplace_back(on_, i ? &chain_.back() : nullptr);
    }
    ~nested_calls() {
        while (!chain_.empty()) chain_.pop_back();
    }
    std::uint64_t operator()(std::uint64_t n) {
        return on_.run(ask_in_turn<Lib>(chain_.back().queue, n, false));
    }

private:
    typename Lib::executor on_{1};
    std::deque<endpoint<Lib>> chain_;
};

template <typename Lib>
class calls_across {
public:
    std::uint64_t operator()(std::uint64_t n) {
        return here_.run(ask_in_turn<Lib>(to_.queue, n, false));
    }

private:
    typename Lib::executor here_{1, Lib::spinning}, there_{1, Lib::spinning};
    endpoint<Lib> to_{there_};
};

/// Each of so many callers makes n calls.
template <typename Lib, std::size_t Callers, unsigned Threads>
class callers {
public:
    static constexpr std::uint64_t batch = Callers == Threads ? 1 : Callers;
    std::uint64_t operator()(std::uint64_t n) {
        const std::uint64_t done = on_.run(all(n));
        return done / (Callers / batch);
    }

private:
    typename Lib::template task<std::uint64_t> all(std::uint64_t n) {
        std::vector<typename Lib::template task<std::uint64_t>> tasks;
        for (std::size_t i = 0; i != Callers; ++i)
            tasks.push_back(ask_in_turn<Lib>(to_.queue, n, false));
        auto sums = co_await Lib::all(tasks);
        std::uint64_t sum = 0;
        for (auto& s : sums) sum += Lib::value(s);
        co_return sum;
    }
    typename Lib::executor on_{Threads};
    endpoint<Lib> to_{on_};
};

// --- messages without a reply --------------------------------------------------------------------

template <typename Lib, std::size_t Bytes>
class sink {
public:
    explicit sink(std::size_t) { on_.start(serve()); }
    ~sink() {
        on_.run(queue_.close());
        while (!ended_.load(std::memory_order_acquire)) std::this_thread::yield();
    }
    receiver<in_order> handled;

    class producer {
    public:
        explicit producer(sink& to) : to_(to) {}
        void send(const numbered<Bytes>& m) { to_.queue_.put_from_thread(m); }

    private:
        sink& to_;
    };

private:
    typename Lib::template task<void> serve() {
        for (;;) {
            auto m = co_await queue_.get();
            if (!m) break;
            handled.one(*m);
        }
        ended_.store(true, std::memory_order_release);
    }
    std::atomic<bool> ended_ = false;
    typename Lib::executor on_{1};
    typename Lib::template queue<numbered<Bytes>> queue_;
};

template <typename Lib>
class ring {
public:
    ring() {
        for (std::uint64_t i = 0; i != workload::ring_members; ++i) members_.emplace_back();
        for (std::uint64_t i = 0; i != members_.size(); ++i)
            on_.start(serve(members_[i], members_[(i + 1) % members_.size()]));
    }
    ~ring() {
        for (auto& m : members_) on_.run(m.close());
        while (running_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
    }
    std::uint64_t operator()(std::uint64_t n) { return on_.run(go_round(n)); }

private:
    struct hop {
        std::uint64_t left = 0;
        typename Lib::signal* end = nullptr;
    };
    using member = typename Lib::template small_queue<hop>;
    typename Lib::template task<void> serve(member& self, member& next) {
        for (;;) {
            auto h = co_await self.get();
            if (!h) break;
            ++hops_;
            if (h->left == 1) h->end->set();
            else if constexpr (Lib::put_waits) co_await next.put({h->left - 1, h->end});
            else next.put({h->left - 1, h->end});
        }
        running_.fetch_sub(1, std::memory_order_release);
    }
    typename Lib::template task<std::uint64_t> go_round(std::uint64_t n) {
        typename Lib::signal end;
        hops_ = 0;
        if constexpr (Lib::put_waits) co_await members_.front().put({n, &end});
        else members_.front().put({n, &end});
        co_await end.wait();
        co_return hops_;
    }
    std::atomic<std::uint64_t> running_ = workload::ring_members;
    std::uint64_t hops_ = 0;
    typename Lib::executor on_{1};
    std::deque<member> members_;
};

template <typename Lib>
struct sink_of {
    template <std::size_t Bytes>
    using type = sink<Lib, Bytes>;
};

/// What one that has a queue can do besides.
template <typename Lib>
bool contend_with_queues(const std::string& name) {
    contend<calls<Lib>>(workload::call_idle, name);
    contend<calls<Lib, behind::another>>(workload::call_busy, name);
    contend<calls<Lib, behind::nothing, true>>(workload::call_suspending, name);
    contend<nested_calls<Lib>>(workload::call_nested, name);
    contend<calls_across<Lib>>(workload::call_awake, name);
    contend<callers<Lib, 2, 2>>(workload::call_contended, name);
    contend<callers<Lib, 64, 1>>(workload::callers_1, name);
    contend<callers<Lib, 64, 2>>(workload::callers_2, name);
    contend_by_sending<sink_of<Lib>::template type>(name);
    contend<ring<Lib>>(workload::ring, name);
    return true;
}

}  // namespace coroutines
