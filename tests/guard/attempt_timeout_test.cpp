#include <posthaste/guard/attempt_timeout.hpp>

#include "../support/conversation.hpp"
#include "../support/layers.hpp"

#include <chrono>
#include <string>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;
using posthaste::testing::refusal_of;

namespace {

struct work_for {
    using reply = int;
    static constexpr bool idempotent = true;
    std::chrono::nanoseconds time;
};

struct world {
    simulation sim;
    bus app{sim};
    int begun = 0;
    duration faster_by{};  // each time
    world() {
        app.handle<work_for>("work", parallel(8), [this](work_for w) -> task<int> {
            co_await sleep_for(w.time - begun++ * faster_by);
            co_return 1;
        });
    }
    template <typename P>
    std::string call(const P& p, std::chrono::nanoseconds t) {
        const auto c = app.client<work_for>("work", p);
        return outcome(app.run([&]() -> task<result<int>> { co_return co_await c.call(t); }));
    }
};

}  // namespace

TEST_CASE("attempt_timeout: an attempt may take so long and no longer") {
    testing::no_frames_left frames;
    world w;
    CHECK(w.call(attempt_timeout(30ms), 29'999'999ns) == "value");
    CHECK(w.call(attempt_timeout(30ms), 30'000'001ns) == "deadline exceeded, unknown");
    CHECK(w.call(deadline(20ms) | attempt_timeout(30ms), 21ms) == "deadline exceeded, unknown");
    CHECK(w.call(deadline(forever) | attempt_timeout(forever), 1h) == "value");
}

TEST_CASE("attempt_timeout: each attempt has its own, and the deadline holds for all") {
    testing::no_frames_left frames;
    world w;
    w.faster_by = 15ms;
    const retry at_once({.attempts = 5, .base = 0ms});
    const time_point begin = w.sim.now();
    CHECK(w.call(deadline(1s) | at_once | attempt_timeout(30ms), 70ms) == "value");
    CHECK(w.begun == 4);
    CHECK(w.sim.now() - begin == 3 * 30ms + 25ms);
    w.begun = 0;
    w.faster_by = 0ms;
    const time_point second = w.sim.now();
    CHECK(w.call(deadline(70ms) | at_once | attempt_timeout(30ms), 1s) ==
          "deadline exceeded, unknown");
    CHECK(w.begun == 3);
    CHECK(w.sim.now() - second == 70ms);
}

TEST_CASE("attempt_timeout: outside a retry it holds for all attempts together") {
    testing::no_frames_left frames;
    world w;
    const time_point begin = w.sim.now();
    const retry at_once({.attempts = 5, .base = 0ms});
    CHECK(w.call(attempt_timeout(70ms) | at_once | attempt_timeout(30ms), 1s) ==
          "deadline exceeded, unknown");
    CHECK(w.begun == 3);
    CHECK(w.sim.now() - begin == 70ms);
}

TEST_CASE("attempt_timeout: no time at all is refused") {
    CHECK(refusal_of([] { attempt_timeout(0ms); }) == "attempt_timeout: it must be more than zero");
    CHECK(refusal_of([] { attempt_timeout(-1ns); }) != "");
    CHECK(refusal_of([] { attempt_timeout(1ns); }) == "");
}
