// Two pools, and all that meets in them: posts from one to the other, stealing, yields, timers
// against cancels, a pool that goes while another one's worker still wakes it.
#include "watchdog.hpp"

#include <posthaste/run/scope.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/run/when_any.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/sleep.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <functional>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

int failures = 0;

void check(bool holds, const char* what) {
    if (holds) return;
    std::printf("not so: %s\n", what);
    ++failures;
}

unsigned next(unsigned& random) {
    random = random * 1664525 + 1013904223;
    return random >> 16;
}

// --- a ball that players on two pools pass to each other -----------------------------------------

struct ball {
    explicit ball(std::size_t passes) : passed(passes + 1) {}
    std::deque<event> passed;  // the nth is set when it was passed n times
    std::size_t count = 0;  // not atomic on purpose: only who has the ball touches it
};

task<> player(executor& home, ball& b, std::size_t first, std::atomic<int>& abroad) {
    for (std::size_t n = first; n + 1 < b.passed.size(); n += 2) {
        static_cast<void>(co_await b.passed[n].wait());
        if (!home.here()) ++abroad;
        ++b.count;
        if (n % 5 == 0) co_await yield();
        b.passed[n + 1].set();
    }
}

// The pool that is waited for goes at once, be the other's worker still in the post that woke it.
void ping_pong() {
    for (int round = 0; round != 30; ++round) {
        constexpr std::size_t balls = 4, passes = 200;
        std::atomic<int> abroad = 0;
        std::deque<ball> all;
        thread_pool a(2);
        {
            thread_pool b(2);
            const auto side = [&](executor& home, std::size_t first) -> task<> {
                scope s(co_await this_context);
                for (ball& each : all)
                    s.spawn(&player, std::ref(home), std::ref(each), first, std::ref(abroad));
                co_await s.join();
            };
            for (std::size_t i = 0; i != balls; ++i) all.emplace_back(passes).passed[0].set();
            std::thread on_a([&] { sync_wait(a, side(a, 0)); });
            sync_wait(b, side(b, 1));
            on_a.join();
        }
        check(abroad == 0, "all go on at home");
        for (const ball& each : all) check(each.count == passes, "each pass is made once");
    }
}

// --- many that yield and fork, on more workers than there are cores ------------------------------

task<long> forks(int depth, unsigned random) {
    for (unsigned i = next(random) % 4; i != 0; --i) co_await yield();
    if (depth == 0) co_return 1;
    std::vector<task<long>> below;
    for (int i = 0; i != 3; ++i) below.push_back(forks(depth - 1, next(random)));
    long sum = 0;
    for (const long n : co_await when_all(std::move(below))) sum += n;
    co_return sum;
}

void stealing() {
    for (const unsigned threads : {1u, 2u, 8u}) {
        thread_pool pool(threads);
        for (unsigned round = 0; round != 3; ++round) {
            check(sync_wait(pool, forks(7, round)) == 2187, "each leaf is counted once");
        }
    }
}

// --- sleeps against stops ------------------------------------------------------------------------

struct ends {
    std::atomic<long> slept = 0, cancelled = 0, other = 0, first = 0, second = 0;
};

task<> sleeps(ends& seen, duration d) {
    const result<void> r = co_await sleep_for(d);
    if (r) ++seen.slept;
    else if (r.error().code() == code::cancelled) ++seen.cancelled;
    else ++seen.other;
}
task<> races(ends& seen, duration a, duration b) {
    const auto first = co_await when_any(sleeps(seen, a), sleeps(seen, b));
    ++(first.index() == 0 ? seen.first : seen.second);
}

task<long> timers_and_stops(ends& seen, unsigned random) {
    long n = 0;
    for (int round = 0; round != 100; ++round) {
        scope s(co_await this_context);
        for (int i = 0; i != 10; ++i) {
            const auto a = std::chrono::microseconds(next(random) % 400);
            const auto b = std::chrono::microseconds(next(random) % 400);
            if (i % 2 == 0) s.spawn(&sleeps, std::ref(seen), duration(a)), n += 1;
            else s.spawn(&races, std::ref(seen), duration(a), duration(b)), n += 2;
        }
        static_cast<void>(co_await sleep_for(std::chrono::microseconds(next(random) % 400)));
        if (round % 3 == 0) co_await s.join();
        else co_await s.cancel();
    }
    co_return n;
}

void timers() {
    ends seen;
    long begun = 0, both_started = 0;
    const auto enough = [&] {
        return seen.slept > 100 && seen.cancelled > 100 && seen.first > 50 && seen.second > 50;
    };
    for (unsigned part = 0; part < 3 || (part < 50 && !enough()); ++part) {
        thread_pool pool(3);
        const auto body = [&]() -> task<long> {
            const auto both =
                co_await when_all(timers_and_stops(seen, part), timers_and_stops(seen, part + 99));
            co_return std::get<0>(both) + std::get<1>(both);
        };
        begun += sync_wait(pool, body());
    }
    both_started = seen.slept + seen.cancelled + seen.other;
    std::printf("slept %ld, cancelled %ld, first %ld, second %ld\n", seen.slept.load(),
                seen.cancelled.load(), seen.first.load(), seen.second.load());
    check(enough(), "each outcome was seen");
    check(seen.other == 0, "there is no other outcome");
    check(both_started <= begun, "none ends twice");
    check(begun - both_started <= seen.first, "only what came after a winner was not begun");
}

// --- threads from outside, while the pool comes and goes -----------------------------------------

void coming_and_going() {
    struct job : work {
        explicit job(std::atomic<int>& n) noexcept : ran(n) {
            run = [](work& w) noexcept { ++static_cast<job&>(w).ran; };
        }
        std::atomic<int>& ran;
    };
    for (int round = 0; round != 200; ++round) {
        constexpr int each = 20;
        std::atomic<int> ran = 0, ready = 0;
        std::vector<std::deque<job>> jobs(2);
        {
            thread_pool pool(2);
            std::vector<std::thread> posters;
            for (auto& some : jobs) {
                for (int i = 0; i != each; ++i) some.emplace_back(ran);
                posters.emplace_back([&] {
                    ++ready;
                    for (job& j : some) pool.post(j);
                });
            }
            for (auto& p : posters) p.join();
        }
        check(ran == 2 * each, "what was posted before the end has run");
    }
}

}  // namespace

int main() {
    testing::watchdog dog("ping-pong");
    ping_pong();
    dog.pat("stealing");
    stealing();
    dog.pat("timers");
    timers();
    dog.pat("coming and going");
    coming_and_going();
    check(detail::live_frames.load(std::memory_order_relaxed) == 0, "no frame is left");
    return failures == 0 ? 0 : 1;
}
