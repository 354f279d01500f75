#include <posthaste/guard/deadline.hpp>
#include <posthaste/guard/limit.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <limits>
#include <string>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

struct work_for {
    using reply = int;
    std::chrono::nanoseconds time;
};

struct world {
    simulation sim;
    bus app{sim};
    world() {
        app.handle<work_for>("work", parallel(8), [](work_for w) -> task<int> {
            co_await sleep_for(w.time);
            co_return 1;
        });
    }
    template <typename D>
    std::string call(D allowed, std::chrono::nanoseconds t) {
        const auto c = app.client<work_for>("work", deadline(allowed));
        return outcome(app.run([&]() -> task<result<int>> { co_return co_await c.call(t); }));
    }
};

}  // namespace

TEST_CASE("deadline: is a policy") {
    STATIC_REQUIRE(policy<deadline>);
    call_settings s{1s};
    deadline(30ms).apply(s);
    CHECK(s.deadline == 30ms);
}

TEST_CASE("deadline: of several the shortest holds, and the bus's own does not count") {
    const auto allowed = [](const auto& policies) {
        call_settings s{1s};
        policies.apply(s);
        return s.deadline;
    };
    CHECK(allowed(deadline(30ms) | deadline(2s)) == 30ms);
    CHECK(allowed(deadline(2s) | deadline(30ms)) == 30ms);
    CHECK(allowed(deadline(2s) | deadline(forever)) == 2s);
    CHECK(allowed(deadline(forever)) == forever);

    testing::no_frames_left frames;
    world w;
    const auto c = w.app.client<work_for>("work", deadline(30ms) | (limit(5) | deadline(1s)));
    const auto said = w.app.run([&]() -> task<result<int>> { co_return co_await c.call(31ms); });
    CHECK(outcome(said) == "deadline exceeded, unknown");
}

TEST_CASE("deadline: a call may take so long and no longer, in any unit") {
    testing::no_frames_left frames;
    world w;
    CHECK(w.call(30ms, 29'999'999ns) == "value");
    CHECK(w.call(30ms, 30'000'001ns) == "deadline exceeded, unknown");
    CHECK(w.call(500us, 499us) == "value");
    CHECK(w.call(500us, 501us) == "deadline exceeded, unknown");
    CHECK(w.call(std::chrono::duration<double>(0.25), 249ms) == "value");
    CHECK(w.call(std::chrono::duration<double>(0.25), 251ms) == "deadline exceeded, unknown");
    CHECK(w.call(std::chrono::hours(2), 1h) == "value");
}

TEST_CASE("deadline: counts from each call, not from the client") {
    testing::no_frames_left frames;
    world w;
    const auto c = w.app.client<work_for>("work", deadline(30ms));
    w.sim.advance(1h);
    CHECK(outcome(w.app.run([&]() -> task<result<int>> { co_return co_await c.call(20ms); })) ==
          "value");
}

TEST_CASE("deadline: zero, negative and NaN are over before they begin") {
    testing::no_frames_left frames;
    world w;
    CHECK(w.call(0s, 0ns) == "deadline exceeded, none");
    CHECK(w.call(-1ns, 0ns) == "deadline exceeded, none");
    CHECK(w.call(std::chrono::hours::min(), 0ns) == "deadline exceeded, none");
    const std::chrono::duration<double> nan(std::numeric_limits<double>::quiet_NaN());
    CHECK(w.call(nan, 0ns) == "deadline exceeded, none");
    CHECK(w.app.counts("work").accepted == 0);
}

TEST_CASE("deadline: what is too long to count is for ever") {
    testing::no_frames_left frames;
    world w;
    call_settings s{1s};
    deadline(std::chrono::hours::max()).apply(s);
    CHECK(s.deadline == forever);
    CHECK(w.call(forever, 1000h) == "value");
    CHECK(w.call(duration::max(), 1000h) == "value");
    CHECK(w.call(std::chrono::hours::max(), 1000h) == "value");
    CHECK(w.call(std::chrono::duration<double>(std::numeric_limits<double>::infinity()), 1000h) ==
          "value");
    CHECK(w.call(duration::max() - 1ns, 1000h) == "value");  // ends at `never`, too
}
