#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/sleep.hpp>

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

task<int> twice(int n) { co_return 2 * n; }
task<> set(int& to, int n) {
    to = n;
    co_return;
}
task<int&> same(int& n) { co_return n; }
task<const std::string&> longer(const std::string& a, const std::string& b) {
    co_return a.size() < b.size() ? b : a;
}
task<std::unique_ptr<int>> boxed(int n) { co_return std::make_unique<int>(n); }
task<int> thrown(std::string text) {
    throw std::runtime_error(std::move(text));
    co_return 0;
}
task<int> sum_to(int n, unsigned& deepest) {
    deepest = std::max(deepest, detail::this_thread().depth);
    if (n == 0) co_return 0;
    const int rest = co_await sum_to(n - 1, deepest);
    co_return rest + 1;
}

// Counts how many of it there are.
struct counted {
    explicit counted(int& n) noexcept : count(&n) { ++*count; }
    counted(const counted& other) noexcept : counted(*other.count) {}
    counted& operator=(const counted&) = delete;
    ~counted() { --*count; }
    int* count;
};

// Another library's awaitable: resumed by a thread of its own.
struct on_another_thread {
    explicit on_another_thread(std::thread& t) noexcept : thread(t) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
        thread = std::thread([h] { h.resume(); });
    }
    std::thread::id await_resume() const noexcept { return thread.get_id(); }
    std::thread& thread;
};

}  // namespace

TEST_CASE("task: gives values, nothing, references and what can only be moved") {
    testing::no_frames_left frames;
    simulation world;
    int n = 1;
    const std::string a = "a", bb = "bb";
    const auto body = [&]() -> task<> {
        CHECK(co_await twice(21) == 42);
        co_await set(n, 7);
        CHECK(n == 7);
        int& alias = co_await same(n);
        CHECK(&alias == &n);
        const std::string& both = co_await longer(a, bb);
        CHECK(&both == &bb);
        const std::unique_ptr<int> p = co_await boxed(5);
        CHECK(*p == 5);
    };
    sync_wait(world, body());
    CHECK(n == 7);
}

TEST_CASE("task: what the body throws comes out where it is awaited") {
    testing::no_frames_left frames;
    simulation world;
    const auto body = [&]() -> task<std::string> {
        std::string text;
        try {
            text = std::to_string(co_await thrown("inner"));
        } catch (const std::runtime_error& e) {
            text = e.what();
        }
        co_return text;
    };
    CHECK(sync_wait(world, body()) == "inner");

    const auto through = []() -> task<int> { co_return co_await thrown("all the way"); };
    CHECK_THROWS_WITH(sync_wait(world, through()), "all the way");

    const auto late = []() -> task<> {
        static_cast<void>(co_await sleep_for(1s));
        throw std::logic_error("late");
    };
    const auto waits = [&]() -> task<> { co_await late(); };
    CHECK_THROWS_WITH(sync_wait(world, waits()), "late");
}

TEST_CASE("task: a result whose construction throws is an exception of the task") {
    testing::no_frames_left frames;
    struct picky {
        explicit picky(int n) {
            if (n < 0) throw std::invalid_argument("negative");
        }
    };
    const auto body = [](int n) -> task<picky> { co_return n; };
    simulation world;
    CHECK_NOTHROW(sync_wait(world, body(1)));
    CHECK_THROWS_AS(sync_wait(world, body(-1)), std::invalid_argument);
}

TEST_CASE("task: begins when it is awaited, not before") {
    testing::no_frames_left frames;
    simulation world;
    std::vector<int> order;
    const auto inner = [&]() -> task<> {
        order.push_back(2);
        co_return;
    };
    const auto body = [&]() -> task<> {
        task<> t = inner();
        order.push_back(1);
        co_await std::move(t);
        order.push_back(3);
    };
    sync_wait(world, body());
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("task: one that is never awaited is destroyed with what it holds") {
    testing::no_frames_left frames;
    int held = 0;
    bool begun = false;
    const auto body = [&begun](counted) -> task<> {
        begun = true;
        co_return;
    };
    {
        task<> t = body(counted(held));
        CHECK(held == 1);
        CHECK(static_cast<bool>(t));
        task<> u = std::move(t);
        CHECK_FALSE(static_cast<bool>(t));
        u = task<>();
        CHECK(held == 0);
        CHECK_FALSE(static_cast<bool>(u));
        u = body(counted(held));
    }
    CHECK(held == 0);
    CHECK_FALSE(begun);
}

TEST_CASE("task: one that is destroyed where it stands is gone with those it awaits") {
    testing::no_frames_left frames;
    simulation world;
    event never_set;
    int held = 0;
    bool went_on = false;
    const auto inner = [&](counted) -> task<> {
        const counted local(held);
        static_cast<void>(co_await never_set.wait());
        went_on = true;
    };
    const auto outer = [&]() -> task<> {
        const counted local(held);
        co_await inner(local);
        went_on = true;
    };
    {
        testing::started t(world, outer());
        world.run_until_idle();
        CHECK(held >= 3);  // two locals, a parameter, and perhaps what it was copied from
        t.destroy();
        CHECK(held == 0);
        never_set.set();
        world.run_until_idle();
    }
    CHECK_FALSE(went_on);
}

TEST_CASE("task: goes on at home after an event that another executor's work sets") {
    testing::no_frames_left frames;
    thread_pool pool(1);
    event ready;
    bool home_before = false, home_after = false;
    std::thread setter;
    const auto body = [&](run_loop& loop) -> task<> {
        home_before = loop.here();
        setter = std::thread([&] {
            const auto sets = [&]() -> task<> {
                ready.set();
                co_return;
            };
            sync_wait(pool, sets());
        });
        static_cast<void>(co_await ready.wait());
        home_after = loop.here();
    };
    {
        run_loop loop;
        sync_wait(loop, body(loop));
    }
    setter.join();
    CHECK(home_before);
    CHECK(home_after);
}

TEST_CASE("task: goes on at home after another thread resumed what it awaited") {
    testing::no_frames_left frames;
    std::thread other;
    std::thread::id woke_it, went_on;
    bool home = false;
    const auto body = [&](executor& where) -> task<> {
        woke_it = co_await on_another_thread(other);
        went_on = std::this_thread::get_id();
        home = where.here();
    };
    SECTION("a loop on this thread") {
        run_loop loop;
        sync_wait(loop, body(loop));
        CHECK(went_on == std::this_thread::get_id());
    }
    SECTION("a pool") {
        thread_pool pool(2);
        sync_wait(pool, body(pool));
        CHECK(went_on != std::this_thread::get_id());
    }
    other.join();
    CHECK(home);
    CHECK(woke_it != went_on);
}

TEST_CASE("task: goes on at home after a task that stood still") {
    testing::no_frames_left frames;
    simulation world;
    std::vector<std::string> order;
    const auto inner = [&](std::string name) -> task<std::string> {
        order.push_back("begin " + name);
        static_cast<void>(co_await sleep_for(10ms));
        order.push_back("end " + name);
        co_return name;
    };
    const auto body = [&]() -> task<bool> {
        const std::string first = co_await inner("first");
        order.push_back("between");
        const std::string second = co_await inner("second");
        CHECK(first + second == "firstsecond");
        co_return world.here();
    };
    CHECK(sync_wait(world, body()));
    CHECK(order == std::vector<std::string>{"begin first", "end first", "between", "begin second",
                                            "end second"});
    CHECK(world.elapsed() == 20ms);
}

TEST_CASE("task: goes on before what is queued, when what it awaited ends on its executor") {
    testing::no_frames_left frames;
    thread_pool pool(1);
    event ready;
    std::vector<std::string> order;  // no lock: there is one thread
    struct note : work {
        explicit note(std::vector<std::string>& o) noexcept : order(o) {
            run = [](work& w) noexcept { static_cast<note&>(w).order.push_back("queued"); };
        }
        std::vector<std::string>& order;
    } queued(order);
    const auto inner = [&]() -> task<> {
        static_cast<void>(co_await ready.wait());
        order.push_back("inner");
    };
    const auto outer = [&]() -> task<> {
        co_await inner();
        order.push_back("outer");
    };
    const auto body = [&](executor& at) -> task<> {
        testing::started waits(at, outer());
        co_await yield();
        ready.set();  // the inner one is queued, and then
        at.post(queued);
        while (order.size() != 3 || !waits.ended()) co_await yield();
    };
    sync_wait(pool, body(pool));
    CHECK(order == std::vector<std::string>{"inner", "outer", "queued"});
}

TEST_CASE("task: works under the context of who awaits it, however deep") {
    testing::no_frames_left frames;
    simulation world;
    stop_source stop;
    const context* seen = nullptr;
    bool same_below = false;
    const auto inner = [&]() -> task<> {
        const context& ctx = co_await this_context;
        seen = &ctx;
        co_await yield();
        const context& again = co_await this_context;
        same_below = &again == &ctx;
    };
    const auto outer = [&]() -> task<> { co_await inner(); };
    testing::started t(world, outer(), stop.token(), time_point(5s));
    world.run_until_idle();
    REQUIRE(t.ended());
    REQUIRE(seen != nullptr);
    CHECK(same_below);
    CHECK(seen->deadline() == time_point(5s));
    CHECK(seen->stop() == stop.token());
    CHECK(&seen->home() == &world);
}

TEST_CASE("task: a stop wakes what stands still under it") {
    testing::no_frames_left frames;
    simulation world;
    stop_source stop;
    bool cancelled = false;
    const auto inner = [&]() -> task<bool> {
        const result<void> slept = co_await sleep_for(1h);
        co_return !slept && slept.error().code() == code::cancelled;
    };
    const auto outer = [&]() -> task<> { cancelled = co_await inner(); };
    testing::started t(world, outer(), stop.token());
    world.advance(1s);
    CHECK_FALSE(t.ended());
    stop.request_stop();
    CHECK_FALSE(t.ended());  // not from within request_stop()
    world.advance(0s);
    CHECK(t.ended());
    CHECK(cancelled);
    CHECK(world.elapsed() == 1s);
}

TEST_CASE("task: a loop of awaits that end at once, and deep recursion, need no deep stack") {
    testing::no_frames_left frames;
    simulation world;
    const auto loop = []() -> task<long> {
        long sum = 0;
        for (int i = 0; i != 100'000; ++i) sum += co_await twice(1);
        co_return sum;
    };
    CHECK(sync_wait(world, loop()) == 200'000);
    CHECK(world.steps() == 1);  // none of them went through the queue
    unsigned deepest = 0;
    CHECK(sync_wait(world, sum_to(20'000, deepest)) == 20'000);
    CHECK(deepest > 1);
    CHECK(deepest <= detail::max_depth);
}

TEST_CASE("task: a result may be made from what the body returns") {
    testing::no_frames_left frames;
    simulation world;
    const auto text = []() -> task<std::string> { co_return "a literal"; };
    const auto braces = []() -> task<std::pair<int, std::string>> { co_return {1, "one"}; };
    CHECK(sync_wait(world, text()) == "a literal");
    CHECK(sync_wait(world, braces()) == std::pair<int, std::string>(1, "one"));
    STATIC_REQUIRE(std::is_same_v<task<>, task<void>>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<task<int>>);
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<task<int>>);
}

TEST_CASE("task: what the end of its body throws takes the place of the value") {
    testing::no_frames_left frames;
    struct thrower {
        explicit thrower(const char* t) noexcept : text(t) {}
        thrower(const thrower&) = delete;
        ~thrower() noexcept(false) { throw std::runtime_error(text); }
        const char* text;
    };
    int alive = 0;
    const auto fails = [&]() -> task<counted> {
        const thrower last("at the end");
        co_return counted(alive);
    };
    const auto tries_again = [&]() -> task<std::string> {
        try {
            const thrower last("at the end");
            co_return std::string(100, 'a');
        } catch (const std::runtime_error&) {}
        co_return std::string(100, 'b');
    };
    simulation world;
    CHECK_THROWS_WITH(sync_wait(world, fails()), "at the end");
    CHECK(alive == 0);
    CHECK(sync_wait(world, tries_again()) == std::string(100, 'b'));
}
