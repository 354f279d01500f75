// What it costs when there is much of it.  SPDX-License-Identifier: BSL-1.0
#include "measure.hpp"
#include "open_load.hpp"
#include "posthaste_call.hpp"
#include "workloads.hpp"

#include <posthaste/posthaste.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__GLIBC__)
#  include <malloc.h>
#endif

namespace {

using namespace std::chrono_literals;

// --- ring ----------------------------------------------------------------------------------------

class posthaste_ring {
public:
    posthaste_ring() {
        for (std::uint64_t i = 0; i != workload::ring_members; ++i) {
            const std::string name = std::to_string(i);
            clients_.push_back(bus_.client<hop>(name));
            bus_.handle<hop>(name, [this, i](hop h) { pass(i, h); });
        }
    }
    std::uint64_t operator()(std::uint64_t n) {
        hops_ = 0;
        posthaste::sync_wait(loop_, go_round(n));
        return hops_;
    }

private:
    struct hop {
        posthaste::event* end;
        std::uint64_t left;
    };
    void pass(std::uint64_t i, const hop& h) {
        ++hops_;
        if (h.left == 1) return h.end->set();
        const std::uint64_t next = i + 1 == clients_.size() ? 0 : i + 1;
        if (!clients_[next].send(h.end, h.left - 1)) fail("refused");
    }
    posthaste::task<> go_round(std::uint64_t n) {
        posthaste::event end;
        if (!clients_.front().send(&end, n)) fail("refused");
        if (!co_await end.wait()) fail("cancelled");
    }
    posthaste::run_loop loop_;
    posthaste::bus bus_{loop_};
    std::deque<posthaste::client<hop>> clients_;
    std::uint64_t hops_ = 0;
};

// --- as endpoints grow ---------------------------------------------------------------------------

/// One of so many, another one each time.
class calls_among {
public:
    explicit calls_among(std::size_t endpoints) {
        clients_.reserve(endpoints);
        for (std::size_t i = 0; i != endpoints; ++i) {
            const std::string name = std::to_string(i);
            bus_.handle<add_one>(name, plain);
            clients_.push_back(bus_.client<add_one>(name));
        }
    }
    std::uint64_t operator()(std::uint64_t n) { return posthaste::sync_wait(loop_, call_each(n)); }

private:
    posthaste::task<std::uint64_t> call_each(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) {
            at_ = (at_ + 7919) % clients_.size();  // a prime: it comes to each
            auto answer = co_await clients_[at_].call(sum);
            if (!answer) fail("no answer");
            sum = *answer;
        }
        co_return sum;
    }
    posthaste::run_loop loop_;
    posthaste::bus bus_{loop_};
    std::vector<adder> clients_;
    std::size_t at_ = 0;
};

struct calls_among_a_million : calls_among {
    static constexpr std::int64_t turns = 200'000;
    calls_among_a_million() : calls_among(1'000'000) {}
};

/// With its bus; the destruction is not counted.
class make_endpoints {
public:
    std::uint64_t operator()(std::uint64_t n) {
        for (std::uint64_t i = 0; i != n; ++i) bus_.handle<add_one>(std::to_string(made_++), plain);
        return n;
    }

private:
    posthaste::run_loop loop_;
    posthaste::bus bus_{loop_};
    std::uint64_t made_ = 0;
};

// --- idle ones -----------------------------------------------------------------------------------

/// What the program has of malloc(), with what that keeps for itself; 0 where nobody can say.
std::size_t bytes_in_use() {
#if defined(__GLIBC__)
    const auto all = ::mallinfo2();
    return all.uordblks + all.hblkhd;
#else
    return 0;
#endif
}

/// `member` makes the i-th, on a bus.
template <typename Member>
void measure_idle(benchmark::State& s, const Member& member) {
    posthaste::run_loop loop;
    std::optional<posthaste::bus> bus(std::in_place, loop);
    for (std::size_t i = 0; i != 1000; ++i) member.make(*bus, workload::idle_members + i);
    bus.emplace(loop);
    const std::size_t before = bytes_in_use();
    const auto begin = steady::now();
    for (std::size_t i = 0; i != workload::idle_members; ++i) member.make(*bus, i);
    const auto made = steady::now();
    const std::size_t bytes = bytes_in_use() - before;
    const auto end_begins = steady::now();
    bus.reset();
    const std::chrono::duration<double, std::nano> both =
        (made - begin) + (steady::now() - end_begins);
    constexpr auto n = static_cast<double>(workload::idle_members);
    if (bytes != 0)
        s.counters["in bytes"] =
            static_cast<double>(bytes) / n - static_cast<double>(member.its_own);
    s.counters["in ns, made and destroyed"] = both.count() / n;
}

struct note {
    std::uint64_t key;
};
constexpr auto ignore = [](const note&) {};
constexpr std::size_t handler_bytes =
    sizeof(posthaste::detail::handler_of<std::remove_const_t<decltype(ignore)>, note>);

template <typename Mode>
class idle_endpoint {
public:
    explicit idle_endpoint(Mode m) : mode_(m) {}
    void operator()(benchmark::State& s) const { measure_idle(s, *this); }
    void make(posthaste::bus& b, std::size_t i) const {
        b.handle<note>(std::to_string(i), mode_, ignore);
    }
    static constexpr std::size_t its_own = handler_bytes + sizeof(std::string);

private:
    Mode mode_;
};

/// What each listens to: its pattern is what it is called, too.
std::string one_topic(std::size_t) { return "topic"; }
std::string its_own_topic(std::size_t i) { return std::to_string(i); }
std::string all_below_its_own(std::size_t i) { return std::to_string(i) + ".>"; }

template <typename Mode>
class idle_subscriber {
public:
    idle_subscriber(Mode m, std::string (*pattern)(std::size_t)) : mode_(m), pattern_(pattern) {}
    void operator()(benchmark::State& s) const { measure_idle(s, *this); }
    void make(posthaste::bus& b, std::size_t i) const {
        b.subscribe<note>(pattern_(i), mode_, ignore).keep();
    }
    static constexpr std::size_t its_own = handler_bytes + sizeof(std::string);

private:
    Mode mode_;
    std::string (*pattern_)(std::size_t);
};

template <typename Mode>
bool contend_idle(const std::string& name, Mode m) {
    using subscriber = idle_subscriber<Mode>;
    contend_under_load<idle_endpoint<Mode>>(workload::idle("endpoint"), name, m);
    contend_under_load<subscriber>(workload::idle("subscriber"), name, m, one_topic);
    contend_under_load<subscriber>(workload::idle("subscriber of its own topic"), name, m,
                                   its_own_topic);
    return contend_under_load<subscriber>(workload::idle("subscriber of all below its own topic"),
                                          name, m, all_below_its_own);
}

// --- as timers grow ------------------------------------------------------------------------------

adder impatient(posthaste::bus& b) {
    b.handle<add_one>("adder", suspending);
    return b.client<add_one>("adder", posthaste::deadline(300ms));
}

/// Calls that arm a timer each, while so many others are armed.
class calls_among_timers {
public:
    explicit calls_among_timers(std::size_t timers) {
        for (std::size_t i = 0; i != timers; ++i) {
            timers_.emplace_back([](posthaste::timer&) noexcept {});
            loop_.arm(timers_.back(), loop_.now() + 1min + i % 3'600'000 * 1ms);
        }
    }
    ~calls_among_timers() {
        for (auto& t : timers_) loop_.disarm(t);
    }
    std::uint64_t operator()(std::uint64_t n) {
        return posthaste::sync_wait(loop_, call_in_turn(adder_, n));
    }

private:
    posthaste::run_loop loop_;
    std::deque<posthaste::timer> timers_;
    posthaste::bus bus_{loop_};
    const adder adder_ = impatient(bus_);
};

[[maybe_unused]] const bool contenders[] = {
    contend<posthaste_ring>(workload::ring, "posthaste"),

    contend<calls_among>(workload::among_endpoints, "posthaste", 1u),
    contend<calls_among>(workload::among_endpoints, "posthaste, of 1,000", 1'000u),
    contend<calls_among>(workload::among_endpoints, "posthaste, of 100,000", 100'000u),
    contend<calls_among_a_million>(workload::among_endpoints, "posthaste, of 1,000,000"),
    contend<make_endpoints>(workload::make_endpoint, "posthaste"),

    contend_idle("posthaste", posthaste::serial),
    contend_idle("posthaste, parallel(4)", posthaste::parallel(4)),
    contend_idle("posthaste, keyed", posthaste::keyed(&note::key)),

    contend<calls_among_timers>(workload::among_timers, "posthaste", 0u),
    contend<calls_among_timers>(workload::among_timers, "posthaste, among 1,000", 1'000u),
    contend<calls_among_timers>(workload::among_timers, "posthaste, among 1,000,000", 1'000'000u),
};

}  // namespace
