// That an unjoined scope ends the program is shown by tests/plain/scope.cpp.
#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/scope.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/when_any.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/serve/bus.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/sleep.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

static_assert(!std::is_default_constructible_v<scope>);

bool cancelled(const result<void>& r) { return !r && r.error().code() == code::cancelled; }

// Throws when it is copied for the nth time.
struct fragile {
    explicit fragile(int n) noexcept : left(n) {}
    fragile(const fragile& other) : left(other.left - 1) {
        if (left == 0) throw std::runtime_error("no more copies");
    }
    int left;
};

// Wakes the coroutine as it falls asleep, as another thread would, and then does something.
struct woken_at_once {
    static constexpr bool keeps_home = true;
    const std::function<void()>& then;
    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    void await_suspend(std::coroutine_handle<Promise> h) const noexcept {
        const std::function<void()>& f = then;
        frame& me = h.promise();
        me.run(me);  // *this may be gone
        f();
    }
    void await_resume() const noexcept {}
};

// Of many sizes.
template <std::size_t Size>
task<std::size_t> stands_still() {
    std::array<unsigned char, Size> all{1};
    co_await yield();
    co_return all[0];
}
template <std::size_t Size>
task<> awaits() {
    for (int i = 0; i != 4; ++i) static_cast<void>(co_await stands_still<Size>());
}

}  // namespace

TEST_CASE("scope: a task that ended while its thread was in it is not taken for another one") {
    testing::no_frames_left frames;
    run_loop loop, another;
    std::deque<testing::started> all;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (all.emplace_back(another, awaits<1 + 16 * I>()), ...);
    }(std::make_index_sequence<32>());
    // Some of these have frames where that of the task was.
    const std::function<void()> then = [&] { another.drive_ready(); };
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        s.spawn([&] { return woken_at_once{then}; });
        co_await s.join();
    };
    sync_wait(loop, body());
    for (testing::started& each : all) CHECK(each.ended());
}

TEST_CASE("scope: join() waits for all of its tasks, which run beside") {
    testing::no_frames_left frames;
    simulation world;
    int ended = 0;
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        const auto nap = [&ended](duration d) -> task<> {
            static_cast<void>(co_await sleep_for(d));
            ++ended;
        };
        for (int i = 1; i <= 10; ++i) s.spawn(nap, duration(i * 1ms));
        CHECK(ended == 0);
        co_await s.join();
        CHECK(ended == 10);
    };
    sync_wait(world, body());
    CHECK(world.elapsed() == 10ms);
}

TEST_CASE("scope: keeps callables and arguments until their tasks have ended") {
    testing::no_frames_left frames;
    simulation world;
    std::vector<std::string> seen;
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        {
            const std::string word = "a string too long to be kept within its object";
            const auto box = std::make_shared<int>(1);
            auto by_capture = [&seen, word, box]() -> task<> {
                co_await yield();
                seen.push_back(word + std::to_string(*box));
            };
            s.spawn(by_capture);             // copied
            s.spawn(std::move(by_capture));  // moved
            auto by_argument = [&seen](const std::string& w, std::unique_ptr<int> n) -> task<> {
                static_cast<void>(co_await sleep_for(1ms));
                seen.push_back(w + std::to_string(*n));
            };
            s.spawn(by_argument, "a literal that becomes a string for the call",
                    std::make_unique<int>(0));
            s.spawn(std::move(by_argument), word, std::make_unique<int>(2));
        }
        s.spawn(
            [&seen, text = std::string("a temporary with something that it has captured")](
                int n) -> task<> {
                static_cast<void>(co_await sleep_for(2ms));
                seen.push_back(text + std::to_string(n));
            },
            3);
        co_await s.join();
    };
    sync_wait(world, body());
    std::sort(seen.begin(), seen.end());
    CHECK(seen == std::vector<std::string>{"a literal that becomes a string for the call0",
                                           "a string too long to be kept within its object1",
                                           "a string too long to be kept within its object1",
                                           "a string too long to be kept within its object2",
                                           "a temporary with something that it has captured3"});
}

TEST_CASE("scope: spawns whatever can be awaited, and drops its value") {
    testing::no_frames_left frames;
    simulation world;
    event ready;
    int ran = 0;
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        const auto value = [&ran]() -> task<std::string> {
            ++ran;
            co_return "dropped";
        };
        const auto wait = [&ready] { return ready.wait(); };
        s.spawn(value);
        s.spawn(wait);
        s.spawn([] { return sleep_for(5ms); });
        ready.set();
        co_await s.join();
    };
    sync_wait(world, body());
    CHECK(ran == 1);
    CHECK(world.elapsed() == 5ms);
}

TEST_CASE("scope: spawns member functions of objects that outlive it") {
    testing::no_frames_left frames;
    simulation world;
    struct service {
        task<> add(int n) {
            co_await yield();
            sum += n;
        }
        int sum = 0;
    } s;
    const auto body = [&]() -> task<> {
        scope inside(co_await this_context);
        inside.spawn(&service::add, &s, 3);
        inside.spawn(&service::add, std::ref(s), 4);
        co_await inside.join();
    };
    sync_wait(world, body());
    CHECK(s.sum == 7);
}

TEST_CASE("scope: cancel() asks all to stop, and waits until they have") {
    testing::no_frames_left frames;
    simulation world;
    int stopped = 0, tidied = 0;
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        const auto child = [&]() -> task<> {
            const result<void> slept = co_await sleep_for(1h);
            if (cancelled(slept)) ++stopped;
            // What comes after a cancel must not be cut short by the stop: it takes its time.
            for (int i = 0; i != 3; ++i) co_await yield();
            ++tidied;
        };
        for (int i = 0; i != 5; ++i) s.spawn(child);
        static_cast<void>(co_await sleep_for(1ms));
        co_await s.cancel();
        CHECK(stopped == 5);
        CHECK(tidied == 5);
        CHECK(s.stop().stop_requested());
    };
    sync_wait(world, body());
    CHECK(world.elapsed() == 1ms);
}

TEST_CASE("scope: request_stop() does not wait, and does not stop who opened the scope") {
    testing::no_frames_left frames;
    simulation world;
    int stopped = 0;
    const auto body = [&]() -> task<> {
        const context& mine = co_await this_context;
        scope s(mine);
        const auto child = [&]() -> task<> { stopped += cancelled(co_await sleep_for(1h)); };
        s.spawn(child);
        s.request_stop();
        CHECK(stopped == 0);
        s.spawn(child);  // is born stopped
        CHECK_FALSE(mine.stop_requested());
        co_await s.join();
    };
    sync_wait(world, body());
    CHECK(stopped == 2);
}

TEST_CASE("scope: the first exception stops the others, and comes out of join()") {
    testing::no_frames_left frames;
    simulation world;
    int stopped = 0;
    const auto body = [&]() -> task<std::string> {
        scope s(co_await this_context);
        const auto waits = [&]() -> task<> {
            stopped += cancelled(co_await sleep_for(1h));
            throw std::runtime_error("a later one");
        };
        const auto throws = []() -> task<> {
            static_cast<void>(co_await sleep_for(2ms));
            throw std::runtime_error("the first one");
        };
        s.spawn(waits);
        s.spawn(throws);
        s.spawn(waits);
        std::string what;
        try {
            co_await s.join();
        } catch (const std::runtime_error& e) {
            what = e.what();
        }
        CHECK(stopped == 2);
        co_await s.join();  // what it threw is told once
        co_return what;
    };
    CHECK(sync_wait(world, body()) == "the first one");
    CHECK(world.elapsed() == 2ms);
}

TEST_CASE("scope: the exception of a callable that is no coroutine counts as its task's") {
    testing::no_frames_left frames;
    simulation world;
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        const auto refuses = []() -> task<> { throw std::logic_error("before it began"); };
        s.spawn(refuses);
        co_await s.join();
    };
    CHECK_THROWS_WITH(sync_wait(world, body()), "before it began");
}

TEST_CASE("scope: a copy that throws in spawn() starts nothing") {
    testing::no_frames_left frames;
    simulation world;
    int ran = 0;
    bool threw = false;
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        const auto child = [&ran](const fragile&) -> task<> {
            ++ran;
            co_return;
        };
        const fragile f(2);
        try {
            s.spawn(child, f);
        } catch (const std::runtime_error&) {
            threw = true;
        }
        co_await s.join();
    };
    sync_wait(world, body());
    CHECK(threw);
    CHECK(ran == 0);
}

TEST_CASE("scope: works under the context it was opened with, and is stopped with it") {
    testing::no_frames_left frames;
    simulation world;
    stop_source stop;
    int stopped = 0;
    time_point deadline = never;
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        const auto child = [&]() -> task<> {
            const context& ctx = co_await this_context;
            deadline = ctx.deadline();
            stopped += cancelled(co_await sleep_for(1h));
        };
        s.spawn(child);
        s.spawn(child);
        co_await s.join();
    };
    testing::started t(world, body(), stop.token(), time_point(5s));
    world.advance(1ms);
    CHECK(deadline == time_point(5s));
    stop.request_stop();
    world.advance(0s);
    CHECK(t.ended());
    CHECK(stopped == 2);
}

TEST_CASE(
    "scope: its deadline is reckoned from when it was opened, not from when it is asked for") {
    testing::no_frames_left frames;
    simulation world;
    struct ask {
        using reply = posthaste::duration;
    };
    duration in_scope{}, in_any{};
    const auto later = [](duration& seen) -> task<> {
        static_cast<void>(co_await sleep_for(1s));
        const context& ctx = co_await this_context;
        seen = ctx.deadline().time_since_epoch();
    };
    {
        bus app(world);
        app.handle<ask>("asked", [&](ask) -> task<duration> {
            scope s(co_await this_context);
            s.spawn(later, std::ref(in_scope));
            static_cast<void>(co_await when_any(later(in_any), sleep_for(1h)));
            co_await s.join();
            co_return world.elapsed();
        });
        const auto c = app.client<ask>("asked");
        const auto body = [&]() -> task<bool> {
            const auto answer = co_await c.call();
            co_return answer.has_value();
        };
        CHECK(app.run(body));
    }
    CHECK(in_scope == 5s);
    CHECK(in_any == 5s);
}

TEST_CASE("scope: opened where stop was requested already, it is stopped from the beginning") {
    testing::no_frames_left frames;
    simulation world;
    stop_source stop;
    stop.request_stop();
    bool stopped = false;
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        const auto child = [&]() -> task<> { stopped = cancelled(co_await sleep_for(1h)); };
        s.spawn(child);
        co_await s.join();
    };
    testing::started t(world, body(), stop.token());
    world.advance(0s);
    CHECK(t.ended());
    CHECK(stopped);
}

TEST_CASE("scope: tasks may spawn more, which are waited for, after join() it may be used again") {
    testing::no_frames_left frames;
    simulation world;
    int ran = 0;
    struct tree {
        static task<> grow(scope& s, int& n, int depth) {
            ++n;
            co_await yield();
            if (depth == 0) co_return;
            s.spawn(&tree::grow, std::ref(s), std::ref(n), depth - 1);
            s.spawn(&tree::grow, std::ref(s), std::ref(n), depth - 1);
        }
    };
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        co_await s.join();  // nothing yet
        s.spawn(&tree::grow, std::ref(s), std::ref(ran), 5);
        co_await s.join();
        CHECK(ran == 63);
        s.spawn(&tree::grow, std::ref(s), std::ref(ran), 0);
        co_await s.join();
    };
    sync_wait(world, body());
    CHECK(ran == 64);
}

TEST_CASE("scope: what is spawned from outside of its executor is waited for as well") {
    testing::no_frames_left frames;
    simulation world;
    event all_spawned, go_on;
    scope* open = nullptr;
    int ended = 0;
    const auto waits = [&]() -> task<> {
        static_cast<void>(co_await go_on.wait());
        ++ended;
    };
    const auto waits_more = [&](int n) -> task<> {
        for (int i = 0; i != n; ++i) co_await waits();
    };
    const auto body = [&]() -> task<> {
        scope s(co_await this_context);
        open = &s;
        s.spawn(waits);
        static_cast<void>(co_await all_spawned.wait());
        co_await s.join();
        CHECK(ended == 4);
    };
    testing::started opener(world, body());
    world.run_until_idle();
    REQUIRE(open);
    open->spawn(waits);
    open->spawn(waits_more, 2);
    all_spawned.set();
    world.run_until_idle();
    CHECK_FALSE(opener.ended());
    go_on.set();
    world.run_until_idle();
    CHECK(opener.ended());
}

TEST_CASE("scope: on a pool its tasks run on all threads, and none is lost") {
    testing::no_frames_left frames;
    thread_pool pool(3);
    std::atomic<int> ran = 0;
    std::atomic<bool> abroad = false;
    const auto body = [&]() -> task<> {
        for (int round = 0; round != 50; ++round) {
            scope s(co_await this_context);
            const auto child = [&](int n) -> task<> {
                for (int i = 0; i != n; ++i) co_await yield();
                if (!pool.here()) abroad = true;
                ++ran;
            };
            for (int i = 0; i != 40; ++i) s.spawn(child, i % 4);
            co_await s.join();
        }
    };
    sync_wait(pool, body());
    CHECK(ran == 2000);
    CHECK_FALSE(abroad);
}

TEST_CASE("scope: a bus that ends destroys a handler that stands in one, with the scope's tasks") {
    testing::no_frames_left frames;
    struct ask {};
    struct deaf {  // nobody resumes it, and no stop reaches it
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<>) const noexcept {}
        void await_resume() const noexcept {}
    };
    const auto alive = std::make_shared<int>();
    detail::flag begun;
    {
        bus_options options;
        options.threads = 2;
        options.grace = 0ms;
        bus app(options);
        const auto child = [](std::shared_ptr<int>) -> task<> { co_await deaf(); };
        app.handle<ask>("asked", [&](ask) -> task<> {
            scope s(co_await this_context);
            s.spawn(child, alive);
            s.spawn(child, alive);
            co_await yield();
            begun.set();
            co_await s.join();
        });
        CHECK(app.client<ask>("asked").send().has_value());
        begun.wait();
    }
    CHECK(alive.use_count() == 1);
}

TEST_CASE("scope: where all stand still for ever, its tasks are destroyed with it") {
    testing::no_frames_left frames;
    simulation world;
    event never_set;
    const auto alive = std::make_shared<int>();
    const auto child = [&](std::shared_ptr<int>) -> task<> {
        static_cast<void>(co_await never_set.wait());
    };
    SECTION("in join()") {
        const auto body = [&]() -> task<> {
            scope s(co_await this_context);
            const auto captures = [&never_set, alive]() -> task<> {
                static_cast<void>(co_await never_set.wait());
            };
            for (int i = 0; i != 3; ++i) {
                s.spawn(child, alive);
                s.spawn(captures);
            }
            co_await s.join();
        };
        CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    }
    SECTION("before join()") {
        const auto body = [&]() -> task<> {
            scope s(co_await this_context);
            const auto short_lived = []() -> task<> { co_return; };
            s.spawn(short_lived);
            s.spawn(child, alive);
            s.spawn(short_lived);
            static_cast<void>(co_await never_set.wait());
            co_await s.join();
        };
        CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    }
    CHECK(alive.use_count() == 1);
}

TEST_CASE("scope: a callable is destroyed after its task, also where that stands") {
    testing::no_frames_left frames;
    simulation world;
    event never_set;
    struct goes {
        goes(std::string& to, const char* what) : to_(&to), what_(what) {}
        goes(goes&& other) noexcept : to_(std::exchange(other.to_, nullptr)), what_(other.what_) {}
        ~goes() {
            if (to_) *to_ += what_;
        }
        std::string* to_;
        const char* what_;
    };
    std::string seen;
    for (const bool ends : {true, false}) {
        CAPTURE(ends);
        seen.clear();
        const auto body = [&]() -> task<> {
            scope s(co_await this_context);
            auto f = [&seen, &never_set, ends, last = goes(seen, "callable")]() -> task<> {
                const goes first(seen, "local, ");
                if (ends) co_await yield();
                else static_cast<void>(co_await never_set.wait());
            };
            s.spawn(std::move(f));
            co_await s.join();
        };
        if (ends) sync_wait(world, body());
        else CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
        CHECK(seen == "local, callable");
    }
}

TEST_CASE("scope: what a task spawns or wakes as it is destroyed runs first, and goes, too") {
    testing::no_frames_left frames;
    simulation world;
    event never_set, last_words;
    const auto alive = std::make_shared<int>();
    int ran = 0;
    struct at_its_end {
        explicit at_its_end(std::function<void()> f) : does(std::move(f)) {}
        at_its_end(const at_its_end&) = delete;
        ~at_its_end() { does(); }
        std::function<void()> does;
    };
    const auto body = [&](bool joins) -> task<> {
        scope s(co_await this_context);
        const auto ends = [&ran](std::shared_ptr<int>) -> task<> {
            ++ran;
            co_return;
        };
        const auto stands = [&ran, &never_set](std::shared_ptr<int>) -> task<> {
            ++ran;
            static_cast<void>(co_await never_set.wait());
        };
        const auto goes = [&](std::function<void()> f) -> task<> {
            const at_its_end last(std::move(f));
            static_cast<void>(co_await never_set.wait());
        };
        const auto hears = [&ran, &last_words](std::shared_ptr<int>) -> task<> {
            static_cast<void>(co_await last_words.wait());
            ++ran;
        };
        s.spawn(hears, alive);  // the first one: the last one to go
        s.spawn(goes, [&s, ends, alive] { s.spawn(ends, alive); });
        s.spawn(goes, [&s, ends, alive] { s.spawn([ends, alive] { return ends(alive); }); });
        s.spawn(goes, [&s, stands, alive] { s.spawn(stands, alive); });
        s.spawn(goes, [&s, stands, alive] { s.spawn([stands, alive] { return stands(alive); }); });
        s.spawn(goes, [&last_words] { last_words.set(); });
        const at_its_end own([&s, ends, alive] {
            s.spawn(ends, alive);
            s.spawn([ends, alive] { return ends(alive); });
        });
        if (!joins) static_cast<void>(co_await never_set.wait());
        co_await s.join();
    };
    const bool joins = GENERATE(false, true);
    CHECK_THROWS_AS(sync_wait(world, body(joins)), simulation::stuck);
    CHECK(ran == 7);
    CHECK(alive.use_count() == 1);
}

TEST_CASE("scope: who joins it and is destroyed there is not resumed when its tasks end then") {
    testing::no_frames_left frames;
    simulation world;
    event never_set, last_words;
    int heard = 0, locals = 0, resumed = 0;
    struct at_its_end {
        explicit at_its_end(std::function<void()> f) : does(std::move(f)) {}
        at_its_end(const at_its_end&) = delete;
        ~at_its_end() { does(); }
        std::function<void()> does;
    };
    const auto goes = [&]() -> task<> {
        const at_its_end last([&] { last_words.set(); });
        static_cast<void>(co_await never_set.wait());
    };
    const auto hears = [&]() -> task<> {
        static_cast<void>(co_await last_words.wait());
        ++heard;
    };
    const auto joins = [&](scope& outer) -> task<> {
        const at_its_end own([&] { ++locals; });
        scope inner(co_await this_context);  // goes first
        inner.spawn(goes);
        co_await outer.join();
        ++resumed;
        co_await inner.join();
    };
    const auto body = [&](bool below) -> task<> {
        const at_its_end own([&] { ++locals; });
        scope first(co_await this_context);
        first.spawn(hears);
        if (below) {
            co_await joins(first);
        } else {
            scope second(co_await this_context);
            second.spawn(goes);
            co_await first.join();
            ++resumed;
            co_await second.join();
        }
    };
    const bool below = GENERATE(false, true);
    CHECK_THROWS_AS(sync_wait(world, body(below)), simulation::stuck);
    CHECK(heard == 1);
    CHECK(resumed == 0);
    CHECK(locals == (below ? 2 : 1));
}

TEST_CASE("scope: is destroyed, with its tasks, before who joins it where it stands") {
    testing::no_frames_left frames;
    simulation world;
    event never_set;
    const auto alive = std::make_shared<int>();
    const auto body = [&](int tasks) -> task<> {
        scope outer(co_await this_context);
        scope inner(co_await this_context);
        for (int i = 0; i != tasks; ++i) {
            inner.spawn([&, alive]() -> task<> { static_cast<void>(co_await never_set.wait()); });
        }
        outer.spawn([&]() -> task<> { co_await inner.join(); });
        co_await outer.join();
    };
    const int tasks = GENERATE(1, 2);
    CHECK_THROWS_AS(sync_wait(world, body(tasks)), simulation::stuck);
    CHECK(alive.use_count() == 1);
}
