// Contract 12: durations and points in time of any size and kind do as deadline, sleep, grace and
// option: what is over is over at once, what is too long to count lasts, and nothing is early.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <ratio>
#include <string>
#include <tuple>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

int errors = 0;
const char* given = "";
void demand(bool holds, const std::string& what) {
    if (holds) return;
    std::printf("not so, with %s: %s\n", given, what.c_str());
    ++errors;
}

struct job {
    using reply = int;
};
task<int> soon(job) {
    static_cast<void>(co_await sleep_for(1ms));
    co_return 1;
}
task<int> never_by_itself(job) {
    static_cast<void>(co_await sleep_for(forever));
    co_return 1;
}
task<result<int>> call_once(client<job> c) { co_return co_await c.call(); }

// Beside one that is surely longer, or surely shorter, however busy the machine.
duration rival(const std::string& expected) { return expected == "over" ? duration(1h) : 2ms; }

template <typename Duration>
task<std::string> sleeps(Duration d, duration other) {
    const auto first = co_await when_any(sleep_for(d), sleep_for(other));
    co_return first.index() == 0 ? "over" : "lasts";
}
task<std::string> sleeps_until(time_point t, duration other) {
    const auto first = co_await when_any(sleep_until(t), sleep_for(other));
    co_return first.index() == 0 ? "over" : "lasts";
}

std::string heard(const result<int>& r) {
    if (r) return "lasts";
    const bool over =
        r.error().code() == code::deadline_exceeded && r.error().effect() == effect::none;
    return over ? "over" : "something else";
}

template <typename Duration>
void as_all_of_them(executor& at, const char* name, Duration d, const std::string& expected) {
    given = name;
    {
        bus app(at);
        app.handle<job>("soon", &soon);
        const auto r = sync_wait(at, call_once(app.client<job>("soon", deadline(d))));
        demand(heard(r) == expected, "a deadline is over, or lasts");
    }
    demand(sync_wait(at, sleeps(d, rival(expected))) == expected, "a sleep is over, or lasts");
    const time_point until = saturating_add(at.now(), to_duration(d));
    demand(sync_wait(at, sleeps_until(until, rival(expected))) == expected,
           "a sleep until then as well");
    {
        bus app(at);
        app.handle<job>("job", expected == "over" ? &never_by_itself : &soon);
        app.client<job>("job").send();
        const auto drained = app.drain(d);
        demand(drained->in_time == (expected == "lasts"), "a drain ends in time if it may");
        demand(drained->total.adds_up(), "its account adds up");
    }
    bus_options options;
    options.threads = 1;
    options.deadline = options.grace = to_duration(d);
    {
        bus app(options);
        app.handle<job>("soon", &soon);
        const auto r = sync_wait(app.home(), call_once(app.client<job>("soon")));
        demand(heard(r) == expected, "an option is over, or lasts");
        app.client<job>("soon").send();
    }
    demand(detail::live_frames == 0, "no frame is left");
}

void all_on(executor& at) {
    const auto over = [&](const char* name, auto d) { as_all_of_them(at, name, d, "over"); };
    const auto lasts = [&](const char* name, auto d) { as_all_of_them(at, name, d, "lasts"); };
    using real = std::chrono::duration<double>;
    using std::chrono::milliseconds;
    using days = std::chrono::duration<std::int64_t, std::ratio<86400>>;
    using frames = std::chrono::duration<std::int64_t, std::ratio<1, 60>>;
    over("0 s", 0s);
    over("-1 ns", -1ns);
    over("nanoseconds::min()", std::chrono::nanoseconds::min());
    over("hours::min()", std::chrono::hours::min());
    over("days of int64 min()", days::min());
    over("-1e30 s", real(-1e30));
    over("NaN", real(std::numeric_limits<double>::quiet_NaN()));
    over("-inf", real(-std::numeric_limits<double>::infinity()));
    over("1e-30 s", real(1e-30));
    lasts("nanoseconds::max()", std::chrono::nanoseconds::max());
    lasts("nanoseconds::max() - 1", std::chrono::nanoseconds::max() - 1ns);
    lasts("milliseconds::max()", milliseconds::max());
    lasts("hours::max()", std::chrono::hours::max());
    lasts("days of int64 max()", days::max());
    lasts("60ths of a second, max()", frames::max());
    lasts("1e30 s", real(1e30));
    lasts("inf", real(std::numeric_limits<double>::infinity()));
    lasts("49.7 days in ms", milliseconds(std::int64_t{1} << 32));
    lasts("2^31 s", std::chrono::seconds(std::int64_t{1} << 31));
    lasts("300 years", days(300 * 365));

    given = "points in time";
    demand(sync_wait(at, sleeps_until(time_point::min(), rival("over"))) == "over",
           "the first of all");
    demand(sync_wait(at, sleeps_until(time_point(), rival("over"))) == "over", "the beginning");
    demand(sync_wait(at, sleeps_until(never, rival("lasts"))) == "lasts", "never");
    demand(sync_wait(at, sleeps_until(never - 1ns, rival("lasts"))) == "lasts", "almost never");

    given = "a few milliseconds";
    for (int i = 0; i != 20; ++i) {
        const duration length = std::chrono::microseconds(137 * i);
        const auto took = [&]() -> task<duration> {
            const time_point before = at.now();
            co_await sleep_for(length);
            co_return at.now() - before;
        };
        demand(sync_wait(at, took()) >= length, "nobody wakes early");
    }
}

}  // namespace

int main() {
    {
        simulation world;
        all_on(world);
    }
    {
        run_loop loop;
        all_on(loop);
    }
    {
        thread_pool pool(2);
        all_on(pool);
    }
    return errors == 0 ? 0 : 1;
}
