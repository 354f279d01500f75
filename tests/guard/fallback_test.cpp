#include <posthaste/guard/fallback.hpp>
#include <posthaste/serve/gather.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct ask {
    using reply = int;
    bool good;
};
struct name_of {
    using reply = std::string;
};
struct note {};
struct throws_when_copied {
    throws_when_copied() = default;
    throws_when_copied(throws_when_copied&&) noexcept = default;
    throws_when_copied(const throws_when_copied&) { throw std::runtime_error("no copy"); }
};
struct delicate {
    using reply = throws_when_copied;
};

struct world {
    simulation sim;
    bus app{sim};
    world() {
        app.handle<ask, name_of, note>(
            "all", [](const auto& m) -> task<result<reply_t<std::remove_cvref_t<decltype(m)>>>> {
                if constexpr (std::is_same_v<std::remove_cvref_t<decltype(m)>, ask>) {
                    if (m.good) co_return 1;
                }
                co_return failure(code::unavailable);
            });
    }
    template <typename M, typename P, typename... Args>
    result<reply_t<M>> call(const P& p, Args... args) {
        const auto c = app.client<ask, name_of, note>("all", p);
        return app.run(
            [&]() -> task<result<reply_t<M>>> { co_return co_await c.template call<M>(args...); });
    }
};

}  // namespace

TEST_CASE("fallback: gives a value where the call fails, and there only") {
    testing::no_frames_left frames;
    world w;
    CHECK(*w.call<ask>(fallback(7), true) == 1);
    CHECK(*w.call<ask>(fallback(7), false) == 7);
    const auto c = w.app.client<ask>("nobody", fallback(8));
    CHECK(*w.app.run([&]() -> task<result<int>> { co_return co_await c.call(true); }) == 8);
}

TEST_CASE("fallback: gives a value also to one of several that was answered at once") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<ask>("plain", [](ask a) -> result<int> {
        if (a.good) return 1;
        return failure(code::unavailable);
    });
    const auto with = app.client<ask>("plain", fallback(7));
    const auto without = app.client<ask>("plain");
    app.run([&]() -> task<> {
        auto [good, bad, failed] =
            co_await gather(with.call(true), with.call(false), without.call(false));
        REQUIRE((good && bad));
        CHECK(*good == 1);
        CHECK(*bad == 7);
        CHECK(outcome(failed) == "unavailable, complete");
    });
}

TEST_CASE("fallback: gives what a function makes of the failure") {
    testing::no_frames_left frames;
    world w;
    const auto told = [](const failure& f) { return f.message(); };
    CHECK(*w.call<name_of>(fallback(told)) == "unavailable at all");
    const auto worse = [](const failure& f) -> result<int> {
        return failure(code::rejected).path(f.path());
    };
    const auto r = w.call<ask>(fallback(worse), false);
    REQUIRE(!r);
    CHECK(r.error().code() == code::rejected);
    CHECK(r.error().path() == "all");
    int calls = 0;
    const auto nothing = [&](const failure&) { ++calls; };
    CHECK(w.call<note>(fallback(nothing)).has_value());
    CHECK(calls == 1);
}

TEST_CASE("fallback: a message with another reply keeps its failure") {
    testing::no_frames_left frames;
    world w;
    const auto r = w.call<name_of>(fallback(7));
    REQUIRE(!r);
    CHECK(r.error().message() == "unavailable at all");
    CHECK(*w.call<name_of>(fallback(std::string("x")) | fallback(7)) == "x");
}

TEST_CASE("fallback: what stands outside sees the value, what stands inside the failure") {
    testing::no_frames_left frames;
    world w;
    const auto twice = [](const failure&) -> result<int> { return failure(code::closed); };
    CHECK(*w.call<ask>(fallback(5) | fallback(twice), false) == 5);
    CHECK(outcome(w.call<ask>(fallback(twice) | fallback(5), false)) == "value");
}

TEST_CASE("fallback: where making it throws, the failure stays") {
    testing::no_frames_left frames;
    world w;
    const auto throws = [](const failure&) -> int { throw std::runtime_error("none"); };
    CHECK(outcome(w.call<ask>(fallback(throws), false)) == "unavailable, complete");
    w.app.handle<delicate>("delicate", [](const delicate&) -> result<throws_when_copied> {
        return failure(code::unavailable);
    });
    const auto c = w.app.client<delicate>("delicate", fallback(throws_when_copied()));
    CHECK(outcome(w.app.run([&]() -> task<result<throws_when_copied>> {
              co_return co_await c.call();
          })) == "unavailable, complete");
}

TEST_CASE("fallback: a call that is cancelled has none") {
    testing::no_frames_left frames;
    world w;
    w.app.handle<ask>("slow", [](ask) -> task<int> {
        co_await sleep_for(1s);
        co_return 1;
    });
    launched call(w.sim, [](client<ask> c) -> task<result<int>> {
        co_return co_await c.call(true);
    }(w.app.client<ask>("slow", fallback(3))));
    w.sim.advance(10ms);
    call.stop();
    w.sim.advance(0ms);
    REQUIRE(call.done());
    CHECK(outcome(call.value()) == "cancelled, unknown");
}
