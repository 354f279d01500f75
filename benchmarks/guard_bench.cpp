// What becomes of callers in trouble.  SPDX-License-Identifier: BSL-1.0
#include "measure.hpp"
#include "open_load.hpp"
#include "posthaste_call.hpp"
#include "workloads.hpp"

#include <posthaste/posthaste.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using posthaste::task;

constexpr auto slow_takes = 10ms;

// --- slow and fast requests on two threads -------------------------------------------------------

/// 900 slow ones and 100 fast ones a second.
class mixed_load {
public:
    static bool is_fast(std::size_t i) noexcept { return i % 10 == 5; }

    void run(const std::function<void(std::size_t)>& arrives) {
        times_.run([&](std::size_t i) {
            if (is_fast(i)) late_.push_back(steady::now() - times_.due(i));
            arrives(i);
        });
    }
    void done(std::size_t i) noexcept { done_[i].store(steady::now(), std::memory_order_release); }
    std::size_t count() const noexcept { return times_.count(); }

    /// What was not done by the end is counted as if it had been just then.
    void tell(benchmark::State& s) {
        std::vector<milliseconds> fast, slow;
        std::size_t slow_done = 0;
        for (std::size_t i = 0; i != times_.count(); ++i) {
            const auto done = done_[i].load(std::memory_order_acquire);
            const bool in_time = done != steady::time_point() && done <= times_.end();
            const milliseconds took = (in_time ? done : times_.end()) - times_.due(i);
            (is_fast(i) ? fast : slow).push_back(took);
            if (!is_fast(i)) slow_done += in_time;
        }
        const std::chrono::duration<double> length = times_.end() - times_.due(0);
        s.counters["in slow done/s"] = static_cast<double>(slow_done) / length.count();
        s.counters["in ms, p99 of fast"] = percentile_99(fast);
        s.counters["in ms, p99 late before anybody had it"] = percentile_99(late_);
        s.counters["in ms, p99 of slow"] = percentile_99(slow);
    }

private:
    schedule times_{1'000, load_time(4s)};
    std::vector<std::atomic<steady::time_point>> done_{times_.count()};
    std::vector<milliseconds> late_;  // of the fast ones, what the machine alone is to blame for
};

struct fetch {};  // the slow one
struct arrival {
    std::size_t number;
};

/// The handler of a slow request suspends.
class suspends {
public:
    suspends() {
        bus_.handle<fetch>("slow", posthaste::parallel(64), [](fetch) -> task<> {
            static_cast<void>(co_await posthaste::sleep_for(slow_takes));
        });
        bus_.handle<fetch>("fast", posthaste::parallel(64), [](fetch) {});
        bus_.handle<arrival>("gateway", posthaste::parallel(1024),
                             [this](arrival a) { return answer(a); });
    }
    void operator()(benchmark::State& s) {
        const auto gateway = bus_.client<arrival>("gateway");
        load_.run([&](std::size_t i) {
            if (!gateway.send(i)) fail("refused");
        });
        static_cast<void>(bus_.drain(1s));
        load_.tell(s);
    }

private:
    task<> answer(arrival a) {
        const auto& to = mixed_load::is_fast(a.number) ? fast_ : slow_;
        const auto done = co_await to.call();
        if (!done) fail("no answer");
        load_.done(a.number);
    }
    mixed_load load_;
    posthaste::bus bus_{on_threads(2)};
    const posthaste::client<fetch> slow_ = bus_.client<fetch>("slow"),
                                   fast_ = bus_.client<fetch>("fast");
};

/// A thread is held by each request, as long as it takes.
class blocks {
public:
    blocks() {
        for (auto& t : threads_) t = std::thread([this] { work(); });
    }
    ~blocks() {
        {
            const std::lock_guard guard(mutex_);
            queue_.clear();
            over_ = true;
        }
        changed_.notify_all();
        for (auto& t : threads_) t.join();
    }
    void operator()(benchmark::State& s) {
        load_.run([this](std::size_t i) {
            {
                const std::lock_guard guard(mutex_);
                queue_.push_back(i);
            }
            changed_.notify_one();
        });
        load_.tell(s);
    }

private:
    void work() {
        for (;;) {
            std::unique_lock guard(mutex_);
            changed_.wait(guard, [this] { return over_ || !queue_.empty(); });
            if (queue_.empty()) return;
            const std::size_t i = queue_.front();
            queue_.pop_front();
            guard.unlock();
            if (!mixed_load::is_fast(i)) std::this_thread::sleep_for(slow_takes);
            load_.done(i);
        }
    }
    mixed_load load_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::size_t> queue_;
    bool over_ = false;
    std::thread threads_[2];
};

// --- five times as many calls as can be answered -------------------------------------------------

/// `co_await work_for(d);` goes on after that time, whoever may have given up meanwhile: the work
/// is done by somebody who cannot be told.
class work_for {
public:
    static constexpr bool keeps_home = true;
    explicit work_for(posthaste::duration d) noexcept : length_(d) {}
    bool await_ready() const noexcept { return false; }
    template <posthaste::homed Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        alarm_.worker = &h.promise();
        posthaste::home& at = *h.promise().at;
        at.arm(alarm_, at.now() + length_);
    }
    void await_resume() noexcept { alarm_.worker->at->disarm(alarm_); }

private:
    struct alarm : posthaste::timer {
        alarm() noexcept
            : timer([](timer& t) noexcept { static_cast<alarm&>(t).worker->wake(); }) {}
        posthaste::frame* worker = nullptr;
    };
    posthaste::duration length_;
    alarm alarm_;
};

constexpr std::size_t at_once = 8;
constexpr auto patience = 100ms;  // of a caller
constexpr std::size_t capacity = at_once * (1s / slow_takes);  // of the callee, a second

/// The callers give up after 100 ms; `Stack` makes the policies of their client.
template <typename Stack>
class overloaded {
public:
    explicit overloaded(Stack stack) : client_(stack(bus_)) {
        bus_.handle<fetch>("callee", posthaste::parallel(at_once),
                           [](fetch) -> task<> { co_await work_for(slow_takes); });
        bus_.handle<arrival>("gateway", posthaste::parallel(8192).capacity(8192),
                             [this](arrival a) { return answer(a); });
    }
    void operator()(benchmark::State& s) {
        const double most = bus_.run([this] { return reachable(); });
        const auto gateway = bus_.client<arrival>("gateway");
        times_.run([&](std::size_t i) {
            if (!gateway.send(i)) fail("refused");
        });
        static_cast<void>(bus_.drain(1s));
        tell(s, most);
    }

private:
    enum class end : unsigned char { none, good, refused, late };
    struct request {
        end how = end::none;
        milliseconds took{};
        steady::time_point done;
    };

    /// Replies a second, where there are always as many callers as can be served.
    task<double> reachable() {
        const auto begin = steady::now();
        const auto until = begin + load_time(500ms);
        std::size_t n = 0;
        const auto asks = bus_.client<fetch>("callee");
        const auto caller = [&]() -> task<std::size_t> {
            std::size_t mine = 0;
            for (; steady::now() < until; ++mine) {
                const auto r = co_await asks.call();
                if (!r) fail("no answer");
            }
            co_return mine;
        };
        std::vector<task<std::size_t>> callers;
        for (std::size_t i = 0; i != at_once; ++i) callers.push_back(caller());
        const auto counts = co_await posthaste::when_all(std::move(callers));
        for (const std::size_t c : counts) n += c;
        co_return static_cast<double>(n) /
            std::chrono::duration<double>(steady::now() - begin).count();
    }
    task<> answer(arrival a) {
        const auto begin = steady::now();
        const auto r = co_await client_.call();
        request& mine = requests_[a.number];
        mine.done = steady::now();
        mine.took = mine.done - begin;
        if (r) mine.how = end::good;
        else if (r.error().code() == posthaste::code::overloaded) mine.how = end::refused;
        else mine.how = end::late;
    }
    void tell(benchmark::State& s, double most) {
        std::vector<milliseconds> good, refused;
        std::size_t late = 0, in_the_time = 0;
        for (const request& r : requests_) {
            if (r.how == end::good) {
                good.push_back(r.took);
                in_the_time += r.done <= times_.end();
            } else if (r.how == end::refused) refused.push_back(r.took);
            else ++late;
        }
        const std::chrono::duration<double> length = times_.end() - times_.due(0);
        const auto accepted = static_cast<double>(good.size() + late);
        s.counters["in % of capacity"] =
            100 * static_cast<double>(in_the_time) / length.count() / most;
        s.counters["in % of accepted, in time"] = 100 * static_cast<double>(good.size()) / accepted;
        s.counters["in ms, p99 of good"] = percentile_99(good);
        s.counters["in ms, p99 of refused"] = percentile_99(refused);
    }

    posthaste::bus bus_{on_threads(2)};
    const posthaste::client<fetch> client_;
    schedule times_{5 * capacity, load_time(3s)};
    std::vector<request> requests_{times_.count()};
};

template <typename Stack>
bool contend_overloaded(const std::string& name, Stack stack) {
    return contend_under_load<overloaded<Stack>>(workload::overload, name, stack);
}

[[maybe_unused]] const bool contenders[] = {
    contend_under_load<suspends>(workload::slow_callee, "posthaste"),
    contend_under_load<blocks>(workload::slow_callee, "2 threads that block"),

    contend_overloaded("posthaste",
                       [](posthaste::bus& b) {
                           return b.client<fetch>("callee", posthaste::deadline(patience) |
                                                                posthaste::adaptive_limit());
                       }),
    contend_overloaded("posthaste, limit(16)",
                       [](posthaste::bus& b) {
                           return b.client<fetch>("callee", posthaste::deadline(patience) |
                                                                posthaste::limit(2 * at_once));
                       }),
    contend_overloaded("posthaste, shed()",
                       [](posthaste::bus& b) {
                           return b.client<fetch>(
                               "callee", posthaste::deadline(patience) | posthaste::shed());
                       }),
    contend_overloaded(
        "posthaste, a deadline alone",
        [](posthaste::bus& b) { return b.client<fetch>("callee", posthaste::deadline(patience)); }),
};

}  // namespace
