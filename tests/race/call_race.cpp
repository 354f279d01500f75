// Contract 1: every call ends, exactly once, when reply, deadline, stop and the end of the bus race
// for it on real threads. Every outcome must have been seen.
// call_race [calls]
#include <posthaste/posthaste.hpp>

#include <algorithm>
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

constexpr int callers = 16;

struct work_for {
    using reply = int;
    int microseconds;
    int n;
};

std::array<std::atomic<long>, 12> failures{};
std::atomic<long> values = 0, wrong = 0, ended = 0, made = 0;

void count(const result<int>& r, int expected) {
    ++ended;
    if (!r) ++failures[static_cast<std::size_t>(r.error().code())];
    else if (*r == expected) ++values;
    else ++wrong;
}
long failed_with(code c) { return failures[static_cast<std::size_t>(c)]; }

task<> call_on(client<work_for> c, int calls, int from) {
    for (int i = 0; i != calls; ++i) {
        ++made;
        const auto r = co_await c.call((from * 7 + i) % 50, i);
        count(r, i);
        if (!r && r.error().code() == code::cancelled) co_return;
    }
}

// Calls from the bus's own pool, some of which a scope cancels.
task<> call_and_cancel(client<work_for> c, int calls, int from) {
    const context& mine = co_await this_context;
    for (int i = 0; i < calls; i += 8) {
        scope some(mine);
        some.spawn(call_on, c, 4, from + i);
        some.spawn(call_on, c, 4, from + i + 3);
        if (i % 16 == 0) {
            co_await sleep_for(std::chrono::microseconds(i % 64));
            co_await some.cancel();
        } else {
            co_await some.join();
        }
    }
}

std::unique_ptr<bus> make_bus() {
    bus_options options;
    options.threads = 4;
    options.grace = 0ms;
    auto app = std::make_unique<bus>(options);
    const auto handler = [](work_for w) -> task<int> {
        if (w.microseconds % 3 == 1) co_await yield();
        if (w.microseconds % 3 == 2) co_await sleep_for(std::chrono::microseconds(w.microseconds));
        co_return w.n;
    };
    app->handle<work_for>("serial", handler);
    app->handle<work_for>("parallel", parallel(3), handler);
    app->handle<work_for>("keyed", keyed(&work_for::microseconds), handler);
    return app;
}

}  // namespace

int main(int argc, char** argv) {
    const int calls = argc > 1 ? std::atoi(argv[1]) : 100'000;
    const std::array<std::string, 3> names{"serial", "parallel", "keyed"};
    const int rounds = 10, each = std::max(8, calls / (rounds * 2 * callers));
    bool adds_up = true;
    for (int round = 0; round != rounds; ++round) {
        auto app = make_bus();
        std::vector<client<work_for>> clients;
        for (std::size_t i = 0; i != 2 * callers; ++i) {
            const duration allowed =
                std::chrono::microseconds(i % 4 == 0 ? 5'000'000 : 20 + 30 * i);
            clients.push_back(app->client<work_for>(names[i % 3], deadline(allowed)));
        }
        std::atomic<int> running = callers;
        std::vector<std::thread> outside;
        for (std::size_t i = 0; i != callers; ++i) {
            outside.emplace_back([&, i] {
                sync_wait(call_on(clients[i], each, static_cast<int>(i)));
                --running;
            });
        }
        app->run([&]() -> task<> {
            scope all(co_await this_context);
            for (std::size_t i = callers; i != 2 * callers; ++i)
                all.spawn(call_and_cancel, clients[i], each, static_cast<int>(i));
            co_await all.join();
        });
        if (round % 2 == 0) {
            const auto drained = app->drain(std::chrono::milliseconds(round % 4));
            adds_up = adds_up && drained->total.adds_up();
        }
        app.reset();  // the callers outside go on: closed from now on
        for (auto& t : outside) t.join();
    }
    const long closed = failed_with(code::closed), none = failed_with(code::no_reply);
    const long expired = failed_with(code::deadline_exceeded), gone = failed_with(code::cancelled);
    std::printf("%ld calls: %ld values, %ld expired, %ld cancelled, %ld closed, %ld no reply\n",
                made.load(), values.load(), expired, gone, closed, none);
    const bool all_ended =
        made == ended && wrong == 0 &&
        values + expired + gone + closed + none + failed_with(code::overloaded) == ended;
    const bool all_seen = values > 0 && expired > 0 && gone > 0 && closed > 0;
    const bool clean = adds_up && detail::live_frames == 0;
    if (!all_ended) std::puts("a call did not end as it should");
    if (!all_seen) std::puts("an outcome was never seen");
    if (!clean) std::puts("accounts or frames are left open");
    return all_ended && all_seen && clean ? 0 : 1;
}
