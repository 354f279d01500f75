#include <posthaste/guard/limit.hpp>

#include "../support/conversation.hpp"
#include "../support/layers.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <random>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::layer_of;
using posthaste::testing::one_call;
using posthaste::testing::outcome;
using posthaste::testing::refusal_of;

namespace {
struct ask {
    using reply = int;
};
}  // namespace

TEST_CASE("limit: so many go in, one more is refused at once, and one that ends makes room") {
    simulation sim;
    const limit three(3);
    const limit copy = three;
    CHECK(three.most() == 3);
    one_call a(sim, layer_of(three)), b(sim, layer_of(copy)), c(sim, layer_of(three));
    CHECK((a.goes_in() && b.goes_in() && c.goes_in()));
    CHECK(copy.in_flight() == 3);
    for (int way = 0; way != 3; ++way) {  // a value, a failure, no end at all
        one_call d(sim, layer_of(three));
        CHECK(d.enter().what == verdict::kind::refuse);
        CHECK(d.refusal().code() == code::overloaded);
        CHECK(d.refusal().effect() == effect::none);
        CHECK(d.refusal().message() ==
              "overloaded: as many calls as the limit allows are in flight");
        CHECK(three.in_flight() == 3);
        if (way == 0) a.succeed();
        else if (way == 1) a.fail(code::handler_failed);
        else a.abandon();
        CHECK(three.in_flight() == 2);
        CHECK(a.goes_in());
    }
    CHECK(three.refused() == 3);
}

TEST_CASE("limit: is never exceeded and comes back to zero, over 1,000 seeds") {
    simulation sim;
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        std::mt19937_64 random(seed);
        const std::size_t most = 1 + random() % 5;
        const limit few(most);
        std::list<one_call> inside;
        for (int step = 0; step != 100; ++step) {
            if (random() % 2 == 0) {
                const bool fits = inside.size() < most;
                REQUIRE(inside.emplace_back(sim, layer_of(few)).goes_in() == fits);
                if (!fits) inside.pop_back();
            } else if (!inside.empty()) {
                if (random() % 3 == 0) inside.front().succeed();
                else if (random() % 2 == 0) inside.front().fail(code::cancelled);
                inside.pop_front();
            }
            REQUIRE(few.in_flight() == inside.size());
            REQUIRE(few.in_flight() <= most);
        }
        inside.clear();
        REQUIRE(few.in_flight() == 0);
    }
}

TEST_CASE("limit: none at all is refused") {
    STATIC_REQUIRE(policy<limit>);
    CHECK(refusal_of([] { limit none(0); }) == "limit: it must be at least 1");
    CHECK(refusal_of([] { limit one(1); }).empty());
}

TEST_CASE("limit: holds for all calls of its clients together, however they end") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    event go_on;
    app.handle<ask>("stock", parallel(100), [&](ask) -> task<int> {
        co_await go_on.wait();
        co_return 7;
    });
    const limit two(2);
    const auto one = app.client<ask>("stock", two), other = app.client<ask>("stock", two);
    const auto call = [](client<ask> c) -> task<result<int>> { co_return co_await c.call(); };
    {
        launched<result<int>> a(sim, call(one)), b(sim, call(other));
        sim.drive_ready();
        CHECK(two.in_flight() == 2);
        CHECK(outcome(app.run([&] { return call(one); })) == "overloaded, none");
        a.stop();
        sim.drive_ready();
        CHECK(outcome(a.value()) == "cancelled, unknown");
        CHECK(two.in_flight() == 1);
        launched<result<int>> late(sim, call(one));
        sim.advance(5s);
        CHECK(outcome(late.value()) == "deadline exceeded, unknown");
        launched<result<int>> dropped(sim, call(one));
        sim.drive_ready();
        CHECK(two.in_flight() == 1);  // b has come to its deadline, too
    }
    CHECK(two.in_flight() == 0);
    go_on.set();
    CHECK(outcome(app.run([&] { return call(one); })) == "value");
    CHECK(two.in_flight() == 0);
    CHECK(two.refused() == 1);
}
