// Contract 1, 2, 5: every call ends, exactly once, when reply, deadline, stop and the end of the
// bus race for it on real threads. Each outcome must have been seen, more than now and then, and a
// caller that went before its handler ended is a late reply in the account.
// call_race [calls]
#include <posthaste/posthaste.hpp>

#include "../support/race.hpp"
#include "../support/stand_still.hpp"
#include "watchdog.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::stand_still;

namespace {

constexpr std::size_t callers = 16;  // of each kind
constexpr long calls_each = 320;     // a round
// So many calls may wait for a handler whose thread stands still: who gives up calls again.
constexpr std::size_t most_calls = 2 * callers * (calls_each + 8);
const std::array<std::string, 4> names{"serial", "parallel", "keyed", "deaf"};

struct work_for {
    using reply = int;
    int microseconds;
    int n;
};

posthaste::testing::mistakes wrong;
std::array<std::atomic<long>, 12> failures{};
std::atomic<long> made = 0, values = 0;
std::atomic<long> left_behind = 0;  // callers that went while the handler was running

/// One for each call of a round: how often its caller has gone on.
struct ledger {
    std::atomic<std::size_t> used = 0;
    std::vector<std::atomic<unsigned char>> gone_on;
    explicit ledger(std::size_t calls) : gone_on(calls) {}
};

void count(const result<int>& r, int expected) {
    if (r) return wrong.expect(*r == expected, "a reply to another call"), void(++values);
    ++failures[static_cast<std::size_t>(r.error().code())];
    const bool given_up =
        r.error().code() == code::deadline_exceeded || r.error().code() == code::cancelled;
    if (given_up && r.error().effect() == effect::unknown) ++left_behind;
}
long failed_with(code c) { return failures[static_cast<std::size_t>(c)]; }

task<> call_on(client<work_for> c, ledger& l, long calls, std::size_t from) {
    for (long i = 0; i != calls; ++i) {
        const std::size_t id = l.used.fetch_add(1, std::memory_order_relaxed);
        ++made;
        const int n = static_cast<int>(id);
        const auto r = co_await c.call(static_cast<int>((from * 7 + id) % 50), n);
        l.gone_on[id].fetch_add(1, std::memory_order_relaxed);
        count(r, n);
        if (!r && r.error().code() == code::cancelled) co_return;
    }
}

// Calls some of which a scope cancels.
task<> call_and_cancel(client<work_for> c, ledger& l, long calls, std::size_t from) {
    const context& mine = co_await this_context;
    for (long i = 0; i < calls; i += 8) {
        const auto at = from + static_cast<std::size_t>(i);
        scope some(mine);
        some.spawn(call_on, c, std::ref(l), 4, at);
        some.spawn(call_on, c, std::ref(l), 4, at + 3);
        if (i % 16 == 0) {
            co_await sleep_for(std::chrono::microseconds(i % 64));
            co_await some.cancel();
        } else {
            co_await some.join();
        }
    }
}

constexpr long deaf_callers = callers / 4;  // that call them, in an abrupt round
std::atomic<long> deaf_ones = 0;            // that stand still, in a round

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
    const auto furnish = [&](std::size_t i, const auto& mode, const auto& by) {
        app->handle<work_for>(names[i], mode.capacity(most_calls), by);
    };
    furnish(0, serial, handler);
    furnish(1, parallel(3), handler);
    furnish(2, keyed(&work_for::microseconds), handler);
    furnish(3, parallel(65536), [](work_for w) -> task<int> {
        ++deaf_ones;
        co_await stand_still();
        co_return w.n;
    });
    return app;
}

/// Callers outside of the bus's pool and on it. `abrupt`: the bus goes as it stands, without the
/// callers on it, which it would wait for.
void one_round(int round, bool abrupt) {
    deaf_ones = 0;
    auto app = make_bus();
    ledger all_calls(most_calls);
    std::vector<client<work_for>> clients;
    for (std::size_t i = 0; i != 2 * callers; ++i) {
        const duration allowed = std::chrono::microseconds(i % 4 == 0 ? 5'000'000 : 20 + 30 * i);
        const std::size_t which = abrupt && i % 4 == 0 ? 3 : i % 3;
        clients.push_back(app->client<work_for>(names[which], deadline(allowed)));
    }
    const long before = left_behind;
    std::vector<std::thread> outside;
    for (std::size_t i = 0; i != callers; ++i) {
        outside.emplace_back([&, i] {
            const bool cancels = i % 4 == 1;
            sync_wait((cancels ? call_and_cancel : call_on)(clients[i], all_calls, calls_each, i));
        });
    }
    if (abrupt) {
        while (all_calls.used < callers * 20 || deaf_ones < deaf_callers) std::this_thread::yield();
    } else {
        app->run([&]() -> task<> {
            scope all(co_await this_context);
            for (std::size_t i = callers; i != 2 * callers; ++i)
                all.spawn(call_and_cancel, clients[i], std::ref(all_calls), calls_each, i);
            co_await all.join();
        });
        const auto drained = app->drain(1min);
        for (auto& t : outside) t.join();
        outside.clear();
        const account& a = drained->total;
        wrong.expect(drained->in_time && a.left == 0, "all handlers end");
        wrong.expect(a.adds_up(), "the account adds up");
        wrong.expect(a.late == static_cast<std::uint64_t>(left_behind - before),
                     "each caller that left a running handler is a late reply");
    }
    if (abrupt && round % 4 == 1) {
        const auto drained = app->drain(std::chrono::microseconds(round * 50));
        wrong.expect(drained->total.adds_up(), "the account of a bus cut short adds up");
    }
    app.reset();  // the callers outside go on: closed from now on
    for (auto& t : outside) t.join();
    for (std::size_t id = 0; id != all_calls.used; ++id)
        wrong.expect(all_calls.gone_on[id] == 1, "a caller goes on once");
}

bool seen(const char* what, long n, long least) {
    std::printf("%8ld %s\n", n, what);
    if (n < least) std::printf("not seen %ld times: %s\n", least, what);
    return n >= least;
}

}  // namespace

int main(int argc, char** argv) {
    const long calls = argc > 1 ? std::atol(argv[1]) : 100'000;
    testing::watchdog dog("the first round");
    for (int round = 0; made < calls || round < 8; ++round) {
        one_round(round, round % 2 == 1);
        dog.pat("a later round");
    }
    const long overloaded = failed_with(code::overloaded);
    const long all = values + failed_with(code::deadline_exceeded) + failed_with(code::cancelled) +
                     failed_with(code::closed) + failed_with(code::no_reply) + overloaded;
    wrong.expect(all == made, "each call ends in one of the ways there are");
    wrong.expect(overloaded == 0, "nothing is full");
    wrong.expect(detail::live_frames == 0, "no frame is left");
    const long least = calls / 100;
    bool enough = seen("calls", made, calls);
    enough = seen("answered", values, least) && enough;
    enough = seen("expired", failed_with(code::deadline_exceeded), least) && enough;
    enough = seen("cancelled", failed_with(code::cancelled), least) && enough;
    enough = seen("closed", failed_with(code::closed), least) && enough;
    enough = seen("without reply", failed_with(code::no_reply), least / 100) && enough;
    enough = seen("replies came too late", left_behind, least) && enough;
    return enough && !wrong.any() ? 0 : 1;
}
