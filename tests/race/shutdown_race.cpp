// Contract 10 on real threads: buses are destroyed while calls, sends and timers are in flight from
// several threads. Nothing hangs, nobody is left waiting, no frame is left, accounts add up.
// shutdown_race [buses]
#include <posthaste/posthaste.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

constexpr int threads = 3;

struct job {
    using reply = int;
    int n;
    int key() const { return n % 5; }
};

/// Never goes on, and heeds no stop.
struct stand_still {
    static constexpr bool keeps_home = true;
    stand_still() noexcept {}
    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    void await_suspend(std::coroutine_handle<Promise>) const noexcept {}
    void await_resume() const noexcept {}
};

std::atomic<long> calls = 0, answered = 0, closed = 0, no_reply = 0, other = 0, sent = 0;

void count(const result<int>& r) {
    if (r) ++answered;
    else if (r.error().code() == code::closed) ++closed;
    else if (r.error().code() == code::no_reply) ++no_reply;
    else ++other;
}

task<> use(client<job> c, std::atomic<int>& started, int from) {
    for (int n = from;; ++n) {
        if (c.send(n)) ++sent;
        ++calls;
        const auto r = co_await c.call(n);
        count(r);
        started.fetch_add(1, std::memory_order_relaxed);
        if (!r && (r.error().code() == code::closed || r.error().code() == code::no_reply)) break;
        if (!r && r.error().code() == code::overloaded)
            co_await sleep_for(std::chrono::microseconds(20));
    }
}

task<> call_once(client<job> c) {
    ++calls;
    const auto r = co_await c.call(1);
    count(r);
}

template <typename Bus>
bool one_bus(int round, Bus make) {
    auto app = make();
    const std::array<std::string, 3> names{"serial", "parallel", "keyed"};
    const auto next = app->template client<job>("parallel");
    const auto handler = [round, next](job j) -> task<int> {
        if (j.n % 7 == 1) co_await yield();
        if (j.n % 7 == 2) co_await sleep_for(std::chrono::microseconds(j.n % 100));
        if (j.n % 7 == 3) co_await sleep_for(1h);  // heeds the stop
        if (j.n % 61 == 0 && round % 2 == 0) co_await stand_still();
        if (j.n % 7 == 4) next.send(j.n + 1);
        if (j.n % 35 == 5) {
            const auto r = co_await next.call(j.n + 2);
            co_return r ? *r : -1;
        }
        co_return j.n;
    };
    app->template handle<job>("serial", serial.capacity(4).full(when_full::wait), handler);
    app->template handle<job>("parallel", parallel(2).capacity(8), handler);
    app->template handle<job>("keyed", keyed(&job::key), handler);
    std::atomic<bool> heard = round % 2 != 0;
    app->template handle<job>("deaf", [&heard](job j) -> task<int> {
        heard = true;
        co_await stand_still();
        co_return j.n;
    });
    std::atomic<int> started = 0;
    std::vector<std::thread> users;
    if (!heard) {
        const auto c = app->template client<job>("deaf", deadline(forever));
        users.emplace_back([c] { sync_wait(call_once(c)); });  // until the bus goes
    }
    for (int i = 0; i != threads; ++i) {
        const auto c = app->template client<job>(names[static_cast<std::size_t>(i)], deadline(2ms));
        users.emplace_back([&started, c, i, round] { sync_wait(use(c, started, i + round)); });
    }
    while (!heard || started.load(std::memory_order_relaxed) < round % 40)
        std::this_thread::yield();
    bool adds_up = true;
    if (round % 3 == 0) {
        const auto drained = app->drain(std::chrono::microseconds(round % 500));
        adds_up = drained->total.adds_up();
    }
    app.reset();
    for (auto& u : users) u.join();  // hangs, were one of them left waiting
    return adds_up;
}

}  // namespace

int main(int argc, char** argv) {
    const int buses = argc > 1 ? std::atoi(argv[1]) : 300;
    std::atomic<int> round = 0;
    detail::flag finished;
    std::thread watchdog([&] {
        for (int before = -1;; before = round) {
            finished.wait_for(60s);
            if (finished.is_set()) return;
            if (before == round) {
                std::printf("hangs in round %d\n", before);
                std::fflush(stdout);
                std::abort();
            }
        }
    });
    bool adds_up = true;
    bus_options options;
    options.threads = 2;
    options.grace = 100us;
    for (; round != buses; ++round) {
        adds_up = one_bus(round, [&] { return std::make_unique<bus>(options); }) && adds_up;
    }
    {
        thread_pool pool(2);  // somebody else's: handlers that heed no stop cannot be ended there
        for (round = 1; round < buses / 2; round += 2) {
            adds_up =
                one_bus(round, [&] { return std::make_unique<bus>(pool, options); }) && adds_up;
        }
    }
    finished.set();
    watchdog.join();
    std::printf("%ld calls: %ld answered, %ld closed, %ld without reply, %ld otherwise; %ld sent\n",
                calls.load(), answered.load(), closed.load(), no_reply.load(), other.load(),
                sent.load());
    const bool all_ended = calls == answered + closed + no_reply + other;
    const bool all_seen = answered > 0 && closed > 0 && no_reply > 0 && other > 0;
    const long frames = detail::live_frames;
    if (frames != 0) std::printf("%ld frames are left\n", frames);
    return all_ended && all_seen && adds_up && frames == 0 ? 0 : 1;
}
