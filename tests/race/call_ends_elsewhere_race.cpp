// Calls whose caller is at home on one thread, and which another thread ends all the same: it sends
// what a queued call gives way to, shuts the room it waits in, is the clock of its pool, or handles
// it. Each ends once, and its caller goes on.
#include "../support/stumbling_cell.hpp"

#include <posthaste/posthaste.hpp>

#include "watchdog.hpp"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>

using namespace posthaste;
using namespace std::chrono_literals;
using namespace posthaste::testing;

namespace {

struct add_one {
    using reply = int;
    int to;
};

mistakes wrong;
outcome gave_way("gave way to a newer message"),
    shut_out("shut out of the room, or of the queue behind it"),
    late_here("late, where it was handled"), late_on_pool("late on a pool of one thread"),
    late_elsewhere("late, and handled on another thread"), answered("answered");

task<int> slowly(add_one m) {
    for (int i = 0; i != m.to % 4; ++i) co_await yield();
    stumble(static_cast<unsigned>(m.to));
    co_return m.to + 1;
}

// Until its caller gives up, but for what is only sent.
task<int> stays(add_one m) {
    if (m.to != 0) static_cast<void>(co_await sleep_for(1h));
    co_return m.to + 1;
}

task<> asks(client<add_one> adder, int n, outcome& late, outcome* refused, int& ended) {
    const auto r = co_await adder.call(n);
    ++ended;
    if (r) {
        wrong.expect(*r == n + 1, "a reply to another call");
        answered.seen();
    } else if (r.error().code() == code::deadline_exceeded) {
        late.seen();
    } else {
        wrong.expect(refused, "it is refused");
        const bool newer = refused == &gave_way;
        if (refused && r.error().code() == (newer ? code::overloaded : code::closed))
            refused->seen();
    }
}

// Keeps a loop looking at its timers; lets other threads go first, of which one core needs it.
task<> stays_awake(std::chrono::steady_clock::time_point until) {
    while (std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
        co_await yield();
    }
}

task<> asks_three(client<add_one> adder, int n, outcome& late, outcome* refused, int& ended) {
    co_await when_all(asks(adder, n, late, refused, ended),
                      asks(adder, n + 1, late, refused, ended),
                      asks(adder, n + 2, late, refused, ended));
}

}  // namespace

int main(int argc, char** argv) {
    const unsigned rounds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 3'000;
    watchdog dog("calls that end elsewhere");
    run_loop loop, other_loop;
    thread_pool pool(1);
    bus other{other_loop}, pooled{pool};
    other.handle<add_one>("adder", slowly);
    pooled.handle<add_one>("adder", slowly);
    std::optional<bus> app;
    std::optional<event> over;
    std::chrono::steady_clock::time_point due;
    int here = 0, on_pool = 0;
    race(
        rounds, 10 * rounds,
        [&](unsigned) {
            app.emplace(loop);
            app->handle<add_one>("newest", serial.capacity(2).full(when_full::drop_oldest), stays);
            app->handle<add_one>("room", serial.capacity(1).full(when_full::wait), stays);
            over.emplace();
            due = std::chrono::steady_clock::now() + 200us;
            here = on_pool = 0;
        },
        [&](unsigned) {
            wrong.expect(here == 12, "a caller is left");
            wrong.expect(on_pool == 3, "a caller on the pool is left");
            app.reset();
            dog.pat("a later round");
            return all_seen(gave_way, shut_out, late_here, late_on_pool, late_elsewhere, answered);
        },
        [&](unsigned round) {  // at home
            const auto n = static_cast<int>(scatter(round, 0) % 1024 + 1);
            const auto all = [&]() -> task<> {
                const auto soon = deadline(due - std::chrono::steady_clock::now());
                co_await when_all(
                    stays_awake(due + 50us),
                    asks_three(app->client<add_one>("newest", soon), n, late_here, &gave_way, here),
                    asks_three(app->client<add_one>("room", soon), n, late_here, &shut_out, here),
                    asks_three(app->client<add_one>("room", soon), n, late_here, &shut_out, here),
                    asks_three(other.client<add_one>("adder", soon), n, late_elsewhere, nullptr,
                               here));
            };
            sync_wait(loop, all());
            over->set();
        },
        [&](unsigned round) {  // ends what waits at home, just as its time is over
            const auto newest = app->client<add_one>("newest");
            const auto when = due + std::chrono::microseconds(scatter(round, 1) % 32) - 16us;
            while (std::chrono::steady_clock::now() < when) std::this_thread::yield();
            if (round % 2 == 0) static_cast<void>(app->drain(0ns));
            for (int i = 0; i != 3; ++i) static_cast<void>(newest.send(0));
        },
        [&](unsigned) { sync_wait(other_loop, over->wait()); },
        [&](unsigned round) {
            const auto n = static_cast<int>(scatter(round, 7) % 1024);
            const auto soon = deadline(std::chrono::microseconds(scatter(round, 8) % 256));
            sync_wait(pool, asks_three(pooled.client<add_one>("adder", soon), n, late_on_pool,
                                       nullptr, on_pool));
        });
    return summary(wrong, gave_way, shut_out, late_here, late_on_pool, late_elsewhere, answered);
}
