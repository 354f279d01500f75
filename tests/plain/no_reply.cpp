// Contract 1, in virtual time: whatever becomes of a reply, its caller hears of it, at once or by
// the deadline; callers that wait for one another in a circle are refused.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include "../support/stand_still.hpp"

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::stand_still;

namespace {

int errors = 0;
void demand(bool holds, const char* where, const std::string& what) {
    if (holds) return;
    std::printf("not so, %s: %s\n", where, what.c_str());
    ++errors;
}

struct ask {
    using reply = int;
    int n;
};
template <typename T>
std::string outcome(const result<T>& r) {
    if (r) return "value";
    return std::string(to_string(r.error().code())) + ", " +
           std::string(to_string(r.error().effect()));
}

/// A bus, and a call on it that is under way while the test does something about it.
class world {
public:
    world() = default;
    ~world() {
        app.reset();
        tasks_.clear();
        demand(detail::live_frames == 0, "the end", "no frame is left");
    }
    world(const world&) = delete;

    simulation sim;
    std::unique_ptr<bus> app = std::make_unique<bus>(sim, options());
    stop_source stop;
    int ended = 0;

    void call(duration allowed = 1min, int n = 1) {
        const auto ask_once = [](world& w, client<ask> c, int m) -> task<> {
            const auto r = co_await c.call(m);
            w.heard_ = outcome(r);
            w.after_ = w.sim.elapsed();
            ++w.ended;
        };
        begin(ask_once(*this, app->client<ask>("a", deadline(allowed)), n));
    }
    void begin(task<> t) {
        under_.push_back(std::make_unique<context>(sim, never, stop.token()));
        tasks_.push_back(std::move(t));
        auto& p = tasks_.back().promise();
        p.place(sim, under_.back().get());
        p.start_by_post([](detail::promise_base&) noexcept {}, nullptr);
    }
    /// The call has ended just so, by then.
    void demand_end(const char* way, const std::string& expected, duration by) {
        sim.advance(1h);
        demand(ended == 1, way, "it ends once, not " + std::to_string(ended) + " times");
        demand(heard_ == expected, way, heard_ + " instead of " + expected);
        demand(after_ <= by, way, "it ends in time");
    }
    account counts() { return app->counts("a"); }

private:
    static bus_options options() {
        bus_options o;
        o.grace = 10ms;
        return o;
    }

    std::string heard_;
    duration after_{};
    std::vector<std::unique_ptr<context>> under_;
    std::vector<task<>> tasks_;
};

task<int> later(ask a) {
    static_cast<void>(co_await sleep_for(1s));
    co_return a.n;
}

void by_the_handler() {
    {
        world w;
        w.app->handle<ask>("a", [](ask) -> task<result<int>> {
            co_return failure(code::unavailable, effect::none);
        });
        w.call();
        w.demand_end("a failure is returned", "unavailable, complete", 0s);
    }
    if (detail::exceptions_enabled) {
        world w;
        w.app->handle<ask>("a", [](ask) -> task<int> {
            co_await yield();
            detail::raise(5);
        });
        w.call();
        w.demand_end("it throws", "handler failed, complete", 0s);
    }
    {
        world w;
        w.app->handle<ask>("a", [](ask) { return task<int>(); });
        w.call();
        w.demand_end("it returns a task that is none", "no reply, complete", 0s);
        w.app->client<ask>("a").send(1);
        w.sim.advance(1s);
        demand(w.counts().left == 0 && w.counts().failed == 2, "an empty task", "it has ended");
    }
    {
        world w;
        w.app->handle<ask>("a", [](ask a) -> task<int> {
            co_await stand_still();
            co_return a.n;
        });
        w.call(1h);
        w.sim.advance(1s);
        w.app.reset();
        w.demand_end("its frame is destroyed", "no reply, unknown", 2s);
    }
    {
        world w;
        w.app->handle<ask>("a", &later);
        w.call(10ms);
        w.demand_end("it replies too late", "deadline exceeded, unknown", 10ms);
        demand(w.counts().late == 1, "it replies too late", "it is counted");
    }
    {
        world w;
        w.app->handle<ask>("a", &later);
        w.call();
        w.sim.advance(1ms);
        w.stop.request_stop();
        w.demand_end("its caller gives up", "cancelled, unknown", 1ms);
        demand(w.counts().late == 1, "its caller gives up", "it is counted");
    }
}

void in_the_queue() {
    const auto busy = [](world& w, auto mode, duration allowed) {
        w.app->handle<ask>("a", mode, &later);
        w.app->client<ask>("a").send(0);  // keeps the handler for a second
        w.sim.advance(0ns);
        w.call(allowed);
        w.sim.advance(0ns);
    };
    {
        world w;
        busy(w, serial, 10ms);
        w.demand_end("it expires in the queue", "deadline exceeded, none", 10ms);
        demand(w.counts().expired == 1, "it expires in the queue", "it is counted");
    }
    {
        world w;
        busy(w, serial, 1min);
        w.stop.request_stop();
        w.demand_end("it is cancelled in the queue", "cancelled, none", 0s);
        demand(w.counts().dropped == 1, "it is cancelled in the queue", "it is counted");
    }
    {
        world w;
        busy(w, serial.capacity(1).full(when_full::drop_oldest), 1min);
        w.app->client<ask>("a").send(2);
        w.demand_end("it gives way to a newer one", "overloaded, none", 0s);
    }
    for (const auto full : {when_full::reject, when_full::drop_newest}) {
        world w;
        w.app->handle<ask>("a", serial.capacity(1).full(full), &later);
        for (int n = 0; n != 2; ++n) {
            w.app->client<ask>("a").send(n);
            w.sim.advance(0ns);
        }
        w.call();
        w.demand_end("it finds the queue full", "overloaded, none", 0s);
    }
    {
        world w;
        busy(w, serial, 1min);
        static_cast<void>(w.app->drain(10ms));
        w.demand_end("the bus drains before it is started", "closed, none", 1s);
    }
    {
        world w;
        busy(w, serial, 1min);
        w.app.reset();
        w.demand_end("the bus goes before it is started", "closed, none", 1s);
    }
    {
        world w;
        w.app->handle<ask>("a", serial.capacity(1).full(when_full::wait), &later);
        for (int n = 0; n != 2; ++n) {
            w.app->client<ask>("a").send(n);
            w.sim.advance(0ns);
        }
        w.call();
        w.sim.advance(0ns);
        static_cast<void>(w.app->drain(10ms));
        w.demand_end("the bus drains while it waits for room", "closed, none", 1s);
    }
    if (detail::exceptions_enabled) {
        world w;
        const auto no_key = [](const ask&) -> int { detail::raise(5); };
        w.app->handle<ask>("a", keyed(no_key), &later);
        w.call();
        w.demand_end("it has no key", "overloaded, none", 0s);
    }
}

void at_the_door() {
    {
        world w;
        w.call();
        w.demand_end("there is no endpoint", "no handler, none", 0s);
    }
    {
        world w;
        w.app->handle<ask>("a", &later);
        static_cast<void>(w.app->drain(0s));
        w.call();
        w.demand_end("the bus has drained", "closed, none", 1s);
    }
    {
        world w;
        w.app->handle<ask>("a", &later);
        w.stop.request_stop();
        w.call();
        w.demand_end("it is cancelled before", "cancelled, none", 0s);
    }
    {
        world w;
        w.app->handle<ask>("a", &later);
        w.call(0s);
        w.demand_end("its deadline has passed before", "deadline exceeded, none", 0s);
    }
}

// a -> b -> c -> ... -> a, each of which waits for the next one: found out at once.
template <typename Mode>
void circle(const char* way, const Mode& mode, int endpoints, duration allowed) {
    world w;
    for (int i = 0; i != endpoints; ++i) {
        const std::string name(1, static_cast<char>('a' + i));
        const std::string next(1, static_cast<char>('a' + (i + 1) % endpoints));
        const auto c = w.app->client<ask>(next);
        w.app->handle<ask>(name, mode, [c](ask a) -> task<result<int>> {
            if (a.n > 100) co_return failure(code::rejected);
            co_return co_await c.call(a.n + 1);
        });
    }
    w.call(allowed, 1);
    w.demand_end(way, "would deadlock, complete", 0s);
    const auto r = w.app->drain(1s);
    demand(r->in_time && r->total.adds_up(), way, "all is at rest afterwards");
}
void circles() {
    const auto key = [](const ask&) { return 1; };
    for (int n = 1; n != 5; ++n) {
        circle("a circle of serial ones", serial, n, 100ms);
        circle("a circle with the default deadline", serial, n, 5s);
        circle("a circle of parallel(1)", parallel(1), n, 100ms);
        circle("a circle of keyed ones", keyed(key), n, 100ms);
        circle("a circle that waits for room", serial.capacity(1).full(when_full::wait), n, 100ms);
    }
}

}  // namespace

int main() {
    by_the_handler();
    in_the_queue();
    at_the_door();
    circles();
    return errors == 0 ? 0 : 1;
}
