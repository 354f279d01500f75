#include <posthaste/run/together.hpp>

#include "../support/catch.hpp"
#include "../support/frames.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/run/when_any.hpp>
#include <posthaste/wait/event.hpp>

#include <memory>
#include <tuple>
#include <utility>
#include <vector>

using namespace posthaste;

namespace {

// What stands still until it is destroyed, and says so then; and who hears it.
struct last_words {
    event never_set, said;
    int heard = 0, resumed = 0;
    const std::shared_ptr<int> alive = std::make_shared<int>();

    struct at_its_end {
        event& says;
        explicit at_its_end(event& e) noexcept : says(e) {}
        at_its_end(const at_its_end&) = delete;
        ~at_its_end() { says.set(); }
    };
    task<> goes() { return stands(alive); }
    task<> hears() { return listens(alive); }
    task<> hear_both() {
        static_cast<void>(co_await when_all(hears(), hears()));
        ++resumed;
    }

private:
    task<> stands(std::shared_ptr<int>) {
        const at_its_end last(said);
        static_cast<void>(co_await never_set.wait());
    }
    task<> listens(std::shared_ptr<int>) {
        static_cast<void>(co_await said.wait());
        ++heard;
    }
};

}  // namespace

TEST_CASE("together: destroyed where they stand, who was woken by one goes on if it is there") {
    testing::no_frames_left frames;
    simulation world;
    last_words w;
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
    last_words w;
    const auto body = [&]() -> task<> {
        std::vector<task<>> all;
        all.push_back(w.hears());
        all.push_back(w.goes());
        all.push_back(w.hears());
        co_await when_all(std::move(all));
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
    last_words w;
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await when_all(w.goes(), w.hear_both(), w.hears()));
        w.resumed = -1;
    };
    CHECK_THROWS_AS(sync_wait(world, body()), simulation::stuck);
    CHECK(w.heard == 3);
    CHECK(w.resumed == 1);  // who heard both has ended, but not who awaits it
    CHECK(w.alive.use_count() == 1);
}
