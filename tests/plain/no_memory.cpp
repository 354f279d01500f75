// Contract 9: when operator new fails, at whatever time, a message is refused or its end is told,
// or bad_alloc comes out where an exception may; nothing is lost, nothing leaks, nothing hangs, no
// account is wrong, and the next attempt succeeds.
#include <posthaste/posthaste.hpp>

#include "../support/operator_new.hpp"
#include "../support/stand_still.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <tuple>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::stand_still;

namespace {

struct ask {
    using reply = int;
    int n;
    char bulk[3000] = {};  // of a size of its own, so that its memory is not there already
};
struct keyed_note {
    int key;
    char bulk[5000] = {};
};
const std::string plain_name = "an.endpoint.with.a.long.name.plain";
const std::string task_name = "an.endpoint.with.a.long.name.task";
const std::string keyed_name = "an.endpoint.with.a.long.name.keyed";

int errors = 0;
const char* scenario = "";
long allocation = 0;
void demand(bool holds, const char* what) {
    if (holds) return;
    std::printf("not so, in %s, with allocation %ld failing: %s\n", scenario, allocation, what);
    ++errors;
}

/// For as long as it lives, the allocation in question fails.
struct failing {
    failing() noexcept { testing::until_failure = allocation; }
    failing(const failing&) = delete;
    ~failing() { testing::until_failure = -1; }
};

/// Does it while that allocation fails. False: bad_alloc came out.
template <typename Piece>
bool done(Piece piece) {
    return detail::guarded(
        [&] {
            const failing now;
            return piece(), true;
        },
        [&](const std::exception_ptr& thrown) {
            demand(detail::describe<std::string>(thrown) == "std::bad_alloc",
                   "what comes out is bad_alloc");
            return false;
        });
}
/// And if it was not done, does it once more.
template <typename Piece>
void done_at_last(Piece piece) {
    if (!done(piece)) piece();
}

struct tally {
    std::atomic<std::uint64_t> sent = 0, refused = 0, answered = 0, told = 0, handled = 0;
    std::atomic<std::uint64_t> sends_handled = 0;  // and did not fail
};
constexpr int is_sent = 100;  // added to the number of an ask that is not called

/// Awaited by whoever knows nothing of homes: needs a frame to come home.
struct foreign {
    foreign() noexcept {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const { h.resume(); }
    void await_resume() const noexcept {}
};

void make_endpoints(bus& app, tally& t) {
    app.handle<ask>(plain_name, [&](const ask& a) {
        ++t.handled;
        if (a.n >= is_sent) ++t.sends_handled;
        return a.n;
    });
    app.handle<ask>(task_name, [&](ask a) -> task<result<int>> {
        ++t.handled;
        char workspace[9000] = {};  // so that its frame is of a size of its own, too
        workspace[a.n] = 1;
        co_await yield();
        if (workspace[1] == 1) co_return failure(code::rejected);
        co_return a.n;
    });
    app.handle<keyed_note>(keyed_name, keyed(&keyed_note::key).capacity(1).full(when_full::wait),
                           [&](const keyed_note& n) -> result<void> {
                               ++t.handled;
                               if (n.key == 2) return failure(code::rejected);
                               ++t.sends_handled;
                               return {};
                           });
}

void check_end(bus& app, const tally& t) {
    const auto drained = app.drain(10s);
    const account& a = drained->total;
    demand(drained->in_time && a.adds_up() && a.left == 0, "the account adds up");
    demand(a.handled + a.failed >= t.handled && a.handled + a.failed <= t.handled + 2,
           "what was handled is counted");  // more: no memory for a coroutine, it failed
    demand(a.handled + a.failed + a.dropped == t.sent + t.answered || t.told != 0,
           "what was accepted is accounted for");
    demand(app.dead_letters().total() == t.sent - t.sends_handled, "dead letters are counted");
}

task<> use(client<ask> plain, client<ask> coroutine, client<keyed_note> notes, tally& t) {
    for (int i = 0; i != 3; ++i) {
        ++(notes.send(i) ? t.sent : t.refused);
        ++(plain.send(is_sent + i) ? t.sent : t.refused);
        const auto one = co_await plain.call(i);
        ++(one ? t.answered : t.told);
        const auto two = co_await coroutine.call(i);
        ++(two ? t.answered : t.told);
        const auto room = co_await notes.send_when_room(i);
        ++(room ? t.sent : t.refused);
    }
}

// On this thread, while memory fails: no exception comes out of it.
void run_failing(run_loop& loop, task<> all) {
    const context under(loop, never, {});
    bool ended = false;
    all.promise().place(loop, &under);
    all.promise().start_by_post(
        [](detail::promise_base& p) noexcept { *static_cast<bool*>(p.owner()) = true; }, &ended);
    {
        const failing now;
        loop.drive_ready();
    }
    demand(ended, "the caller has gone on");
}

// All that clients do.
void converse() {
    tally t;
    run_loop loop;  // needs no memory itself
    bus app(loop);
    make_endpoints(app, t);
    const auto plain = app.client<ask>(plain_name), coroutine = app.client<ask>(task_name);
    const auto notes = app.client<keyed_note>(keyed_name);
    run_failing(loop, use(plain, coroutine, notes, t));
    demand(t.sent + t.refused == 9 && t.answered + t.told == 6, "everything ended");
    check_end(app, t);
}

// The endpoint is made by a message that may wait: at the second look, if not at the first.
void ask_for_room_first() {
    tally t;
    run_loop loop;
    bus app(loop);
    make_endpoints(app, t);
    const auto notes = app.client<keyed_note>(keyed_name);
    run_failing(loop, [](client<keyed_note> to, tally& count) -> task<> {
        const auto room = co_await to.send_when_room(1);
        ++(room ? count.sent : count.refused);
    }(notes, t));
    demand(t.sent + t.refused == 1, "it was sent or refused");
    check_end(app, t);
}

task<> child(int& ran) {
    co_await sleep_for(1us);
    ++ran;
}
task<> open_scope(int& ran) {
    scope s(co_await this_context);
    std::exception_ptr thrown;
    detail::guarded(
        [&] {
            s.spawn(&child, std::ref(ran));
            s.spawn(&child, std::ref(ran));
        },
        [&](const std::exception_ptr& e) { thrown = e; });
    co_await s.join();
    if (thrown) detail::rethrow(thrown);
}
task<> all_together(client<ask> c) {
    const auto all = co_await when_all(c.call(2), sleep_for(1us), c.call(3));
    demand(std::get<1>(all).has_value(), "when_all gives all");
}
task<> first_of_two(client<ask> c) {
    const auto first = co_await when_any(c.call(2), sleep_for(1h));
    demand(first.index() == 0, "when_any gives the first");
}
task<> two_calls(client<ask> c) {
    const auto both = co_await gather(c.call(2), c.call(3));
    demand(std::tuple_size_v<decltype(both)> == 2, "gather gives both");
}
task<> stand_abroad() { co_await foreign(); }

// What starts several things at once may throw, and starts nothing then.
void together() {
    tally t;
    run_loop loop;
    bus app(loop);
    make_endpoints(app, t);
    const auto c = app.client<ask>(task_name);
    int ran = 0;
    const bool all_spawned = done([&] { sync_wait(loop, open_scope(ran)); });
    demand(all_spawned ? ran == 2 : ran < 2, "a scope's tasks run, or are not spawned");
    done_at_last([&] { sync_wait(loop, all_together(c)); });
    done_at_last([&] { sync_wait(loop, first_of_two(c)); });
    done_at_last([&] { sync_wait(loop, two_calls(c)); });
    done_at_last([&] { sync_wait(loop, stand_abroad()); });
    done_at_last([&] { app.run([&] { return stand_abroad(); }); });
    const auto drained = app.drain(10s);
    demand(drained->in_time && drained->total.adds_up(), "the account adds up");
}

// A bus that cannot be made is not made, and no thread of it is left.
void make_a_bus() {
    bus_options options;
    options.threads = 2;
    std::optional<bus> app;
    done_at_last([&] { app.emplace(options); });
    tally t;
    make_endpoints(*app, t);
    const auto c = app->client<ask>(task_name);
    const auto r = app->run([&]() -> task<result<int>> { co_return co_await c.call(7); });
    demand(r && *r == 7, "it works");
}

// An endpoint that cannot be made is not there, and its name is free.
void furnish() {
    run_loop loop;
    bus app(loop);
    int dead = 0;
    const auto plain = [](const ask& a) { return a.n; };
    const auto note = [](const keyed_note&) -> result<void> { return failure(code::rejected); };
    done_at_last([&] { app.handle<ask>(plain_name, plain); });
    done_at_last([&] { app.handle<ask>(task_name, parallel(70), plain); });
    done_at_last([&] { app.handle<keyed_note>(keyed_name, keyed(&keyed_note::key), note); });
    done_at_last([&] { app.dead_letters().on_letter([&dead](const dead_letter&) { ++dead; }); });
    std::optional<client<ask>> c;
    std::optional<client<keyed_note>> notes;
    done_at_last([&] { c.emplace(app.client<ask>(task_name)); });
    done_at_last([&] { notes.emplace(app.client<keyed_note>(keyed_name)); });
    notes->send(1);
    notes->send(2);
    const auto r = app.run([&]() -> task<result<int>> { co_return co_await c->call(7); });
    demand(r && *r == 7, "the endpoint is there");
    const auto drained = app.drain(1s);
    demand(drained->total.adds_up() && drained->endpoints.size() == 3, "all of them are there");
    demand(dead == 2, "the hook is there");
    int looked_at = 0;
    done_at_last([&] {
        looked_at = 0;
        app.dead_letters().for_each([&](const dead_letter&) { ++looked_at; });
    });
    demand(looked_at == 2, "the letters are there");
    demand(app.counts(keyed_name).failed == 2, "the account is there");
}

// A policy that cannot be put upon another one leaves that where it is.
void stack_policies() {
    run_loop loop;
    bus app(loop);
    app.handle<ask>(plain_name, [](const ask& a) { return a.n; });
    std::optional<shed> outer, inner;
    done_at_last([&] { outer.emplace(); });
    done_at_last([&] { inner.emplace(); });
    call_settings s{forever};
    outer->apply(s);
    const auto before = s.watch;
    if (!done([&] { inner->apply(s); })) {
        demand(s.watch == before, "the other one is there");
        inner->apply(s);
    }
    demand(s.watch != before && s.watch->asks(*before), "both are asked");
    std::optional<client<ask>> c;
    done_at_last([&] { c.emplace(app.client<ask>(plain_name, retry() | *outer | *inner)); });
    const auto r = app.run([&]() -> task<result<int>> { co_return co_await c->call(7); });
    demand(r && *r == 7, "the client works");
}

// Who subscribes hears the latest messages, or it is counted that he does not.
void hear_latest() {
    run_loop loop;
    bus app(loop);
    constexpr std::uint64_t topics_kept = 3;
    for (std::uint64_t i = 0; i != topics_kept; ++i)
        app.publisher<keyed_note>("t." + std::to_string(i), keep_latest).publish(7);
    std::uint64_t heard = 0;
    subscription s;
    done_at_last([&] {
        s = app.subscribe<keyed_note>(topics("t.*").latest(), parallel(70),
                                      [&](const keyed_note&) { ++heard; });
    });
    loop.drive_ready();
    const account a = s.counts();
    demand(a.accepted + a.refused == topics_kept, "each is accepted or refused");
    demand(a.adds_up() && a.handled == heard && a.left == 0, "the account adds up");
    app.publish<keyed_note>("t.0", 7);
    loop.drive_ready();
    demand(s.counts().handled == heard && heard == a.handled + 1, "it hears the next one");
}

// On a pool, whose threads may be the ones without memory.
void on_a_pool() {
    tally t;
    bus_options options;
    options.threads = 2;
    bus app(options);
    make_endpoints(app, t);
    const auto plain = app.client<ask>(plain_name), coroutine = app.client<ask>(task_name);
    const auto notes = app.client<keyed_note>(keyed_name);
    const bool outside = done([&] { sync_wait(use(plain, coroutine, notes, t)); });
    const std::uint64_t calls = t.answered + t.told, sends = t.sent + t.refused;
    demand(outside ? calls == 6 && sends == 9 : calls == 0 && sends == 0, "all ended outside");
    const bool inside = done([&] { app.run([&] { return use(plain, coroutine, notes, t); }); });
    demand(t.answered + t.told == calls + (inside ? 6 : 0), "all ended inside");
    check_end(app, t);
}

// A bus that ends with all of it in flight.
void end_with(bool drains) {
    std::atomic<std::uint64_t> sent = 0, handled = 0, dead = 0;
    std::uint64_t accounted = 0;
    {
        bus_options options;
        options.threads = 2;
        options.grace = 0ms;
        run_loop loop;
        std::optional<bus> app;
        if (allocation % 2 == 0) app.emplace(options);
        else app.emplace(loop, options);
        app->dead_letters().on_letter([&dead](const dead_letter&) { ++dead; });
        const auto sleeps = [&](ask a) -> task<int> {
            if (a.n == 0) co_await stand_still();
            co_await sleep_for(1h);
            ++handled;
            co_return a.n;
        };
        app->handle<ask>(plain_name, sleeps);
        app->handle<ask>(task_name, parallel(2), sleeps);
        app->handle<keyed_note>(keyed_name, keyed(&keyed_note::key), [&](keyed_note) -> task<> {
            co_await sleep_for(1h);
            ++handled;
        });
        const auto plain = app->client<ask>(plain_name), coroutine = app->client<ask>(task_name);
        const auto notes = app->client<keyed_note>(keyed_name);
        {
            const failing now;
            for (int n = 0; n != 4; ++n) {
                sent += plain.send(n) ? 1u : 0u;
                sent += coroutine.send(n) ? 1u : 0u;
                sent += notes.send(n) ? 1u : 0u;
            }
            if (!drains) app.reset();
        }
        if (drains) {
            done_at_last([&] {
                const auto drained = app->drain(0ms);
                demand(drained->total.adds_up(), "the account adds up");
                accounted = drained->total.accepted;
            });
            demand(accounted == sent, "all are in the account");
        }
    }
    demand(handled + dead <= sent, "nothing ends twice");
    demand(handled + dead + 1 >= sent, "each was handled, or is a dead letter");  // but for one
}
void drain() { end_with(true); }
void destroy() { end_with(false); }

struct named {
    const char* name;
    void (*run)();
};
constexpr std::array scenarios{
    named{"conversation", &converse},
    named{"a first send that waits", &ask_for_room_first},
    named{"together", &together},
    named{"a new bus", &make_a_bus},
    named{"new endpoints", &furnish},
    named{"policies", &stack_policies},
    named{"latest messages", &hear_latest},
    named{"a pool", &on_a_pool},
    named{"a drain", &drain},
    named{"an end", &destroy},
};

}  // namespace

int main() {
    if (!detail::exceptions_enabled) return 0;  // there std::string may not fail
    if (!testing::own_operator_new) return 0;
    for (const named& s : scenarios) {
        scenario = s.name;
        const long before_all = testing::failures;
        int over = 0;  // on a pool the number of allocations varies
        for (allocation = 0; over != 3 && allocation != 10'000; ++allocation) {
            const long before = testing::failures;
            std::thread(s.run).join();  // nothing is recycled yet
            demand(detail::live_frames == 0, "no frame is left");
            over = testing::failures == before ? over + 1 : 0;
        }
        const long failed = testing::failures - before_all;
        std::printf("%4ld allocations failed, one at a time, in %s\n", failed, s.name);
        demand(over == 3 && failed > 5, "all of them were tried");
    }
    return errors == 0 ? 0 : 1;
}
