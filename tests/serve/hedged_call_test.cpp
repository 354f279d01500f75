#include <posthaste/serve/hedged_call.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct ask {
    using reply = int;
};

/// Says what it is told to, and writes down what it hears.
struct fixed final : hedger {
    duration wait = 10ms;
    unsigned most = 3;
    int allowed = 100;
    time_point alone = time_point::min();
    std::vector<duration> took_so_long;
    int asked = 0, begun = 0, helps = 0;

    duration begin(passage&, time_point) noexcept override { return ++begun, wait; }
    unsigned attempts() const noexcept override { return most; }
    bool take(passage&) noexcept override { return ++asked <= allowed; }
    void took(time_point, duration d) noexcept override { took_so_long.push_back(d); }
    void leave_alone(time_point until) noexcept override { alone = until; }
    time_point alone_until() const noexcept override { return alone; }
    void helped() noexcept override { ++helps; }
};
struct hedging {
    static constexpr bool repeats = true, hedges = true;
    std::shared_ptr<fixed> core = std::make_shared<fixed>();
    void apply(call_settings& s) const {
        s.hedge = core;
        s.hedged_from = s.layers.size();
    }
};

/// An endpoint whose nth request takes so long; a negative time: it fails after that.
struct world {
    simulation sim;
    bus app{sim};
    hedging h;
    std::vector<duration> times;
    std::size_t begun = 0;
    duration took{};

    world() {
        app.handle<ask>("ask", parallel(10), [this](ask) -> task<result<int>> {
            const std::size_t n = begun++;
            const duration d = n < times.size() ? times[n] : duration(1ms);
            co_await sleep_for(d < duration::zero() ? -d : d);
            if (d < duration::zero()) co_return failure(code::unavailable, effect::unknown);
            co_return static_cast<int>(n) + 1;
        });
    }
    std::string call(std::vector<duration> what, duration allowed = 1s) {
        times = std::move(what);
        begun = 0;
        h.core->took_so_long.clear();
        h.core->helps = h.core->begun = h.core->asked = 0;
        const time_point zero = sim.now();
        const auto to = app.client<ask>("ask", deadline(allowed) | h);
        const auto r = app.run([&]() -> task<result<int>> { co_return co_await to.call(); });
        took = sim.now() - zero;
        sim.advance(0ms);
        CHECK(h.core->begun == 1);
        return r ? std::to_string(*r) : outcome(r);
    }
};

}  // namespace

TEST_CASE("hedged_call: goes by the first value, and says whose it was") {
    testing::no_frames_left frames;
    world w;
    CHECK(w.call({5ms}) == "1");
    CHECK(w.h.core->asked == 0);
    CHECK(w.call({50ms, 50ms, 5ms}) == "3");
    CHECK(w.took == 25ms);
    CHECK(w.h.core->helps == 1);
    CHECK(w.call({22ms, 50ms, 50ms}) == "1");
    CHECK(w.took == 22ms);
    CHECK(w.h.core->helps == 0);
    CHECK(w.call({50ms, -5ms, -5ms}) == "1");
    CHECK(w.took == 50ms);
    CHECK(w.call({-25ms, -14ms, -1ms}) == "unavailable, unknown");
    CHECK(w.took == 25ms);
    CHECK(w.h.core->helps == 0);
}

TEST_CASE("hedged_call: tells how long the first took, or was waited for in vain") {
    testing::no_frames_left frames;
    world w;
    using times = std::vector<duration>;
    w.call({5ms});
    CHECK(w.h.core->took_so_long == times{5ms});
    w.call({30ms, 5ms});
    CHECK(w.h.core->took_so_long == times{15ms});
    w.call({12ms, 100ms});
    CHECK(w.h.core->took_so_long == times{12ms});
    w.call({-5ms});
    CHECK(w.h.core->took_so_long.empty());
    w.call({-12ms, 5ms});
    CHECK(w.h.core->took_so_long.empty());
    w.call({100ms, 100ms, 100ms}, 50ms);
    CHECK(w.h.core->took_so_long == times{50ms});
    CHECK(w.call({}, 0ms) == "deadline exceeded, none");
    CHECK(w.h.core->took_so_long.empty());
}

TEST_CASE("hedged_call: asks before each request but the first, and makes no more than it may") {
    testing::no_frames_left frames;
    world w;
    w.h.core->allowed = 0;
    CHECK(w.call({50ms}) == "1");
    CHECK(w.begun == 1);
    CHECK(w.h.core->asked == 1);
    w.h.core->allowed = 1;
    CHECK(w.call({50ms, 50ms}) == "1");
    CHECK(w.begun == 2);
    CHECK(w.h.core->asked == 2);
    w.h.core->allowed = 100, w.h.core->most = 5;
    CHECK(w.call({70ms, 70ms, 70ms, 70ms, 70ms}) == "1");
    CHECK(w.begun == 5);
    CHECK(w.h.core->asked == 4);
    w.h.core->wait = forever;
    CHECK(w.call({70ms}) == "1");
    CHECK(w.begun == 1);
}

TEST_CASE("hedged_call: one that may not be made yet is made later, if there is time") {
    testing::no_frames_left frames;
    world w;
    w.h.core->alone = w.sim.now() + 30ms;
    CHECK(w.call({100ms, 5ms}) == "2");
    CHECK(w.took == 35ms);
    w.h.core->alone = w.sim.now() + 30ms;
    CHECK(w.call({100ms, 5ms}, 30ms) == "deadline exceeded, unknown");
    CHECK(w.begun == 1);
}

TEST_CASE("hedged_call: two at one moment: one value, one end") {
    testing::no_frames_left frames;
    world w;
    w.h.core->most = 2;
    const std::string either = w.call({15ms, 5ms});
    CHECK((either == "1" || either == "2"));
    CHECK(w.took == 15ms);
    CHECK(w.app.counts("ask").handled == 2);
    CHECK(w.call({10ms, 5ms}) == "1");  // answered as the time is over
    CHECK(w.took == 10ms);
    CHECK(w.call({-15ms, -5ms}) == "unavailable, unknown");
    CHECK(w.took == 15ms);
}
