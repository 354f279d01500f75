#include <posthaste/serve/quorum.hpp>

#include "../support/branches.hpp"
#include "../support/last_words.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
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

TEST_CASE("quorum: goes on as soon as enough are good, and says which") {
    testing::no_frames_left frames;
    simulation sim(some_seed());
    errands work;
    bus app(sim);
    work.at(app, "work");
    const auto w = app.client<errand>("work");
    app.run([&]() -> task<> {
        auto written =
            co_await quorum(2, w.call(30ms, true), w.call(10ms, true), w.call(20ms, true));
        STATIC_REQUIRE(std::is_same_v<decltype(written), result<std::array<result<int>, 3>>>);
        REQUIRE(written.has_value());
        const auto& [slow, first, second] = *written;
        CHECK(*first == 10);
        CHECK(*second == 20);
        CHECK(outcome(slow) == "cancelled, unknown");
        CHECK(sim.elapsed() == 20ms);
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(work.stopped == 1);
        CHECK(work.running == 0);
    });
}

TEST_CASE("quorum: fails as soon as enough cannot be good any more, and tells each cause") {
    testing::no_frames_left frames;
    simulation sim(some_seed());
    errands work;
    bus app(sim);
    work.at(app, "work");
    app.handle<errand>("refuses", [](errand e) -> task<result<int>> {
        static_cast<void>(co_await sleep_for(e.length));
        failure why(code::overloaded);
        why.retry_after(e.good ? 5ms : 7ms);
        co_return why;
    });
    const auto w = app.client<errand>("work"), r = app.client<errand>("refuses");
    const auto nobody = app.client<errand>("nobody");
    app.run([&]() -> task<> {
        auto none = co_await quorum(3, w.call(10ms, true), r.call(20ms, false),
                                    nobody.call(0ms, true), w.call(1h, true), w.call(15ms, false));
        CHECK(sim.elapsed() == 20ms);
        REQUIRE_FALSE(none.has_value());
        const failure& why = none.error();
        CHECK(why.code() == code::overloaded);  // the one that decided it
        CHECK(why.effect() == effect::complete);  // one was good
        CHECK(why.retry_after() == 7ms);
        CHECK(why.detail() ==
              "1 good, 3 needed: overloaded at refuses, no handler at nobody, cancelled at work, "
              "unavailable at work");
    });
}

TEST_CASE("quorum: the failure's effect is the strongest of all, its retry_after the shortest") {
    testing::no_frames_left frames;
    simulation sim;
    const auto fails = [](effect e, duration after) -> task<result<int>> {
        failure why(code::overloaded, e);
        why.retry_after(after);
        co_return why;
    };
    const auto body = [&]() -> task<> {
        auto a = co_await quorum(2, fails(effect::none, 0ms), fails(effect::none, 9ms));
        CHECK(outcome(a) == "overloaded, none");
        CHECK(a.error().retry_after() == 0ms);  // the second was not started
        auto b = co_await quorum(1, fails(effect::none, 9ms), fails(effect::unknown, 0ms));
        CHECK(outcome(b) == "overloaded, unknown");
        CHECK(b.error().retry_after() == 9ms);
        auto c = co_await quorum(1, fails(effect::complete, 4ms), fails(effect::unknown, 9ms));
        CHECK(outcome(c) == "overloaded, complete");
        CHECK(c.error().retry_after() == 4ms);
    };
    sync_wait(sim, body());
}

TEST_CASE("quorum: what it can do without is not started") {
    testing::no_frames_left frames;
    simulation sim;
    int begun = 0;
    const auto good = [&]() -> task<result<int>> { co_return ++begun; };
    const auto body = [&]() -> task<> {
        auto r = co_await quorum(2, good(), good(), good(), good());
        CHECK(begun == 2);
        REQUIRE(r.has_value());
        CHECK(*(*r)[1] == 2);
        CHECK(outcome((*r)[2]) == "cancelled, none");
        CHECK((*r)[3].error().detail() == "decided before it began");
    };
    sync_wait(sim, body());
}

TEST_CASE("quorum: losers are awaited, also such as do not heed the stop") {
    testing::no_frames_left frames;
    simulation sim;
    const auto at = [&](duration d) -> task<result<int>> {
        co_await testing::sleep_soundly(d);
        co_return 1;
    };
    const auto body = [&]() -> task<> {
        auto r = co_await quorum(1, at(30ms), at(10ms));
        CHECK(sim.elapsed() == 30ms);
        REQUIRE(r.has_value());
        CHECK((*r)[0].has_value());  // and if they are good after all, they are told
        CHECK((*r)[1].has_value());
    };
    sync_wait(sim, body());
}

TEST_CASE("quorum: an exception counts as a failure, and is kept") {
    testing::no_frames_left frames;
    simulation sim;
    const auto throws = [](const char* what) -> task<result<void>> {
        co_await yield();
        throw std::runtime_error(what);
    };
    const auto good = []() -> task<result<void>> {
        static_cast<void>(co_await sleep_for(1ms));
        co_return result<void>();
    };
    const auto body = [&]() -> task<> {
        auto one = co_await quorum(1, throws("first"), good());
        REQUIRE(one.has_value());
        CHECK(outcome((*one)[0]) == "handler failed, unknown");
        CHECK_THROWS_WITH((*one)[0].or_throw(), "first");
        auto both = co_await quorum(2, throws("first"), good());
        CHECK(outcome(both) == "handler failed, complete");  // as one was good
    };
    sync_wait(sim, body());
}

TEST_CASE("quorum: the caller's stop and deadline end it") {
    testing::no_frames_left frames;
    simulation sim(some_seed());
    errands work;
    bus app(sim);
    work.at(app, "work");
    const auto w = app.client<errand>("work");
    const auto ask = [](client<errand> c) -> task<std::string> {
        auto r = co_await quorum(2, c.call(10ms, true), c.call(1s, true), c.call(1s, true));
        co_return outcome(r);
    };
    SECTION("stop") {
        launched<std::string> caller(sim, ask(w));
        sim.advance(20ms);
        caller.stop();
        sim.advance(0ms);
        CHECK(caller.value() == "cancelled, complete");
    }
    SECTION("deadline") {
        app.run([&]() -> task<> {
            auto r = co_await gather(20ms, quorum(2, w.call(10ms, true), w.call(1s, true)));
            CHECK(outcome(std::get<0>(r)) == "deadline exceeded, complete");
            CHECK(sim.elapsed() == 20ms);
        });
    }
    sim.advance(1ms);
    CHECK(work.running == 0);
}

TEST_CASE("quorum: n must be 1 up to the number of calls") {
    testing::no_frames_left frames;
    simulation sim;
    errands work;
    bus app(sim);
    work.at(app, "work");
    const auto w = app.client<errand>("work");
    for (const std::size_t n : {std::size_t(0), std::size_t(3)}) {
        calls two;
        two.push_back(w.call(1ms, true));
        two.push_back(w.call(1ms, true));
        CHECK_THROWS_WITH(quorum(n, std::move(two)),
                          "rejected: quorum(n, calls): n must be 1 up to the number of calls");
    }
    CHECK_THROWS_AS(quorum(1, calls()), failed);
    CHECK_THROWS_AS(quorum(0, calls()), failed);
}

TEST_CASE("quorum: 1,000 seeds end as a clock would have it") {
    testing::no_frames_left frames;
    int reached = 0, missed = 0, stopped = 0;
    for (std::uint64_t seed = 1; seed != 1001; ++seed) {
        simulation sim(seed);
        errands work;
        bus app(sim);
        work.at(app, "work");
        const std::vector<errand> all = testing::some_errands(seed, 1 + seed % 8);
        const std::size_t needed = 1 + seed / 8 % all.size();
        const duration stop_at = seed % 5 == 0 ? 55ms + 500us : duration(1h);

        // when the needed one is there, or cannot be any more
        std::vector<errand> in_time = all;
        std::sort(in_time.begin(), in_time.end(),
                  [](const errand& a, const errand& b) { return a.length < b.length; });
        std::size_t good = 0, bad = 0;
        duration end = stop_at;
        for (const errand& e : in_time) {
            if (e.length > stop_at) break;
            ++(e.good ? good : bad);
            if (good == needed || bad > all.size() - needed) {
                end = e.length;
                break;
            }
        }

        const auto body = [&](client<errand> w) -> task<bool> {
            calls made;
            for (const errand& e : all) made.push_back(w.call(e));
            auto r = co_await quorum(needed, std::move(made));
            bool right = r.has_value() == (good == needed) && sim.elapsed() == end;
            if (r) {
                for (std::size_t i = 0; i != all.size(); ++i) {
                    const std::string expected = all[i].length > end ? "cancelled, unknown"
                                                 : all[i].good       ? "value"
                                                                     : "unavailable, complete";
                    right = right && outcome((*r)[i]) == expected;
                }
                ++reached;
            } else {
                const bool by_stop = end == stop_at;
                right =
                    right && r.error().code() == (by_stop ? code::cancelled : code::unavailable);
                ++(by_stop ? stopped : missed);
            }
            co_return right;
        };
        launched<bool> caller(sim, body(app.client<errand>("work")));
        sim.advance(std::min<duration>(stop_at, 1s));
        caller.stop();
        sim.advance(0ms);
        INFO("seed " << seed);
        REQUIRE(caller.value());
        sim.advance(1ms);
        REQUIRE(work.running == 0);
    }
    CHECK(reached > 100);
    CHECK(missed > 100);
    CHECK(stopped > 20);
}

TEST_CASE("quorum: who is woken as another one is destroyed where it stands sends nobody home") {
    testing::no_frames_left frames;
    simulation sim;
    testing::last_words w;
    const int how = GENERATE(0, 1, 2, 3);
    const auto body = [&]() -> task<> {
        std::vector<task<result<int>>> all;
        all.push_back(w.hears());
        all.push_back(w.goes());
        if (how == 0) static_cast<void>(co_await quorum(2, w.goes(), w.hears()));
        else if (how == 1) static_cast<void>(co_await quorum(1, std::move(all)));
        else if (how == 2) static_cast<void>(co_await first_of(w.goes(), w.hears()));
        else static_cast<void>(co_await first_of(std::move(all)));
        ++w.resumed;
    };
    CHECK_THROWS_AS(sync_wait(sim, body()), simulation::stuck);
    CHECK(w.heard == 1);
    CHECK(w.resumed == 0);
    CHECK(w.alive.use_count() == 1);
}
