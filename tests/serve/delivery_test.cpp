#include <posthaste/serve/delivery.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {
struct note {
    std::string text;
};
}  // namespace

TEST_CASE("delivery: retry says when, returned or thrown, and the attempts count all the same") {
    testing::no_frames_left frames;
    const bool throws = GENERATE(false, true);
    simulation sim;
    bus app(sim);
    std::vector<duration> when;
    app.handle<note>("log", serial.at_least_once({.attempts = 3}),
                     [&](const note&) -> task<result<void>> {
                         when.push_back(sim.elapsed());
                         if (throws) throw failed(delivery::retry(1min));
                         co_return delivery::retry(1min);
                     });
    CHECK(app.client<note>("log").send("x"));
    sim.advance(1h);
    CHECK(when == std::vector<duration>{0s, 1min, 2min});
    CHECK(app.dead_letters().total() == 1);
    CHECK(app.counts("log").failed == 1);
}

TEST_CASE("delivery: one that is to be tried again in more than all time waits until the end") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("log", parallel(1).at_least_once({.in_place = 0}), [&](const note&) {
        return result<void>(delivery::retry(std::chrono::hours::max()));
    });
    CHECK(app.client<note>("log").send("x"));
    sim.advance(100h);
    CHECK(app.counts("log").left == 1);
    CHECK(app.drain(1s)->total.left == 1);
}

TEST_CASE("delivery: reject is the end, returned or thrown, and the reason is in the dead letter") {
    testing::no_frames_left frames;
    const bool throws = GENERATE(false, true);
    simulation sim;
    bus app(sim);
    app.handle<note>("log", parallel(2).at_least_once(), [&](const note&) -> task<result<void>> {
        if (throws) throw failed(delivery::reject("no such card"));
        co_return delivery::reject("no such card");
    });
    CHECK(app.client<note>("log").send("x"));
    sim.advance(1h);
    CHECK(app.counts("log").redelivered == 0);
    REQUIRE(app.dead_letters().size() == 1);
    app.dead_letters().for_each([&](const dead_letter& l) {
        CHECK(l.attempts() == 1);
        CHECK_THAT(l.reason().message(), Catch::Matchers::ContainsSubstring("no such card"));
    });
}

TEST_CASE("delivery: a caller hears it as it is") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("log", serial.at_least_once(), [&](const note& n) {
        return result<void>(n.text == "later" ? delivery::retry(2s) : delivery::reject("never"));
    });
    const auto call = [&](std::string text) {
        return app.run(
            [&]() -> task<result<void>> { co_return co_await app.client<note>("log").call(text); });
    };
    const auto later = call("later"), never = call("never");
    CHECK(outcome(later) == "unavailable, complete");
    CHECK(later.error().retry_after() == 2s);
    CHECK(outcome(never) == "rejected, complete");
}
