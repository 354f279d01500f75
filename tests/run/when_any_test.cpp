#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/when_any.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/sleep.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

bool cancelled(const result<void>& r) { return !r && r.error().code() == code::cancelled; }

task<int> after(duration d, int n) {
    static_cast<void>(co_await sleep_for(d));
    co_return n;
}
task<std::unique_ptr<int>> boxed(int n) { co_return std::make_unique<int>(n); }

}  // namespace

TEST_CASE("when_any: gives the first to end, and says which it was") {
    testing::no_frames_left frames;
    simulation world;
    const auto body = [&]() -> task<> {
        auto first = co_await when_any(after(30ms, 1), after(10ms, 2), sleep_for(20ms));
        STATIC_REQUIRE(std::is_same_v<decltype(first), std::variant<int, int, result<void>>>);
        CHECK(first.index() == 1);
        CHECK(std::get<1>(first) == 2);
    };
    sync_wait(world, body());
    CHECK(world.elapsed() == 10ms);
}

TEST_CASE("when_any: the losers are asked to stop, and awaited, nothing of them runs on") {
    testing::no_frames_left frames;
    simulation world;
    int stopped = 0, ended = 0;
    const auto loser = [&]() -> task<> {
        stopped += cancelled(co_await sleep_for(1h));
        for (int i = 0; i != 5; ++i) co_await yield();
        ++ended;
    };
    const auto body = [&]() -> task<> {
        auto first = co_await when_any(loser(), after(1ms, 7), loser(), loser());
        CHECK(first.index() == 1);
        CHECK(stopped == 3);
        CHECK(ended == 3);
    };
    sync_wait(world, body());
    CHECK(world.elapsed() == 1ms);
}

TEST_CASE("when_any: a loser that does not heed the stop is waited for") {
    testing::no_frames_left frames;
    simulation world;
    bool ended = false;
    const auto deaf = [&]() -> task<int> {
        for (int i = 0; i != 3; ++i) static_cast<void>(co_await sleep_for(1ms));
        ended = true;
        co_return 1;
    };
    const auto quick = []() -> task<> { co_return; };
    const auto body = [&]() -> task<> {
        auto first = co_await when_any(deaf(), quick());
        CHECK(first.index() == 1);
        CHECK(ended);
    };
    sync_wait(world, body());
}

TEST_CASE("when_any: what comes after one that ended at once is not started") {
    testing::no_frames_left frames;
    simulation world;
    bool begun = false;
    const auto late = [&]() -> task<> {
        begun = true;
        co_return;
    };
    const auto body = [&]() -> task<> {
        auto first = co_await when_any(boxed(3), late(), sleep_for(1h));
        CHECK(first.index() == 0);
        CHECK(*std::get<0>(first) == 3);
    };
    sync_wait(world, body());
    CHECK_FALSE(begun);
    CHECK(world.steps() == 1);
}

TEST_CASE("when_any: void becomes nothing, and of one it is that one") {
    testing::no_frames_left frames;
    simulation world;
    const auto quiet = []() -> task<> { co_await yield(); };
    const auto body = [&]() -> task<> {
        const auto first = co_await when_any(quiet());
        STATIC_REQUIRE(std::is_same_v<decltype(first), const std::variant<detail::nothing>>);
        CHECK(first.index() == 0);
    };
    sync_wait(world, body());
}

TEST_CASE("when_any: the winner's exception comes out, a loser's is dropped") {
    testing::no_frames_left frames;
    simulation world;
    bool loser_ended = false;
    const auto throws = [](duration d, const char* what) -> task<> {
        static_cast<void>(co_await sleep_for(d));
        throw std::runtime_error(what);
    };
    const auto loser = [&]() -> task<> {
        static_cast<void>(co_await sleep_for(1h));
        loser_ended = true;
        throw std::runtime_error("dropped");
    };
    const auto wins = [&]() -> task<> {
        static_cast<void>(co_await when_any(loser(), throws(1ms, "winner")));
    };
    CHECK_THROWS_WITH(sync_wait(world, wins()), "winner");
    CHECK(loser_ended);
    const auto loses = [&]() -> task<int> {
        auto first = co_await when_any(loser(), after(1ms, 5));
        co_return std::get<1>(first);
    };
    CHECK(sync_wait(world, loses()) == 5);
}

TEST_CASE("when_any: a stop of who awaits stops all of them") {
    testing::no_frames_left frames;
    simulation world;
    stop_source stop;
    int stopped = 0;
    std::size_t index = 9;
    const auto child = [&]() -> task<> { stopped += cancelled(co_await sleep_for(1h)); };
    const auto body = [&]() -> task<> {
        auto first = co_await when_any(child(), child());
        index = first.index();
    };
    SECTION("meanwhile") {
        testing::started t(world, body(), stop.token());
        world.advance(1s);
        CHECK(stopped == 0);
        stop.request_stop();
        world.advance(0s);
        CHECK(t.ended());
        CHECK(stopped == 2);
        CHECK(index < 2);
        CHECK(world.elapsed() == 1s);
    }
    SECTION("before") {
        stop.request_stop();
        testing::started t(world, body(), stop.token());
        world.advance(0s);
        CHECK(t.ended());
        CHECK(index == 0);
        CHECK(stopped == 1);  // the first ended at once, stopped; the second was not started
    }
}

TEST_CASE("when_any: its stop is its own: who awaits is not stopped by it, the deadline is kept") {
    testing::no_frames_left frames;
    simulation world;
    stop_source stop;
    bool kept = false, alone = false;
    const auto child = [&]() -> task<> {
        const context& ctx = co_await this_context;
        kept = ctx.deadline() == time_point(5s);
    };
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await when_any(child(), sleep_for(1h)));
        const context& mine = co_await this_context;
        alone = !mine.stop_requested();
        for (int i = 0; i != 3; ++i) {  // nor is the stop's list left with anything of it
            static_cast<void>(co_await when_any(sleep_for(1ms), sleep_for(1h)));
        }
    };
    testing::started t(world, body(), stop.token(), time_point(5s));
    world.advance(1s);
    CHECK(t.ended());
    CHECK(kept);
    CHECK(alone);
    stop.request_stop();
}

TEST_CASE("when_any: within one another the inner losers are stopped too") {
    testing::no_frames_left frames;
    simulation world;
    int stopped = 0;
    const auto child = [&]() -> task<> { stopped += cancelled(co_await sleep_for(1h)); };
    const auto inner = [&]() -> task<> { static_cast<void>(co_await when_any(child(), child())); };
    const auto body = [&]() -> task<std::size_t> {
        auto first = co_await when_any(inner(), inner(), sleep_for(2ms));
        co_return first.index();
    };
    CHECK(sync_wait(world, body()) == 2);
    CHECK(stopped == 4);
}

TEST_CASE("when_any: destroyed where they stand, all of them are gone") {
    testing::no_frames_left frames;
    simulation world;
    event never_set;
    const auto alive = std::make_shared<int>();
    const auto child = [&](std::shared_ptr<int>) -> task<> {
        static_cast<void>(co_await never_set.wait());
    };
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await when_any(child(alive), child(alive)));
    };
    CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    CHECK(alive.use_count() == 1);
}
