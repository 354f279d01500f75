#include <posthaste/serve/stream.hpp>

#include "../support/conversation.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct count_to {
    using reply = stream<int>;
    int n;
    duration pause{};
};
struct refuse_or_count {
    using reply = stream<int>;
    bool refuse = false;
};
struct boxes {
    using reply = stream<std::unique_ptr<std::string>>;
};
struct texts {
    using reply = stream<std::string>;
};

// Says where it is, and when its variables are destroyed.
struct producer_log {
    int yielded = 0, ended = 0, begun = 0;
};
struct on_end {
    producer_log& log;
    explicit on_end(producer_log& l) noexcept : log(l) { ++log.begun; }
    on_end(const on_end&) = delete;
    ~on_end() { ++log.ended; }
};

void make_counter(bus& app, producer_log& log) {
    app.handle<count_to>("count", [&log](count_to q) -> stream<int> {
        const on_end guard(log);
        for (int i = 1; i <= q.n; ++i) {
            if (q.pause != duration()) {
                const auto slept = co_await sleep_for(q.pause);
                if (!slept) co_return;
            }
            ++log.yielded;
            co_yield i;
        }
    });
}

// Takes all there is: the values, and how it ended.
template <typename T>
struct taken {
    std::vector<T> values;
    std::string end;
};
template <typename T>
task<taken<T>> take_all(stream<T>& from, duration pause = {}) {
    taken<T> t;
    for (;;) {
        if (pause != duration()) static_cast<void>(co_await sleep_for(pause));
        auto next = co_await from.next();
        if (!next) {
            t.end = outcome(next);
            break;
        }
        if (!*next) {
            t.end = "end";
            break;
        }
        t.values.push_back(std::move(**next));
    }
    co_return std::move(t);
}
std::vector<int> numbers(int n) {
    std::vector<int> all;
    for (int i = 1; i <= n; ++i) all.push_back(i);
    return all;
}

}  // namespace

TEST_CASE("stream: all values come, in order, and then the end") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 20))));
    const int n = GENERATE(0, 1, 15, 16, 17, 100);
    const duration slow_producer = GENERATE(as<duration>(), 0ms, 1ms);
    const duration slow_consumer = GENERATE(as<duration>(), 0ms, 3ms);
    producer_log log;
    bus app(sim);
    make_counter(app, log);
    app.run([&]() -> task<> {
        auto values = co_await app.client<count_to>("count").call(n, slow_producer);
        REQUIRE(values);
        const auto all = co_await take_all(*values, slow_consumer);
        CHECK(all.values == numbers(n));
        CHECK(all.end == "end");
        const auto again = co_await values->next();
        CHECK(again.has_value());
        CHECK_FALSE(again->has_value());
    });
    CHECK(log.ended == 1);
    CHECK(app.counts("count").handled == 1);
    CHECK(app.counts("count").adds_up());
}

TEST_CASE("stream: the producer is at most 16 values ahead") {
    testing::no_frames_left frames;
    simulation sim;
    producer_log log;
    bus app(sim);
    make_counter(app, log);
    app.run([&]() -> task<> {
        auto values = co_await app.client<count_to>("count").call(1000);
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(log.yielded == 16);
        for (int i = 0; i != 7; ++i) static_cast<void>(co_await values->next());
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(log.yielded == 16);  // goes on when half of them are taken
        static_cast<void>(co_await values->next());
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(log.yielded == 24);
    });
}

TEST_CASE(
    "stream: its caller goes on before the first value is there, and takes each as it comes") {
    testing::no_frames_left frames;
    simulation sim;
    producer_log log;
    bus app(sim);
    make_counter(app, log);
    app.run([&]() -> task<> {
        auto values = co_await app.client<count_to>("count").call(3, 10ms);
        CHECK(sim.elapsed() == 0ms);
        for (int i = 1; i <= 3; ++i) {
            const auto next = co_await values->next();
            CHECK(**next == i);
            CHECK(sim.elapsed() == i * 10ms);
        }
    });
}

TEST_CASE("stream: what the producer throws comes after all values before it") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<count_to>("count", [](count_to q) -> stream<int> {
        for (int i = 1; i <= q.n; ++i) co_yield i;
        throw std::runtime_error("out of numbers");
    });
    const int n = GENERATE(0, 3, 16, 40);
    app.run([&]() -> task<> {
        auto values = co_await app.client<count_to>("count").call(n);
        REQUIRE(values);
        static_cast<void>(co_await sleep_for(1ms));
        for (int i = 1; i <= n; ++i) {
            const auto next = co_await values->next();
            CHECK(**next == i);
        }
        auto end = co_await values->next();
        REQUIRE_FALSE(end);
        CHECK(outcome(end) == "handler failed, complete");
        CHECK(end.error().message() == "handler failed at count: out of numbers");
        CHECK_THROWS_AS(std::move(end).or_throw(), std::runtime_error);
        const auto again = co_await values->next();
        CHECK(outcome(again) == "closed, none");
    });
    CHECK(app.counts("count").failed == 1);
    CHECK(app.dead_letters().total() == 0);  // its caller has seen it
}

TEST_CASE("stream: destroyed or cancelled, it ends its producer, wherever that is") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 30))));
    const duration pause = GENERATE(as<duration>(), 0ms, 1ms);
    const int taken_before = GENERATE(0, 1, 8, 20);
    const bool by_cancel = GENERATE(true, false);
    producer_log log;
    bus app(sim);
    make_counter(app, log);
    app.run([&]() -> task<> {
        auto values = co_await app.client<count_to>("count").call(1'000'000, pause);
        REQUIRE(values);
        for (int i = 0; i != taken_before; ++i) static_cast<void>(co_await values->next());
        if (by_cancel) {
            values->cancel();
            const auto next = co_await values->next();
            CHECK(outcome(next) == "cancelled, unknown");
        } else {
            const auto gone = std::move(*values);
        }
        const auto before = sim.elapsed();
        for (int i = 0; i != 20; ++i) co_await yield();
        CHECK(log.ended == log.begun);  // its variables are gone
        CHECK(sim.elapsed() == before);
        // and the endpoint is free again
        auto more = co_await app.client<count_to>("count").call(1);
        const auto first = co_await more->next();
        CHECK(**first == 1);
    });
    CHECK(app.counts("count").handled == 2);
}

TEST_CASE("stream: the deadline of the call ends it as a whole, on both sides") {
    testing::no_frames_left frames;
    simulation sim;
    producer_log log;
    bus app(sim);
    make_counter(app, log);
    const auto hurried = app.client<count_to>("count", deadline(35ms));
    SECTION("while the consumer waits") {
        app.run([&]() -> task<> {
            auto values = co_await hurried.call(1000, 10ms);
            const auto all = co_await take_all(*values);
            CHECK(all.values == numbers(3));
            CHECK(all.end == "deadline exceeded, unknown");
            CHECK(sim.elapsed() == 35ms);
            for (int i = 0; i != 20; ++i) co_await yield();
            CHECK(log.ended == 1);
        });
    }
    SECTION("while the producer waits for a consumer who does something else") {
        app.run([&]() -> task<> {
            auto values = co_await hurried.call(1000);
            static_cast<void>(co_await sleep_for(34ms));
            CHECK(log.ended == 0);
            static_cast<void>(co_await sleep_for(2ms));
            CHECK(log.ended == 1);  // the endpoint is not kept by somebody who forgets
            const auto all = co_await take_all(*values);
            CHECK(all.values == numbers(16));
            CHECK(all.end == "deadline exceeded, unknown");
        });
        CHECK(app.counts("count").failed == 1);
    }
    SECTION("which is the caller's own, where that is nearer") {
        struct outer {
            using reply = std::string;
        };
        app.handle<outer>("outer", [&](outer, context& ctx) -> task<std::string> {
            auto values = co_await app.client<count_to>("count", deadline(1h)).call(1000, 10ms);
            CHECK(ctx.deadline() == time_point(25ms));
            const auto all = co_await take_all(*values);
            CHECK(all.values == numbers(2));
            co_return all.end;
        });
        app.run([&]() -> task<> {
            const auto r = co_await app.client<outer>("outer", deadline(25ms)).call();
            CHECK(outcome(r) == "deadline exceeded, unknown");
            co_await yield();
        });
    }
    SECTION("not where it is forever") {
        app.run([&]() -> task<> {
            auto values = co_await app.client<count_to>("count", deadline(forever)).call(3, 1h);
            const auto all = co_await take_all(*values);
            CHECK(all.values == numbers(3));
            CHECK(all.end == "end");
        });
    }
}

TEST_CASE("stream: a consumer that is stopped while it waits loses no value") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 40))));
    producer_log log;
    bus app(sim);
    make_counter(app, log);
    app.run([&]() -> task<> {
        auto values = co_await app.client<count_to>("count").call(3, 10ms);
        int seen = 0;
        bool cancelled = false;
        const auto take_one = [&]() -> task<> {
            const auto next = co_await values->next();
            if (next) {
                CHECK(**next == ++seen);
            } else {
                cancelled = true;
                CHECK(outcome(next) == "cancelled, unknown");
            }
        };
        for (int i = 0; i != 3; ++i)  // some as the value comes
            static_cast<void>(co_await when_any(take_one(), sleep_for(i == 1 ? 10ms : 6ms)));
        CHECK(cancelled);
        const auto rest = co_await take_all(*values);
        CHECK(seen + static_cast<int>(rest.values.size()) == 3);
        CHECK(rest.end == "end");
    });
}

TEST_CASE("stream: a drain lets it finish, and ends it with the grace") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 10))));
    const duration pause = GENERATE(as<duration>(), 0ms, 10ms);
    producer_log log;
    std::optional<taken<int>> all;
    bus app(sim);
    make_counter(app, log);
    launched<void> consumer(sim, [](bus& b, duration p, std::optional<taken<int>>& to) -> task<> {
        auto values = co_await b.client<count_to>("count").call(p == duration() ? 100'000 : 10, p);
        to = co_await take_all(*values, p == duration() ? duration(1ms) : duration());
    }(app, pause, all));
    sim.advance(35ms);
    const auto account = app.drain(1s);
    REQUIRE(account);
    CHECK(log.ended == 1);
    CHECK(account->total.adds_up());
    sim.run_until_idle();
    REQUIRE(all);
    if (pause != duration()) {  // it had the time
        CHECK(account->in_time);
        CHECK(all->values == numbers(10));
        CHECK(all->end == "end");
    } else {
        CHECK_FALSE(account->in_time);
        CHECK(all->values == numbers(static_cast<int>(all->values.size())));
        CHECK(all->end == "cancelled, unknown");
        CHECK(account->total.failed == 1);
    }
}

TEST_CASE("stream: a bus destroyed with streams at every step leaves no frame and nobody waiting") {
    testing::no_frames_left frames;
    const auto seed = static_cast<std::uint64_t>(GENERATE(range(1, 300)));
    simulation sim(seed);
    producer_log log;
    int ends = 0, begun = 0;
    {
        bus_options options;
        options.grace = 0s;
        std::optional<bus> app(std::in_place, sim, options);
        make_counter(*app, log);
        app->handle<boxes>("deaf", parallel(4), [&](boxes) -> boxes::reply {
            const on_end guard(log);
            co_yield std::make_unique<std::string>("one");
            co_await testing::stand_still();  // heeds no stop
        });
        const auto consume = [&](auto c, auto... args) -> task<> {
            ++begun;
            auto values = co_await c.call(args...);
            if (values) static_cast<void>(co_await take_all(*values));
            ++ends;
        };
        launched<void> a(sim, consume(app->client<count_to>("count"), 30, duration(1us)));
        launched<void> b(sim, consume(app->client<count_to>("count"), 40));
        launched<void> c(sim, consume(app->client<boxes>("deaf")));
        static_cast<void>(app->client<count_to>("count").send(5));
        struct until {
            simulation& sim;
            std::uint64_t steps;
        } some{sim, seed};
        sim.drive_while(
            [](void* u) {
                const until& that = *static_cast<until*>(u);
                return that.sim.steps() < that.steps;
            },
            &some, never);
        app.reset();
        sim.run_until_idle();
        CHECK(ends == 3);
    }
    CHECK(begun == 3);
    CHECK(log.ended == log.begun);
}

TEST_CASE("stream: a serial endpoint takes the next message when it has ended") {
    testing::no_frames_left frames;
    simulation sim;
    producer_log log;
    bus app(sim);
    make_counter(app, log);
    const auto count = app.client<count_to>("count");
    app.run([&]() -> task<> {
        auto first = co_await count.call(2, 10ms);
        auto second = co_await count.call(1);
        CHECK(sim.elapsed() == 20ms);
        const auto next = co_await second->next();
        CHECK(**next == 1);
        const auto all = co_await take_all(*first);
        CHECK(all.values == numbers(2));
    });
}

TEST_CASE("stream: a handler may refuse instead, or give somebody else's") {
    testing::no_frames_left frames;
    simulation sim;
    producer_log log;
    bus app(sim);
    make_counter(app, log);
    const auto two = [](int from) -> stream<int> {
        co_yield from;
        co_yield from + 1;
    };
    app.handle<refuse_or_count>("may", [&](const refuse_or_count& q) -> result<stream<int>> {
        if (q.refuse) return failure(code::rejected, effect::none, "not today");
        return two(7);
    });
    app.handle<texts>("throws", [](texts) -> stream<std::string> {
        throw std::runtime_error("no texts");  // it is no coroutine
    });
    app.handle<count_to>("passes_on", [&](count_to q) -> task<result<stream<int>>> {
        co_return co_await app.client<count_to>("count").call(q.n, 1ms);
    });
    app.handle<count_to>("forgets", [&](count_to) -> task<stream<int>> { co_return two(1); });
    app.run([&]() -> task<> {
        const auto may = app.client<refuse_or_count>("may");
        const auto refused = co_await may.call(true);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().message() == "rejected at may: not today");
        auto given = co_await may.call(false);
        const auto both = co_await take_all(*given);
        CHECK(both.values == std::vector{7, 8});
        const auto threw = co_await app.client<texts>("throws").call();
        CHECK(outcome(threw) == "handler failed, complete");

        auto others = co_await app.client<count_to>("passes_on").call(3);
        CHECK(app.counts("passes_on").handled == 1);  // it is free again
        CHECK(app.counts("count").left == 1);
        const auto all = co_await take_all(*others);
        CHECK(all.values == numbers(3));

        auto none = co_await app.client<count_to>("forgets").call(1);
        const auto next = co_await none->next();
        CHECK(outcome(next) == "no reply, none");
    });
}

TEST_CASE("stream: of what cannot be copied, by a handler that keeps the message and the context") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<boxes>("boxes", [](const boxes&, context& ctx) -> boxes::reply {
        for (int i = 0; !ctx.stop_requested(); ++i) {
            auto box = std::make_unique<std::string>("number " + std::to_string(i));
            co_yield std::move(box);
        }
    });
    app.handle<texts>("texts", [](const texts&) -> stream<std::string> {
        const std::string kept = "a text that is longer than what is stored in place";
        co_yield kept;
        co_yield "another text that is longer than what is stored in place";
        CHECK(!kept.empty());
    });
    app.run([&]() -> task<> {
        auto all = co_await app.client<boxes>("boxes").call();
        for (int i = 0; i != 40; ++i) {
            const auto next = co_await all->next();
            CHECK(***next == "number " + std::to_string(i));
        }
        stream<std::unique_ptr<std::string>> moved = std::move(*all);
        const auto next = co_await moved.next();
        CHECK(***next == "number 40");
        auto words = co_await app.client<texts>("texts").call();
        const auto both = co_await take_all(*words);
        CHECK(both.values.size() == 2);
    });
}

TEST_CASE("stream: sent instead of called, the producer ends at its first co_yield") {
    testing::no_frames_left frames;
    simulation sim;
    producer_log log;
    bus app(sim);
    make_counter(app, log);
    const auto count = app.client<count_to>("count");
    CHECK(count.send(100));
    CHECK(count.send(100, 1ms));  // nobody asks it to stop
    sim.run_until_idle();
    CHECK(log.yielded == 2);
    CHECK(log.ended == 2);
    CHECK(app.counts("count").handled == 2);
}

TEST_CASE("stream: a caller who has gone, or goes as it is answered, ends the producer") {
    testing::no_frames_left frames;
    const auto seed = static_cast<std::uint64_t>(GENERATE(range(1, 100)));
    simulation sim(seed);
    producer_log log;
    launched<void>* caller = nullptr;
    bus app(sim);
    app.handle<count_to>("count", [&](count_to q) -> stream<int> {
        if (q.n == 0) caller->stop();  // it is no coroutine: before the caller is answered
        return [](producer_log& l) -> stream<int> {
            const on_end guard(l);
            for (;;) co_yield 1;
        }(log);
    });
    launched<void> asks(sim, [](client<count_to> c, int n) -> task<> {
        auto values = co_await c.call(n);
        if (values) static_cast<void>(co_await take_all(*values, 1us));
    }(app.client<count_to>("count", deadline(forever)), static_cast<int>(seed % 2)));
    caller = &asks;
    sim.drive_while([](void* left) { return (*static_cast<std::uint64_t*>(left))-- != 0; },
                    std::make_unique<std::uint64_t>(seed % 20).get(), never);
    asks.stop();
    sim.advance(1ms);
    if (seed % 2 != 0) app.client<count_to>("count").send(1);
    sim.advance(1ms);
    CHECK(app.counts("count").left == 0);
    CHECK(app.counts("count").adds_up());
    CHECK(log.ended == log.begun);
    CHECK(asks.done());
    const account all = app.counts("count");
    if (seed % 2 == 0) CHECK(all.late + all.dropped == all.accepted);  // nobody was answered
}

TEST_CASE("stream: a producer that blocks its thread does not keep what it has yielded") {
    testing::no_frames_left frames;
    bus_options options;
    options.threads = 2;
    bus app(options);
    std::atomic<bool> taken = false;
    app.handle<count_to>("count", [&](count_to) -> stream<int> {
        co_yield 1;
        while (!taken) {}
        co_yield 2;
    });
    app.run([&]() -> task<> {
        auto values = co_await app.client<count_to>("count", deadline(forever)).call(2);
        const auto first = co_await values->next();
        CHECK(**first == 1);
        taken = true;
        const auto second = co_await values->next();
        CHECK(**second == 2);
    });
}

namespace {
struct cancels {  // the stream it came by, when it goes
    std::unique_ptr<std::optional<stream<cancels>>*> of;
    explicit cancels(std::optional<stream<cancels>>& s)
        : of(std::make_unique<std::optional<stream<cancels>>*>(&s)) {}
    cancels(cancels&&) noexcept = default;
    ~cancels() {
        if (of && **of) (**of)->cancel();
    }
};
struct many_of_them {
    using reply = stream<cancels>;
};
}  // namespace

TEST_CASE("stream: its values may cancel it when they go") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::optional<stream<cancels>> values;
    int made = 0;
    app.handle<many_of_them>("many", [&](many_of_them) -> stream<cancels> {
        for (; made != 10; ++made) {
            cancels one(values);
            co_yield std::move(one);
        }
    });
    app.run([&]() -> task<> {
        auto r = co_await app.client<many_of_them>("many").call();
        REQUIRE(r);
        values.emplace(*std::move(r));
        {
            const auto first = co_await values->next();
            REQUIRE(first);
            CHECK(first->has_value());
        }
        const auto none = co_await values->next();
        CHECK(outcome(none) == "cancelled, unknown");
    });
    CHECK(made == 10);
}
