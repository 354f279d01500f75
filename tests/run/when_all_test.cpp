#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/sleep.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

task<int> after(duration d, int n) {
    static_cast<void>(co_await sleep_for(d));
    co_return n;
}
task<std::string> word(std::string w) { co_return w; }
task<> nothing_much() { co_return; }
task<int> throws_after(duration d, const char* what) {
    static_cast<void>(co_await sleep_for(d));
    throw std::runtime_error(what);
}

}  // namespace

TEST_CASE("when_all: runs all at once, and gives their values in the order of the arguments") {
    testing::no_frames_left frames;
    simulation world;
    const auto body = [&]() -> task<> {
        auto [a, b, c] = co_await when_all(after(30ms, 1), word("two"), after(10ms, 3));
        CHECK(a == 1);
        CHECK(b == "two");
        CHECK(c == 3);
    };
    sync_wait(world, body());
    CHECK(world.elapsed() == 30ms);
}

TEST_CASE("when_all: takes all that can be awaited, void becomes nothing") {
    testing::no_frames_left frames;
    simulation world;
    event ready;
    int n = 0;
    const auto box = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
    const auto alias = [&]() -> task<int&> { co_return n; };
    const auto body = [&]() -> task<> {
        ready.set();
        auto all = co_await when_all(nothing_much(), ready.wait(), sleep_for(1ms), box(), alias());
        STATIC_REQUIRE(
            std::is_same_v<decltype(all), std::tuple<detail::nothing, result<void>, result<void>,
                                                     std::unique_ptr<int>, int&>>);
        CHECK(std::get<1>(all).has_value());
        CHECK(*std::get<3>(all) == 4);
        CHECK(&std::get<4>(all) == &n);
    };
    sync_wait(world, body());
}

TEST_CASE("when_all: of nothing ends at once") {
    testing::no_frames_left frames;
    simulation world;
    const auto body = [&]() -> task<> {
        const std::tuple<> none = co_await when_all();
        static_cast<void>(none);
        std::vector<task<int>> no_tasks;
        const std::vector<int> values = co_await when_all(std::move(no_tasks));
        CHECK(values.empty());
        std::vector<task<>> no_void_tasks;
        co_await when_all(std::move(no_void_tasks));
    };
    sync_wait(world, body());
    CHECK(world.steps() == 1);
}

TEST_CASE("when_all: takes a vector of tasks, and gives a vector of values in their order") {
    testing::no_frames_left frames;
    simulation world;
    const auto body = [&]() -> task<> {
        std::vector<task<int>> tasks;
        for (int i = 0; i != 100; ++i) tasks.push_back(after(duration((i * 37 % 100) * 1ms), i));
        const std::vector<int> values = co_await when_all(std::move(tasks));
        REQUIRE(values.size() == 100);
        for (int i = 0; i != 100; ++i) CHECK(values[static_cast<std::size_t>(i)] == i);
        std::vector<task<>> quiet;
        for (int i = 0; i != 3; ++i) quiet.push_back(nothing_much());
        co_await when_all(std::move(quiet));
    };
    sync_wait(world, body());
    CHECK(world.elapsed() == 99ms);
}

TEST_CASE("when_all: takes an array of one kind, and gives an array of values in their order") {
    testing::no_frames_left frames;
    simulation world;
    event ready, set_later;
    const auto box = [](duration d, int n) -> task<std::unique_ptr<int>> {
        static_cast<void>(co_await sleep_for(d));
        co_return std::make_unique<int>(n);
    };
    const auto body = [&]() -> task<> {
        std::array tasks{after(30ms, 1), after(10ms, 2), after(20ms, 3)};
        const std::array<int, 3> values = co_await when_all<task<int>>(std::move(tasks));
        CHECK(values == std::array{1, 2, 3});
        CHECK(world.elapsed() == 30ms);
        for (const task<int>& t : tasks) CHECK_FALSE(t);

        std::array boxes{box(2ms, 4), box(1ms, 5)};
        auto boxed = co_await when_all<task<std::unique_ptr<int>>>(std::move(boxes));
        STATIC_REQUIRE(std::is_same_v<decltype(boxed), std::array<std::unique_ptr<int>, 2>>);
        CHECK(*boxed[0] == 4);
        CHECK(*boxed[1] == 5);

        std::array quiet{nothing_much(), nothing_much()};
        STATIC_REQUIRE(std::is_void_v<decltype(when_all<task<>>(std::move(quiet)).await_resume())>);
        co_await when_all<task<>>(std::move(quiet));

        ready.set();
        std::array waits{ready.wait(), set_later.wait()};
        std::array both{[](event& e) -> task<> {
                            static_cast<void>(co_await sleep_for(5ms));
                            e.set();
                        }(set_later),
                        [](std::array<decltype(set_later.wait()), 2> all) -> task<> {
                            using wait = decltype(ready.wait());
                            const auto heard = co_await when_all<wait>(std::move(all));
                            CHECK(heard[0].has_value());
                            CHECK(heard[1].has_value());
                        }(std::move(waits))};
        co_await when_all<task<>>(std::move(both));

        std::array<task<int>, 0> none;
        CHECK(co_await when_all<task<int>>(std::move(none)) == std::array<int, 0>());
    };
    sync_wait(world, body());
    CHECK(world.elapsed() == 37ms);
}

TEST_CASE("when_all: an array made by a function, or awaited in two steps, needs no name") {
    testing::no_frames_left frames;
    simulation world;
    const auto two = [] { return std::array{word("a"), word("b")}; };
    const auto body = [&]() -> task<> {
        const auto made = co_await when_all<task<std::string>>(two());
        CHECK(made == std::array<std::string, 2>{"a", "b"});
        auto all = when_all<task<std::string>>(std::array{word("c"), word("d")});
        const auto values = co_await std::move(all);
        CHECK(values == std::array<std::string, 2>{"c", "d"});
    };
    sync_wait(world, body());
    CHECK(world.steps() == 1);
}

TEST_CASE(
    "when_all: the first exception in the order of the arguments comes out, after all ended") {
    testing::no_frames_left frames;
    simulation world;
    int ended = 0;
    const auto slow = [&]() -> task<> {
        static_cast<void>(co_await sleep_for(50ms));
        ++ended;
    };
    const auto slow_int = [&]() -> task<int> {
        co_await slow();
        co_return 0;
    };
    const auto body = [&]() -> task<std::string> {
        std::string what;
        try {
            static_cast<void>(co_await when_all(slow(), throws_after(20ms, "first"),
                                                throws_after(1ms, "second")));
        } catch (const std::runtime_error& e) {
            what = e.what();
        }
        CHECK(ended == 1);
        co_return what;
    };
    CHECK(sync_wait(world, body()) == "first");
    CHECK(world.elapsed() == 50ms);

    const auto in_vector = [&]() -> task<> {
        std::vector<task<int>> tasks;
        tasks.push_back(after(1ms, 0));
        tasks.push_back(throws_after(0ms, "of a vector"));
        static_cast<void>(co_await when_all(std::move(tasks)));
    };
    CHECK_THROWS_WITH(sync_wait(world, in_vector()), "of a vector");

    const auto in_array = [&]() -> task<> {
        std::array tasks{slow_int(), throws_after(20ms, "first of an array"),
                         throws_after(1ms, "second")};
        static_cast<void>(co_await when_all<task<int>>(std::move(tasks)));
    };
    CHECK_THROWS_WITH(sync_wait(world, in_array()), "first of an array");
    CHECK(ended == 2);

    const auto of_void = [&]() -> task<> {
        const auto quiet = []() -> task<> {
            throw std::runtime_error("of nothing");
            co_return;
        };
        std::vector<task<>> tasks;
        tasks.push_back(quiet());
        co_await when_all(std::move(tasks));
    };
    CHECK_THROWS_WITH(sync_wait(world, of_void()), "of nothing");

    const auto array_of_void = [&]() -> task<> {
        const auto quiet = []() -> task<> {
            throw std::runtime_error("of nothing in an array");
            co_return;
        };
        std::array tasks{nothing_much(), quiet()};
        co_await when_all<task<>>(std::move(tasks));
    };
    CHECK_THROWS_WITH(sync_wait(world, array_of_void()), "of nothing in an array");
}

TEST_CASE("when_all: those that end at once go through no queue") {
    testing::no_frames_left frames;
    simulation world;
    const auto body = [&]() -> task<> {
        for (int i = 0; i != 100; ++i) {
            static_cast<void>(co_await when_all(word("a"), nothing_much(), word("b")));
        }
    };
    sync_wait(world, body());
    CHECK(world.steps() == 1);
}

TEST_CASE("when_all: all work under the context of who awaits them") {
    testing::no_frames_left frames;
    simulation world;
    stop_source stop;
    int stopped = 0;
    const auto child = [&]() -> task<> {
        const context& ctx = co_await this_context;
        CHECK(ctx.deadline() == time_point(5s));
        const result<void> slept = co_await sleep_for(1h);
        stopped += !slept && slept.error().code() == code::cancelled;
    };
    const auto body = [&]() -> task<> { static_cast<void>(co_await when_all(child(), child())); };
    testing::started t(world, body(), stop.token(), time_point(5s));
    world.advance(1s);
    stop.request_stop();
    world.advance(0s);
    CHECK(t.ended());
    CHECK(stopped == 2);
}

TEST_CASE("when_all: destroyed where they stand, all of them are gone") {
    testing::no_frames_left frames;
    simulation world;
    event never_set;
    const auto alive = std::make_shared<int>();
    const auto child = [&](std::shared_ptr<int>) -> task<> {
        static_cast<void>(co_await never_set.wait());
    };
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await when_all(child(alive), nothing_much(), child(alive)));
    };
    CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    CHECK(alive.use_count() == 1);
}

TEST_CASE("when_all: within one another, on a pool, none is lost") {
    testing::no_frames_left frames;
    thread_pool pool(3);
    std::atomic<int> leaves = 0;
    struct tree {
        static task<int> grow(int depth, std::atomic<int>& n) {
            co_await yield();
            if (depth == 0) co_return ++n, 1;
            auto both = co_await when_all(grow(depth - 1, n), grow(depth - 1, n));
            co_return std::get<0>(both) + std::get<1>(both);
        }
    };
    CHECK(sync_wait(pool, tree::grow(12, leaves)) == 4096);
    CHECK(leaves == 4096);
}
