#include <posthaste/run/together.hpp>

#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/last_words.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/run/when_any.hpp>

#include <array>
#include <tuple>
#include <utility>
#include <vector>

using namespace posthaste;

namespace {

task<result<int>> hear_both(testing::last_words& w) {
    static_cast<void>(co_await when_all(w.hears(), w.hears()));
    ++w.resumed;
    co_return 3;
}

}  // namespace

TEST_CASE("together: destroyed where they stand, who was woken by one goes on if it is there") {
    testing::no_frames_left frames;
    simulation world;
    testing::last_words w;
    const bool first = GENERATE(true, false);
    SECTION("all of them") {
        const auto body = [&]() -> task<> {
            if (first) static_cast<void>(co_await when_all(w.goes(), w.hears()));
            else static_cast<void>(co_await when_all(w.hears(), w.goes()));
            ++w.resumed;
        };
        CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    }
    SECTION("the first of them") {
        const auto body = [&]() -> task<> {
            if (first) static_cast<void>(co_await when_any(w.goes(), w.hears()));
            else static_cast<void>(co_await when_any(w.hears(), w.goes()));
            ++w.resumed;
        };
        CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    }
    CHECK(w.heard == (first ? 1 : 0));
    CHECK(w.resumed == 0);
    CHECK(w.alive.use_count() == 1);
}

TEST_CASE("together: a vector of them, destroyed where they stand") {
    testing::no_frames_left frames;
    simulation world;
    testing::last_words w;
    const auto body = [&]() -> task<> {
        std::vector<task<result<int>>> all;
        all.push_back(w.hears());
        all.push_back(w.goes());
        all.push_back(w.hears());
        static_cast<void>(co_await when_all(std::move(all)));
        ++w.resumed;
    };
    CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    CHECK(w.heard == 1);
    CHECK(w.resumed == 0);
    CHECK(w.alive.use_count() == 1);
}

TEST_CASE("together: an array of them, destroyed where they stand") {
    testing::no_frames_left frames;
    simulation world;
    testing::last_words w;
    const auto body = [&]() -> task<> {
        std::array all{w.hears(), w.goes(), w.hears()};
        static_cast<void>(co_await when_all<task<result<int>>>(std::move(all)));
        ++w.resumed;
    };
    CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    CHECK(w.heard == 1);
    CHECK(w.resumed == 0);
    CHECK(w.alive.use_count() == 1);
}

TEST_CASE("together: within one another, destroyed where they stand") {
    testing::no_frames_left frames;
    simulation world;
    testing::last_words w;
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await when_all(w.goes(), hear_both(w), w.hears()));
        w.resumed = -1;
    };
    CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    CHECK(w.heard == 3);
    CHECK(w.resumed == 1);  // who heard both has ended, but not who awaits it
    CHECK(w.alive.use_count() == 1);
}

TEST_CASE(
    "together: what one that has ended left, as it goes, wakes the last, and sends nobody home") {
    testing::no_frames_left frames;
    simulation world;
    testing::last_words w;
    const auto body = [&]() -> task<> {
        const auto left = [&]() -> task<testing::last_words::at_its_end> {
            co_return testing::last_words::at_its_end(w.said);
        };
        static_cast<void>(co_await when_all(left(), w.hears()));
        ++w.resumed;
    };
    CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    CHECK(w.heard == 1);
    CHECK(w.resumed == 0);
    CHECK(w.alive.use_count() == 1);
}
