#include <posthaste/serve/express.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <type_traits>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

struct ask {
    using reply = int;
    static constexpr bool idempotent = true;
    int n;
};

struct none {
    void apply(call_settings&) const {}
};
struct derived : limit {
    using limit::limit;
};

template <typename P>
constexpr bool known = !std::is_same_v<typename detail::layers_of<P>::type, detail::unknown_layers>;
static_assert(known<decltype(deadline(1s) | retry() | breaker() | limit(1))>);
static_assert(known<decltype(budget() | attempt_timeout(1s) | adaptive_limit())>);
static_assert(known<decltype(rate({.per_second = 1}) | limit(1))>);
static_assert(known<decltype(fallback(0) | retry())>);
static_assert(!known<decltype(limit(1) | none() | retry())>, "nobody knows what it adds");
static_assert(!known<derived>, "it may add something else");

/// The same call twice: by layers whose types are known, and one after the other.
struct world {
    simulation sim;
    bus app{sim};
    int failures = 0;

    world() {
        app.handle<ask>("ask", [this](ask a) -> result<int> {
            if (failures == 0) return a.n;
            --failures;
            return failure(code::unavailable);
        });
    }
    template <typename P>
    std::string call(const P& by, int fail = 0) {
        failures = fail;
        const auto to = app.client<ask>("ask", by);
        const time_point zero = sim.now();
        const auto r = app.run([&]() -> task<result<int>> { co_return co_await to.call(7); });
        const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(sim.now() - zero);
        return (r ? std::to_string(*r) : outcome(r)) + " after " + std::to_string(took.count()) +
               " ms";
    }
};

}  // namespace

TEST_CASE("express: in and out again, with a value") {
    testing::no_frames_left frames;
    world w;
    const limit few(1);
    const breaker b;
    const auto all = few | retry() | b;
    for (int i = 0; i != 3; ++i) CHECK(w.call(all) == "7 after 0 ms");
    CHECK(w.call(all | none()) == "7 after 0 ms");
    CHECK(few.in_flight() == 0);
    CHECK(b.counts().calls == 4);
    CHECK(b.counts().failed == 0);
}

TEST_CASE("express: a layer that refuses is not entered, and those outside are left") {
    testing::no_frames_left frames;
    world w;
    const limit few(1), none_left(1);
    breaker b;
    b.open();
    CHECK(w.call(few | b | none_left) == "circuit open, none after 0 ms");
    CHECK(w.call(few | b | none_left | none()) == "circuit open, none after 0 ms");
    CHECK(few.in_flight() == 0);
    CHECK(none_left.in_flight() == 0);
    CHECK(b.counts().refused == 2);
    b.close();
    CHECK(w.call(few | b | none_left) == "7 after 0 ms");
}

TEST_CASE("express: a layer that holds back has it go on from there, once") {
    testing::no_frames_left frames;
    world w;
    const limit outside(1), inside(1);
    const rate slow({.per_second = 10, .burst = 1, .wait = 1s});
    const auto all = outside | slow | inside;
    CHECK(w.call(all) == "7 after 0 ms");
    CHECK(w.call(all) == "7 after 100 ms");
    CHECK(w.call(all | none()) == "7 after 100 ms");
    CHECK(outside.in_flight() == 0);
    CHECK(inside.in_flight() == 0);
}

TEST_CASE("express: an attempt that fails goes on step by step") {
    testing::no_frames_left frames;
    world w;
    const limit few(1);
    const breaker b({.least_calls = 100});
    const retry r({.base = 0ms});
    const auto all = r | few | b;
    CHECK(w.call(all, 2) == w.call(all | none(), 2));
    CHECK(w.call(all, 3) == w.call(all | none(), 3));
    CHECK(b.counts().calls == 12);
    CHECK(b.counts().failed == 10);
    CHECK(few.in_flight() == 0);
    CHECK(w.call(fallback(1) | all, 3) == "1 after 0 ms");
}
