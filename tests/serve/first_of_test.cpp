#include <posthaste/serve/first_of.hpp>

#include "../support/branches.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::errand;
using posthaste::testing::errands;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

using calls = std::vector<call_operation<errand>>;

std::uint64_t some_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

}  // namespace

TEST_CASE("first_of: the first good reply wins, the others are asked to stop") {
    testing::no_frames_left frames;
    simulation sim(some_seed());
    errands work;
    bus app(sim);
    work.at(app, "near");
    work.at(app, "far");
    const auto near = app.client<errand>("near"), far = app.client<errand>("far");
    app.run([&]() -> task<> {
        auto r =
            co_await first_of(far.call(30ms, true), near.call(20ms, true), near.call(10ms, false));
        STATIC_REQUIRE(std::is_same_v<decltype(r), result<int>>);
        CHECK(*r == 20);
        CHECK(sim.elapsed() == 20ms);
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(work.stopped == 1);
        CHECK(work.running == 0);
        auto one = co_await first_of(near.call(1ms, true));
        CHECK(*one == 1);
    });
}

TEST_CASE("first_of: if none is good, it tells each cause, and the strongest effect") {
    testing::no_frames_left frames;
    simulation sim(some_seed());
    errands work;
    bus app(sim);
    work.at(app, "near");
    const auto near = app.client<errand>("near"), nobody = app.client<errand>("nobody");
    app.run([&]() -> task<> {
        auto r = co_await first_of(near.call(10ms, false), nobody.call(0ms, true));
        REQUIRE_FALSE(r.has_value());
        CHECK(r.error().message() ==
              "unavailable: none was good: unavailable at near, no handler at nobody");
        CHECK(r.error().effect() == effect::complete);
        CHECK(sim.elapsed() == 10ms);
    });
}

TEST_CASE("first_of: those after one that answers at once are not started") {
    testing::no_frames_left frames;
    simulation sim;
    int begun = 0;
    const auto good = [&]() -> task<result<int>> { co_return ++begun; };
    const auto body = [&]() -> task<> {
        auto r = co_await first_of(good(), good());
        CHECK(*r == 1);
    };
    sync_wait(sim, body());
    CHECK(begun == 1);
}

TEST_CASE("first_of: losers are awaited, also such as do not heed the stop") {
    testing::no_frames_left frames;
    simulation sim;
    const auto at = [&](duration d) -> task<result<void>> {
        co_await testing::sleep_soundly(d);
        co_return result<void>();
    };
    const auto body = [&]() -> task<> {
        auto r = co_await first_of(at(30ms), at(10ms));
        CHECK(r.has_value());
        CHECK(sim.elapsed() == 30ms);
    };
    sync_wait(sim, body());
}

TEST_CASE("first_of: the caller's stop ends it, and so does a gather around it") {
    testing::no_frames_left frames;
    simulation sim(some_seed());
    errands work;
    bus app(sim);
    work.at(app, "work");
    const auto w = app.client<errand>("work");
    SECTION("stop") {
        const auto ask = [](client<errand> c) -> task<std::string> {
            auto r = co_await first_of(c.call(1s, true), c.call(2s, true));
            co_return outcome(r);
        };
        launched<std::string> caller(sim, ask(w));
        sim.advance(20ms);
        caller.stop();
        sim.advance(0ms);
        CHECK(caller.value() == "cancelled, unknown");
    }
    SECTION("gather") {
        app.run([&]() -> task<> {
            auto r = co_await gather(20ms, first_of(w.call(1s, true), w.call(2s, true)),
                                     first_of(w.call(5ms, true), w.call(2s, true)));
            CHECK(outcome(std::get<0>(r)) == "deadline exceeded, unknown");
            CHECK(*std::get<1>(r) == 5);
            CHECK(sim.elapsed() == 20ms);
        });
    }
    sim.advance(1ms);
    CHECK(work.running == 0);
}

TEST_CASE("first_of: a vector of calls, and of none it is refused") {
    testing::no_frames_left frames;
    simulation sim;
    errands work;
    bus app(sim);
    work.at(app, "work");
    const auto w = app.client<errand>("work");
    app.run([&]() -> task<> {
        calls made;
        for (int n : {3, 1, 2}) made.push_back(w.call(n * 1ms, n != 1));
        auto r = co_await first_of(std::move(made));
        CHECK(*r == 2);
    });
    CHECK_THROWS_WITH(first_of(calls()), "rejected: first_of(calls): there must be 1 call or more");
}

TEST_CASE("first_of: 1,000 seeds end as a clock would have it") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed != 1001; ++seed) {
        simulation sim(seed);
        errands work;
        bus app(sim);
        work.at(app, "work");
        const std::vector<errand> all = testing::some_errands(seed, 1 + seed % 5);
        duration first = forever, last{};
        for (const errand& e : all) {
            if (e.good) first = std::min(first, e.length);
            last = std::max(last, e.length);
        }
        bool right = false;
        app.run([&, w = app.client<errand>("work")]() -> task<> {
            calls made;
            for (const errand& e : all) made.push_back(w.call(e));
            const auto r = co_await first_of(std::move(made));
            if (first == forever) right = outcome(r) == "unavailable, complete";
            else right = r && *r == first / 1ms;
            right = right && sim.elapsed() == std::min(first, last);
        });
        INFO("seed " << seed);
        REQUIRE(right);
        sim.advance(1ms);
        REQUIRE(work.running == 0);
    }
}
