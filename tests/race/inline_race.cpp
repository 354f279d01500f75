// Contract 2 and 6 on real threads: two threads call the same idle endpoint at once, and its state
// needs no lock; a handler that blocks its thread does not keep its caller past the deadline.
// inline_race [calls]
#include <posthaste/posthaste.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct add {
    using reply = long;
    long n;
};
struct block {
    using reply = int;
};

int errors = 0;
void demand(bool holds, const char* what) {
    if (holds) return;
    std::printf("not so: %s\n", what);
    ++errors;
}

void one_at_a_time(long calls) {
    bus_options options;
    options.threads = 2;
    bus app(options);
    struct state {
        long total = 0;  // no lock
        std::atomic<int> inside = 0;
        std::atomic<long> overlaps = 0;
    } s;
    app.handle<add>("sum", [&s](add a) {
        if (s.inside.fetch_add(1) != 0) ++s.overlaps;
        s.total += a.n;
        s.inside.fetch_sub(1);
        return s.total;
    });
    app.handle<add>("sum_later", [&s](add a) -> task<long> {
        if (s.inside.load() < 0) co_return 0;
        const long before = s.total;
        if (a.n % 8 == 0) co_await yield();
        co_return before;
    });
    const auto c = app.client<add>("sum");
    std::atomic<long> values = 0;
    const auto caller = [&]() -> task<> {
        for (long i = 0; i != calls; ++i) {
            const auto r = co_await c.call(1);
            values += r.has_value();
            if (i % 16 == 0) co_await yield();
        }
    };
    app.run([&]() -> task<> {
        scope both(co_await this_context);
        both.spawn(caller);
        both.spawn(caller);
        co_await both.join();
    });
    demand(s.overlaps == 0, "a serial endpoint runs one handler at a time");
    demand(s.total == 2 * calls && values == 2 * calls, "every call is counted once");
    demand(app.counts("sum").adds_up(), "the account adds up");
}

// On a loop, whose own calls take no claim, while another thread sends and calls; now and then the
// handler drives the loop.
void on_a_loop(long calls) {
    run_loop loop;
    bus app(loop);
    struct state {
        long total = 0;  // no lock
        bool inside = false;
        long overlaps = 0, driven = 0;
    } s;
    app.handle<add>("sum", [&](add a) {
        s.overlaps += std::exchange(s.inside, true);
        s.total += a.n;
        if (s.total % 64 == 0) {
            ++s.driven;
            const auto a_moment = []() -> task<> {
                for (int i = 0; i != 3; ++i) co_await yield();
            };
            const auto drive = [&]() -> task<> {
                sync_wait(loop, a_moment());
                co_return;
            };
            sync_wait(drive());
        }
        s.inside = false;
        return s.total;
    });
    const auto c = app.client<add>("sum", deadline(forever));
    std::atomic<bool> over = false, gone = false;
    std::atomic<long> sent = 0, answered = 0;
    std::thread other([&] {
        const auto both = [&]() -> task<> {
            while (!over) {
                sent += c.send(1).has_value();
                for (unsigned i = 0; i != sent % 128; ++i) detail::pause();
                const auto r = co_await c.call(1);
                answered += r.has_value();
            }
        };
        sync_wait(both());
        gone = true;
    });
    long values = 0;
    const auto caller = [&]() -> task<> {
        for (long i = 0; i < calls || sent < 10; ++i) {
            const auto r = co_await c.call(1);
            values += r.has_value();
            if (i % 16 == 0) co_await yield();
        }
        over = true;
    };
    sync_wait(loop, caller());
    while (!gone) loop.drive_ready();
    other.join();
    const auto drained = app.drain(1min);
    demand(s.overlaps == 0, "a handler on a loop runs by itself");
    demand(s.driven > 0 && s.total == values + sent + answered, "each is handled once");
    demand(drained->in_time && drained->total.adds_up(), "the account of a loop adds up");
}

// A loop makes calls, on its own thread, while its bus is drained, or destroyed, by another one: it
// then has what the handlers did, and destroys it.
void ends_elsewhere(int buses) {
    bus_options options;
    options.grace = 100us;
    long answered = 0, closed = 0;
    for (int i = 0; i != buses; ++i) {
        run_loop loop;
        auto total = std::make_unique<long>(0);  // no lock
        auto app = std::make_unique<bus>(loop, options);
        app->handle<add>("sum", [&](add a) { return *total += a.n; });
        const auto c = app->client<add>("sum");
        std::atomic<long> values = 0;
        std::thread caller([&] {
            const auto until_closed = [&]() -> task<> {
                for (;;) {
                    const auto r = co_await c.call(1);
                    if (!r) break;
                    values.store(values.load(std::memory_order_relaxed) + 1,
                                 std::memory_order_relaxed);
                }
                ++closed;
            };
            sync_wait(loop, until_closed());
        });
        while (values.load(std::memory_order_relaxed) <= i % 64) std::this_thread::yield();
        if (i % 2 == 0) {
            const auto drained = app->drain(1ms);
            demand(drained->total.handled == static_cast<std::uint64_t>(*total),
                   "what is drained is all there is");
        }
        app.reset();
        const long seen = *total;
        total.reset();
        caller.join();
        answered += values;
        demand(seen == values, "none was answered behind its back");
    }
    demand(closed == buses && answered > 0, "each caller was told");
}

// Demanded without a clock: the handler returns only after its caller has gone on.
template <typename Handler>
void blocked_thread(Handler handler, duration allowed, const char* what) {
    bus_options options;
    options.threads = 2;
    bus app(options);
    std::atomic<bool> caller_went_on = false, handler_done = false;
    app.handle<block>("block", handler(caller_went_on, handler_done));
    const auto c = app.client<block>("block", deadline(allowed));
    const std::string how = app.run([&]() -> task<std::string> {
        const auto r = co_await c.call();
        const bool before = !handler_done;
        caller_went_on = true;
        std::string text = r ? "value" : std::string(to_string(r.error().code()));
        co_return before ? text : text + ", after the handler";
    });
    demand(how == "deadline exceeded", what);
    const auto drained = app.drain(1min);
    demand(drained->in_time && drained->total.late == 1, "the late reply was counted");
    demand(drained->total.late_by > 0ns, "and how late it was");
}

}  // namespace

int main(int argc, char** argv) {
    const long calls = argc > 1 ? std::atol(argv[1]) : 200'000;
    one_at_a_time(calls);
    on_a_loop(calls / 10);
    ends_elsewhere(200);
    const auto plain = [](std::atomic<bool>& go, std::atomic<bool>& done) {
        return [&](block) {
            while (!go.load()) detail::pause();
            done = true;
            return 1;
        };
    };
    const auto coroutine = [](std::atomic<bool>& go, std::atomic<bool>& done) {
        return [&](block) -> task<int> {
            while (!go.load()) detail::pause();
            done = true;
            co_return 1;
        };
    };
    const auto after_a_wait = [](std::atomic<bool>& go, std::atomic<bool>& done) {
        return [&](block) -> task<int> {
            co_await yield();
            while (!go.load()) detail::pause();
            done = true;
            co_return 1;
        };
    };
    const auto before_a_wait = [](std::atomic<bool>& go, std::atomic<bool>& done) {
        return [&](block) -> task<int> {
            while (!go.load()) detail::pause();
            co_await yield();
            done = true;
            co_return 1;
        };
    };
    for (int i = 0; i != 5; ++i) {
        blocked_thread(plain, 5ms, "a function that blocks its thread does not keep its caller");
        blocked_thread(coroutine, 5ms, "a task that blocks its thread does not keep its caller");
        blocked_thread(after_a_wait, 5ms, "nor does one that blocks it later");
        blocked_thread(before_a_wait, 5ms, "nor one that stands still when its caller has gone");
        blocked_thread(plain, 30us, "nor with a deadline that is over at once");
    }
    demand(detail::live_frames == 0, "no frame is left");
    return errors == 0 ? 0 : 1;
}
