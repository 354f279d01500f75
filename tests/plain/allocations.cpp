// Contract 8: no operator new per call, send and publish in the steady state, on one thread and
// across threads. Every form of it is counted.
#include <posthaste/posthaste.hpp>

#include "../support/operator_new.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <tuple>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::news;

namespace {

constexpr long rounds = 5'000;  // of each operation
constexpr long window = 64;  // messages under way at a time
constexpr long never_ends = -1;  // the key of a message whose handler stands still

struct ask {
    using reply = long;
    long n;
};
struct count_to {
    using reply = stream<long>;
    long n;
};
struct note {
    long key;
};
struct event_note {
    long key;
};
struct held_note {
    long key;
};
constexpr long subscribers = 8;
struct keyed_text {
    std::string key;  // too long to be stored in place: must not be copied for each message
};

int errors = 0;
void report(const char* what, long allocations) {
    std::printf("%-44s %ld operator new for %ld\n", what, allocations, rounds);
    if (!detail::address_sanitizer && allocations != 0) ++errors;
}

struct counters {
    std::atomic<long> handled = 0, beats = 0;
    std::atomic<bool> full = false;  // what keeps the queue full is being handled
    event go_on;  // what stands still ends
};

void make_endpoints(bus& app, counters& c) {
    app.handle<ask>("plain", [](ask a) { return a.n; });
    app.handle<ask>("task", [](ask a) -> task<long> { co_return a.n; });
    app.handle<ask>("later", parallel(2), [](ask a) -> task<long> {
        co_await yield();
        co_return a.n;
    });
    app.handle<count_to>("stream", [](count_to q) -> stream<long> {
        for (long i = 0; i != q.n; ++i) co_yield i;
    });
    const auto handler = [&c](const note&) -> task<> {
        c.handled.fetch_add(1, std::memory_order_relaxed);
        co_return;
    };
    app.handle<note>("serial", serial, handler);
    app.handle<note>("parallel", parallel(4), handler);
    app.handle<note>("keyed", keyed(&note::key), handler);
    const auto log = app.client<note>("serial");
    const auto tell = app.publisher<event_note>("held");
    app.handle<held_note>("held", [&app, log, tell](held_note h, outbox& out) {
        if (!out.send(log, h.key) || !out.send_after(log, 1us, h.key) ||
            !out.publish(tell, h.key) ||
            !out.publish<event_note>(app, "held.by.a.name.too.long.to.be.stored.in.place", h.key)) {
            ++errors;
        }
        return h.key % 3 == 0 ? result<void>(failure(code::unavailable)) : result<void>();
    });
    app.handle<note>("waits", serial.capacity(4).full(when_full::wait), handler);
    // A key that stands still, beside which all others pass.
    app.handle<note>("evicts", keyed(&note::key).capacity(2 * window).full(when_full::drop_oldest),
                     [&c](note n) -> task<> {
                         if (n.key == never_ends) co_await c.go_on.wait();
                         else c.handled.fetch_add(1, std::memory_order_relaxed);
                     });
    app.handle<note>("beats",
                     [&c](const note&) { c.beats.fetch_add(1, std::memory_order_relaxed); });
    app.handle<ask>("full", serial.capacity(1), [&c](ask a) -> task<long> {
        c.full = true;
        co_await c.go_on.wait();
        co_return a.n;
    });
    const auto hear = [&c](const event_note&) {
        c.handled.fetch_add(1, std::memory_order_relaxed);
    };
    for (long i = 0; i != subscribers; ++i) {
        const auto to = i % 2 == 0 ? "events.*" : "events.happened";
        if (i < 6) app.subscribe<event_note>(to, hear).keep();
        else if (i < 7) app.subscribe<event_note>(to, parallel(2), hear).keep();
        else app.subscribe<event_note>(to, keyed(&event_note::key), hear).keep();
    }
    app.subscribe<event_note>(topics("latest").latest(), hear).keep();
    app.subscribe<event_note>("held", hear).keep();
    app.subscribe<event_note>("held.>", hear).keep();
    app.handle<keyed_text>("texts", keyed(&keyed_text::key), [&c](const keyed_text&) {
        c.handled.fetch_add(1, std::memory_order_relaxed);
    });
}

task<> call_many(client<ask> c) {
    for (long i = 0; i != rounds; ++i) {
        const auto r = co_await c.call(i);
        if (!r || *r != i) ++errors;
    }
}
// Never more than a window ahead of the handlers.
task<> send_many(client<note> c, std::atomic<long>& handled, long keys) {
    const long before = handled;
    for (long i = 0; i != rounds; ++i) {
        if (!c.send(i % keys)) ++errors;
        while (i - (handled - before) > window) co_await yield();
    }
    while (handled - before != rounds) co_await yield();
}
// To eight subscribers, of three modes, and by name as well.
task<> publish_many(bus& app, publisher<event_note> to, std::atomic<long>& handled) {
    const long before = handled;
    for (long i = 0; i != rounds; ++i) {
        const auto p =
            i % 2 == 0 ? to.publish(i % 8) : app.publish<event_note>("events.happened", i % 8);
        if (p.accepted != subscribers) ++errors;
        while (i * subscribers - (handled - before) > window) co_await yield();
    }
    while (handled - before != rounds * subscribers) co_await yield();
}
task<> publish_latest(publisher<event_note> to, std::atomic<long>& handled) {
    const long before = handled;
    for (long i = 0; i != rounds; ++i) {
        if (to.publish(i).accepted != 1) ++errors;
        while (i - (handled - before) > window) co_await yield();
    }
    while (handled - before != rounds) co_await yield();
}
task<> send_waiting(client<note> c, std::atomic<long>& handled) {
    const long before = handled;
    for (long i = 0; i != rounds; ++i) {
        const auto ok = co_await c.send_when_room(i);
        if (!ok) ++errors;
    }
    while (handled - before != rounds) co_await yield();
}
// Into a queue that is full: refused, with code, effect and text.
task<> be_refused(client<ask> c, std::atomic<bool>& full) {
    // one is handled, and then one queued, for as long as this goes on
    static_cast<void>(c.send(0));
    while (!full) co_await yield();
    static_cast<void>(c.send(0));
    for (long i = 0; i != rounds; ++i) {
        const auto sent = c.send(i);
        if (sent || sent.error().detail() != "the queue is full") ++errors;
        const auto called = co_await c.call(i);
        if (called || called.error().detail() != "the queue is full") ++errors;
    }
}
// Sent when they are due, a window at a time; each beside one that is cancelled.
task<> send_later(client<note> c, std::atomic<long>& handled) {
    const long before = handled;
    for (long i = 0; i < rounds; i += window) {
        const long some = std::min(window, rounds - i);
        for (long n = 0; n != some; ++n) {
            if (!c.send_after(1us, n)) ++errors;
            if (!c.send_after(1h, n).cancel()) ++errors;
        }
        while (handled - before != i + some) co_await yield();
    }
}
// A third of the handlers fail, so that what they hold vanishes; they are called, as a message that
// fails is a dead letter, which takes memory.
task<> hold_many(client<held_note> c, std::atomic<long>& handled) {
    const long before = handled;
    for (long i = 0, sent = 0; i != rounds; ++i) {
        const auto r = co_await c.call(i);
        sent += r.has_value();
        if (r.has_value() != (i % 3 != 0)) ++errors;
        while (handled - before != 4 * sent) co_await yield();
    }
}
task<> send_again(client<note> c, std::atomic<long>& beats) {
    const long before = beats;
    auto beat = c.send_every(10us, 1);
    while (beats - before < 100) co_await yield();
    if (!beat.cancel()) ++errors;  // one may still be on its way
}
task<> take_streams(client<count_to> c) {
    for (long i = 0; i < rounds; i += 100) {
        auto values = co_await c.call(100);
        for (long n = 0; n != 100; ++n) {
            const auto next = co_await values->next();
            if (!next || **next != n) ++errors;
        }
        if (i % 200 == 0) continue;  // is cancelled
        const auto end = co_await values->next();
        if (!end || *end) ++errors;
    }
}
task<> call_two(client<ask> c) {
    for (long i = 0; i != rounds; ++i) {
        const auto both = co_await gather(c.call(i), c.call(i + 1));
        if (*std::get<0>(both) != i) ++errors;
    }
}
task<> call_two_in_time(client<ask> c) {
    for (long i = 0; i != rounds; ++i) {
        const auto both = co_await gather(1min, c.call(i), c.call(i + 1));
        if (*std::get<0>(both) != i) ++errors;
    }
}
task<long> one_call(client<ask> c, long n) { co_return *co_await c.call(n); }
task<> call_an_array(client<ask> c) {
    using call = decltype(c.call(1));
    for (long i = 0; i != rounds; i += 4) {
        std::array tasks{one_call(c, i), one_call(c, i + 1)};
        const auto two = co_await when_all<task<long>>(std::move(tasks));
        if (two != std::array{i, i + 1}) ++errors;
        std::array calls{c.call(i), c.call(i + 1)};
        const auto both = co_await when_all<call>(std::move(calls));
        if (*both[0] != i || *both[1] != i + 1) ++errors;
    }
}
task<> call_until_one_is_good(client<ask> c) {
    for (long i = 0; i != rounds; ++i) {
        const auto one = co_await first_of(c.call(i), c.call(i));
        if (*one != i) ++errors;
    }
}
task<> call_until_two_are_good(client<ask> c) {
    for (long i = 0; i != rounds; ++i) {
        const auto two = co_await quorum(2, c.call(i), c.call(i), c.call(i));
        if (!two) ++errors;
    }
}
const keyed_text keys[] = {{"a key that is longer than what is stored in place"},
                           {"another key that is longer than what is stored in place"}};
task<> send_texts(client<keyed_text> c, std::atomic<long>& handled) {
    const long before = handled;
    long allocated_by_copies = 0;
    for (long i = 0; i != rounds; ++i) {
        const long now = news;
        keyed_text copy = keys[i % 2];  // the message's own
        allocated_by_copies += news - now;
        if (!c.send(std::move(copy.key))) ++errors;
        while (i - (handled - before) > window) co_await yield();
    }
    while (handled - before != rounds) co_await yield();
    news -= allocated_by_copies;
}

/// Runs it until the memory it needs is there, then counts. On other threads that takes some
/// rounds: each thread's memory grows to the most that was ever out of it at once, and who gets
/// how far ahead is the scheduler's. What allocates each round, or once in some thousand
/// operations, never has a round without. AddressSanitizer has nothing recycled.
template <typename Run>
void steady(const char* what, Run run) {
    long allocations = 0;
    for (int round = 0; round != 200; ++round) {
        const long before = news;
        run();
        allocations = news - before;
        if (round != 0 && (allocations == 0 || detail::address_sanitizer)) break;
    }
    report(what, allocations);
}

template <typename On>
void all_on(const char* where, bus& app, counters& c, On on) {
    const auto named = [&](const char* what) { return std::string(where) + ": " + what; };
    const auto go = [&](const char* what, auto make) {
        const std::string text = named(what);
        steady(text.c_str(), [&] { on(make()); });
    };
    const auto plain = app.client<ask>("plain"), later = app.client<ask>("later");
    const auto coroutine = app.client<ask>("task");
    go("call, a function", [&] { return call_many(plain); });
    go("call, a task", [&] { return call_many(coroutine); });
    go("call, a task that suspends", [&] { return call_many(later); });
    const auto policies = deadline(1min) | retry() | breaker() | limit(100);
    const auto guarded = app.client<ask>("plain", policies);
    const auto guarded_later = app.client<ask>("later", policies);
    go("call through policies, a function", [&] { return call_many(guarded); });
    go("call through policies, a task that suspends", [&] { return call_many(guarded_later); });
    go("gather of two", [&] { return call_two(later); });
    go("when_all of an array", [&] { return call_an_array(later); });
    go("gather of two, in time", [&] { return call_two_in_time(later); });
    go("first_of two", [&] { return call_until_one_is_good(later); });
    go("quorum, two of three", [&] { return call_until_two_are_good(later); });
    go("send, serial", [&] { return send_many(app.client<note>("serial"), c.handled, 1); });
    go("send, parallel", [&] { return send_many(app.client<note>("parallel"), c.handled, 1); });
    go("send, keyed, 8 keys", [&] { return send_many(app.client<note>("keyed"), c.handled, 8); });
    go("send, keyed, ever new keys",
       [&] { return send_many(app.client<note>("keyed"), c.handled, rounds); });
    go("send, keyed by a text",
       [&] { return send_texts(app.client<keyed_text>("texts"), c.handled); });
    if (!app.client<note>("evicts").send(never_ends)) ++errors;
    go("send, keyed, beside one that stands still",
       [&] { return send_many(app.client<note>("evicts"), c.handled, 8); });
    go("stream", [&] { return take_streams(app.client<count_to>("stream")); });
    go("send_after", [&] { return send_later(app.client<note>("serial"), c.handled); });
    go("held in an outbox", [&] { return hold_many(app.client<held_note>("held"), c.handled); });
    go("send_every", [&] { return send_again(app.client<note>("beats"), c.beats); });
    go("refused", [&] { return be_refused(app.client<ask>("full"), c.full); });
    const auto to = app.publisher<event_note>("events.happened");
    go("publish to 8", [&] { return publish_many(app, to, c.handled); });
    const auto kept = app.publisher<event_note>("latest", keep_latest);
    go("publish, kept as the latest", [&] { return publish_latest(kept, c.handled); });
    const auto nobody = app.publisher<event_note>("nobody");
    go("publish to nobody", [&]() -> task<> {
        for (long i = 0; i != rounds; ++i) {
            if (nobody.publish(i).accepted + app.publish<event_note>("none", i).accepted != 0)
                ++errors;
        }
        co_return;
    });
    go("send_when_room", [&] { return send_waiting(app.client<note>("waits"), c.handled); });
}

}  // namespace

int main() {
    {
        counters c;
        run_loop loop;
        bus app(loop);
        make_endpoints(app, c);
        all_on("one thread", app, c, [&](task<> t) { sync_wait(loop, std::move(t)); });
        c.go_on.set();
    }
    {
        counters c;
        bus_options options;
        options.threads = 2;
        bus app(options);
        make_endpoints(app, c);
        all_on("its own pool", app, c, [&](task<> t) { sync_wait(app.home(), std::move(t)); });
        run_loop mine;
        all_on("this thread", app, c, [&](task<> t) { sync_wait(mine, std::move(t)); });
        thread_pool other(2);
        all_on("another pool", app, c, [&](task<> t) { sync_wait(other, std::move(t)); });
    }
    return errors == 0 ? 0 : 1;
}
