#include <posthaste/serve/gather.hpp>

#include "../support/branches.hpp"
#include "../support/last_words.hpp"
#include "../support/started.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct stock {
    using reply = int;
    std::string sku;
};
struct price {
    using reply = long;
    std::string sku;
};
struct boxed_price {
    using reply = std::unique_ptr<std::string>;
    std::string sku;
};
struct note {
    int n;
};

void make(bus& app) {
    app.handle<stock>("stock", [](stock s) -> task<int> {
        co_await sleep_for(20ms);
        if (s.sku == "bad") throw std::runtime_error("no such thing");
        co_return 7;
    });
    app.handle<price>("price", [](price) -> task<long> {
        co_await sleep_for(30ms);
        co_return 1999;
    });
    app.handle<note>("note", [](note) {});
}

}  // namespace

TEST_CASE("gather: makes all calls at once and gives each one's own result") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    make(app);
    const auto s = app.client<stock>("stock");
    const auto p = app.client<price>("price");
    const auto n = app.client<note>("note");
    app.run([&]() -> task<> {
        const std::string sku = "lamp", bad = "bad";
        auto page = co_await gather(s.call(sku), p.call(sku), n.call(1));
        auto& [left, cents, done] = page;
        CHECK(*left == 7);
        CHECK(*cents == 1999);
        CHECK(done.has_value());
        CHECK(sim.elapsed() == 30ms);  // beside one another
        auto half = co_await gather(s.call(bad), p.call(bad));
        CHECK(outcome(std::get<0>(half)) == "handler failed, complete");
        CHECK(*std::get<1>(half) == 1999);
    });
}

TEST_CASE("gather: what is answered at once is each one's own, be it a value or a failure") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<boxed_price>("plain", [](boxed_price p) -> result<std::unique_ptr<std::string>> {
        if (p.sku == "bad") return failure(code::unavailable);
        return std::make_unique<std::string>(std::move(p.sku));
    });
    const auto c = app.client<boxed_price>("plain");
    const std::string lamp = "a lamp whose name is no short one", chair = "chair", bad = "bad";
    app.run([&]() -> task<> {
        auto [a, b, d] = co_await gather(c.call(lamp), c.call(bad), c.call(chair));
        CHECK(**a == lamp);
        CHECK(b.error().code() == code::unavailable);
        CHECK(**d == chair);
        auto [e, f] = co_await gather(1s, c.call(bad), c.call(lamp));
        CHECK(e.error().code() == code::unavailable);
        CHECK(**f == lamp);
        std::vector<decltype(c.call(lamp))> calls;
        for (const std::string& sku : {lamp, bad, chair}) calls.push_back(c.call(sku));
        auto all = co_await gather(std::move(calls));
        CHECK(**all[0] == lamp);
        CHECK(all[1].error().code() == code::unavailable);
        CHECK(**all[2] == chair);
        std::array two{c.call(bad), c.call(chair)};
        auto both = co_await when_all<decltype(c.call(lamp))>(std::move(two));
        STATIC_REQUIRE(std::tuple_size_v<decltype(both)> == 2);
        CHECK(both[0].error().code() == code::unavailable);
        CHECK(**both[1] == chair);
        static_cast<void>(co_await gather(c.call(lamp), c.call(bad)));  // not even looked at
    });
}

TEST_CASE("gather: when the caller is cancelled, all of its calls end") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    make(app);
    const auto both = [](client<stock> s, client<price> p) -> task<std::string> {
        const std::string sku = "lamp";
        auto r = co_await gather(s.call(sku), p.call(sku));
        co_return outcome(std::get<0>(r)) + "; " + outcome(std::get<1>(r));
    };
    launched<std::string> caller(sim, both(app.client<stock>("stock"), app.client<price>("price")));
    sim.advance(25ms);
    caller.stop();
    sim.advance(1ms);
    CHECK(caller.value() == "value; cancelled, unknown");
}

TEST_CASE("gather: any number of calls of one kind, as a vector, in their order") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    testing::errands work;
    bus app(sim);
    work.at(app, "work");
    const auto w = app.client<testing::errand>("work");
    app.run([&]() -> task<> {
        std::vector<call_operation<testing::errand>> calls;
        for (int n : {30, 10, 20}) calls.push_back(w.call(n * 1ms, n != 10));
        auto all = co_await gather(std::move(calls));
        REQUIRE(all.size() == 3);
        CHECK(*all[0] == 30);
        CHECK(outcome(all[1]) == "unavailable, complete");
        CHECK(*all[2] == 20);
        CHECK(sim.elapsed() == 30ms);
        calls.clear();
        auto none = co_await gather(std::move(calls));
        CHECK(none.empty());
        auto none_in_time = co_await gather(1s, std::vector<call_operation<testing::errand>>());
        CHECK(none_in_time.empty());
    });
}

TEST_CASE("gather: with a deadline, what came in time is there, and the rest says it was late") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    testing::errands work;
    bus app(sim);
    work.at(app, "work");
    work.at(app, "busy", 1);
    const auto w = app.client<testing::errand>("work"), b = app.client<testing::errand>("busy");
    app.run([&]() -> task<> {
        auto page = co_await gather(200ms, w.call(100ms, true), w.call(150ms, false),
                                    b.call(300ms, true), b.call(1ms, true));
        auto& [quick, bad, slow, queued] = page;
        CHECK(*quick == 100);
        CHECK(outcome(bad) == "unavailable, complete");
        CHECK(outcome(slow) == "deadline exceeded, unknown");
        CHECK(slow.error().path() == "busy");
        CHECK(outcome(queued) == "deadline exceeded, none");
        CHECK(sim.elapsed() == 200ms);
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(work.stopped == 1);  // the slow one's handler
        CHECK(work.running == 0);
    });
}

TEST_CASE("gather: it does not wait for its deadline where all have ended before") {
    testing::no_frames_left frames;
    simulation sim;
    testing::errands work;
    bus app(sim);
    app.handle<note>("note", [](note) {});
    work.at(app, "work");
    const auto n = app.client<note>("note");
    const auto w = app.client<testing::errand>("work");
    app.run([&]() -> task<> {
        const auto steps = sim.steps();
        auto at_once = co_await gather(1h, n.call(1), n.call(2));
        CHECK(std::get<0>(at_once).has_value());
        CHECK(sim.steps() == steps);  // no queue, no timer
        auto soon = co_await gather(1h, w.call(3ms, true), w.call(5ms, true));
        CHECK(*std::get<1>(soon) == 5);
        CHECK(sim.elapsed() == 5ms);
    });
    sim.run_until_idle();
    CHECK(sim.elapsed() == 5ms);  // nor does a timer of it go on
}

TEST_CASE("gather: its deadline is inherited, and stops what does not look at deadlines") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    int ended = 0;
    const auto careless = [&]() -> task<result<int>> {
        const context& ctx = co_await this_context;
        CHECK(ctx.deadline() == sim.now() + 200ms);
        const auto slept = co_await sleep_for(1h);
        ++ended;
        if (!slept) co_return slept.error();
        co_return 1;
    };
    const auto deaf = [&]() -> task<result<int>> {
        co_await testing::sleep_soundly(300ms);
        ++ended;
        co_return 2;
    };
    app.run([&]() -> task<> {
        auto both = co_await gather(200ms, careless(), deaf());
        CHECK(ended == 2);  // who does not heed the stop is awaited all the same
        CHECK(outcome(std::get<0>(both)) == "deadline exceeded, none");
        CHECK(*std::get<1>(both) == 2);
        CHECK(sim.elapsed() == 300ms);
        const context& mine = co_await this_context;
        CHECK_FALSE(mine.stop_requested());
    });
}

TEST_CASE("gather: the caller's own deadline counts, where it is nearer") {
    testing::no_frames_left frames;
    simulation sim;
    testing::errands work;
    bus app(sim);
    work.at(app, "work");
    struct outer {
        using reply = std::string;
    };
    app.handle<outer>("outer",
                      [w = app.client<testing::errand>("work")](outer) -> task<std::string> {
                          auto both = co_await gather(1h, w.call(10ms, true), w.call(1s, true));
                          co_return outcome(std::get<0>(both)) + "; " + outcome(std::get<1>(both));
                      });
    const auto o = app.client<outer>("outer", deadline(50ms));
    app.run([&]() -> task<> {
        const auto late = co_await o.call();
        CHECK(outcome(late) == "deadline exceeded, unknown");
        CHECK(sim.elapsed() == 50ms);
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(work.running == 0);
        CHECK(sim.elapsed() == 51ms);
    });
}

TEST_CASE("gather: the caller's own deadline stops also what does not look at deadlines") {
    testing::no_frames_left frames;
    simulation sim;
    std::string heard;
    const auto careless = []() -> task<result<int>> {
        const auto slept = co_await sleep_for(1h);
        if (!slept) co_return slept.error();
        co_return 1;
    };
    const auto body = [&]() -> task<> {
        auto one = co_await gather(1h, careless());
        heard = outcome(std::get<0>(one));
    };
    testing::started caller(sim, body(), {}, time_point(50ms));
    sim.advance(50ms);
    CHECK(caller.ended());
    CHECK(heard == "deadline exceeded, none");
}

TEST_CASE("gather: cancelled, its calls say so, and not that they were late") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    testing::errands work;
    bus app(sim);
    work.at(app, "work");
    const auto both = [](client<testing::errand> w) -> task<std::string> {
        auto r = co_await gather(100ms, w.call(20ms, true), w.call(90ms, true));
        co_return outcome(std::get<0>(r)) + "; " + outcome(std::get<1>(r));
    };
    launched<std::string> caller(sim, both(app.client<testing::errand>("work")));
    sim.advance(30ms);
    caller.stop();
    sim.advance(0ms);
    CHECK(caller.value() == "value; cancelled, unknown");
}

TEST_CASE("gather: what was cancelled for a reason of its own, before the time, stays so") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const auto gives_up = []() -> task<result<int>> { co_return failure(code::cancelled); };
    const auto goes_on = []() -> task<result<int>> {
        const auto slept = co_await sleep_for(1h);
        if (!slept) co_return slept.error();
        co_return 1;
    };
    app.run([&]() -> task<> {
        auto both = co_await gather(10ms, gives_up(), goes_on());
        CHECK(outcome(std::get<0>(both)) == "cancelled, none");
        CHECK(outcome(std::get<1>(both)) == "deadline exceeded, none");
    });
}

TEST_CASE("gather: no time at all, or all of it") {
    testing::no_frames_left frames;
    simulation sim;
    testing::errands work;
    bus app(sim);
    work.at(app, "work");
    const auto w = app.client<testing::errand>("work");
    app.run([&]() -> task<> {
        for (const duration d : {duration::zero(), duration(-1), duration::min()}) {
            auto late = co_await gather(d, w.call(1ms, true), w.call(0ms, true));
            CHECK(outcome(std::get<0>(late)) == "deadline exceeded, none");
            CHECK(outcome(std::get<1>(late)) == "deadline exceeded, none");
        }
        CHECK(sim.elapsed() == 0ms);
        auto all = co_await gather(forever, w.call(1ms, true), w.call(4s, true));
        CHECK(*std::get<1>(all) == 4000);
    });
}

TEST_CASE("gather: an exception of a task comes out when all have ended") {
    testing::no_frames_left frames;
    simulation sim;
    bool ended = false;
    const auto throws = []() -> task<result<int>> {
        co_await yield();
        throw std::runtime_error("thrown");
    };
    const auto waits = [&]() -> task<result<int>> {
        static_cast<void>(co_await sleep_for(1h));
        ended = true;
        co_return 1;
    };
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await gather(10ms, throws(), waits()));
    };
    CHECK_THROWS_WITH(sync_wait(sim, body()), "thrown");
    CHECK(ended);
}

TEST_CASE("gather: with a deadline, 1,000 seeds end as a clock would have it") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed != 1001; ++seed) {
        simulation sim(seed);
        testing::errands work;
        bus app(sim);
        work.at(app, "work");
        const auto w = app.client<testing::errand>("work");
        const auto all = testing::some_errands(seed, 1 + seed % 8);
        const duration within = 10ms * (seed / 8 % 25) + 9ms + 500us;
        bool right = true;
        duration longest{};
        app.run([&]() -> task<> {
            std::vector<call_operation<testing::errand>> calls;
            for (const auto& e : all) calls.push_back(w.call(e));
            const auto results = co_await gather(within, std::move(calls));
            for (std::size_t i = 0; i != all.size(); ++i) {
                const auto& [length, good] = all[i];
                longest = std::max(longest, length);
                const std::string expected = length > within ? "deadline exceeded, unknown"
                                             : good          ? "value"
                                                             : "unavailable, complete";
                right = right && outcome(results[i]) == expected;
            }
            right = right && sim.elapsed() == std::min(longest, within);
        });
        INFO("seed " << seed);
        REQUIRE(right);
    }
}

TEST_CASE("gather: destroyed where it stands, all of it is gone") {
    testing::no_frames_left frames;
    simulation sim;
    event never_set;
    const auto stands = [&]() -> task<result<int>> {
        static_cast<void>(co_await never_set.wait());
        co_return 1;
    };
    {
        const auto body = [&]() -> task<> {
            static_cast<void>(co_await gather(1h, stands(), stands()));
        };
        launched<void> caller(sim, body());
        sim.advance(1ms);
        CHECK_FALSE(caller.done());
    }
    sim.run_until_idle();
    CHECK(sim.elapsed() == 1ms);  // its timer is gone, too
}

TEST_CASE("gather: whose own time is over is asked to stop then, not when all others have ended") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    testing::errands work;
    bus app(sim);
    work.at(app, "work");
    const auto patient = app.client<testing::errand>("work");
    const auto hasty = app.client<testing::errand>("work", deadline(10ms));
    const auto body = [&](bool limited) -> task<std::string> {
        if (!limited) {
            auto both = co_await gather(hasty.call(50ms, true), patient.call(1s, true));
            co_return outcome(std::get<0>(both)) + "; " + outcome(std::get<1>(both));
        }
        auto both = co_await gather(1h, hasty.call(50ms, true), patient.call(1s, true));
        co_return outcome(std::get<0>(both)) + "; " + outcome(std::get<1>(both));
    };
    launched<std::string> caller(sim, body(GENERATE(false, true)));
    sim.advance(11ms);
    CHECK(work.stopped == 1);
    CHECK_FALSE(caller.done());
    sim.advance(1s);
    CHECK(caller.value() == "deadline exceeded, unknown; value");
}

TEST_CASE("gather: calls that are destroyed where they stand leave nothing behind") {
    testing::no_frames_left frames;
    simulation sim;
    testing::errands work;
    bus app(sim);
    work.at(app, "work");
    {
        const auto body = [](client<testing::errand> w, bool limited) -> task<> {
            if (limited) static_cast<void>(co_await gather(1h, w.call(1h, true), w.call(2h, true)));
            else static_cast<void>(co_await gather(w.call(1h, true), w.call(2h, true)));
        };
        launched<void> caller(sim,
                              body(app.client<testing::errand>("work"), GENERATE(false, true)));
        sim.advance(1ms);
        CHECK(sim.report().find("a reply from") != std::string::npos);
    }
    CHECK(sim.report().find("a reply from") == std::string::npos);
    sim.run_until_idle();
    CHECK(work.stopped == 2);  // their handlers
    CHECK(sim.elapsed() == 1ms);  // nor does a timer go on
}

TEST_CASE("gather: who answers as another one is destroyed where it stands sends nobody home") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    testing::last_words w;
    int answered = 0;
    app.handle<stock>("stock", parallel(4), [&](stock) -> task<int> {
        const bool is_said = (co_await w.said.wait()).has_value();
        if (is_said) ++answered;
        co_return 2;
    });
    const auto s = app.client<stock>("stock");
    const bool limited = GENERATE(false, true), several = GENERATE(false, true);
    {
        const auto body = [&]() -> task<> {
            if (several) {
                std::vector<task<result<int>>> all;
                all.push_back(w.goes());
                all.push_back([](client<stock> c) -> task<result<int>> {
                    co_return co_await c.call("x");
                }(s));
                all.push_back(w.hears());
                all.push_back(w.goes());
                if (limited) static_cast<void>(co_await gather(1h, std::move(all)));
                else static_cast<void>(co_await gather(std::move(all)));
            } else if (limited) {
                static_cast<void>(co_await gather(1h, w.goes(), s.call("x"), w.hears()));
            } else {
                static_cast<void>(co_await gather(w.goes(), s.call("x"), w.hears()));
            }
            ++w.resumed;
        };
        launched<void> caller(sim, body());
        sim.advance(1ms);
        CHECK_FALSE(caller.done());
    }
    sim.run_until_idle();
    CHECK(answered == 1);
    CHECK(w.heard == 1);
    CHECK(w.resumed == 0);
    CHECK(w.alive.use_count() == 1);
}

TEST_CASE("gather: may be kept, moved, and awaited later") {
    testing::no_frames_left frames;
    simulation sim;
    testing::errands work;
    bus app(sim);
    work.at(app, "work");
    const auto w = app.client<testing::errand>("work");
    app.run([&]() -> task<> {
        auto first = gather(w.call(3ms, true), w.call(5ms, true));
        auto moved = std::move(first);
        auto both = co_await std::move(moved);
        CHECK(*std::get<0>(both) == 3);
        CHECK(*std::get<1>(both) == 5);
        CHECK(work.running == 0);
    });
}
