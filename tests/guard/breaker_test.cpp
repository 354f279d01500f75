#include <posthaste/guard/breaker.hpp>

#include "../support/catch.hpp"
#include "../support/layers.hpp"

#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::layer_of;
using posthaste::testing::one_call;

TEST_CASE("breaker: is a policy, which repeats nothing") {
    STATIC_REQUIRE(policy<breaker>);
    STATIC_REQUIRE(!detail::repeats<breaker>);
}

TEST_CASE("breaker: its defaults are those it documents") {
    const breaker_options o;
    CHECK((o.ratio == 0.5 && o.slow == forever && o.slow_ratio == 0.5 && o.least_calls == 20));
    CHECK((o.window == 10s && o.open_for == 5s && o.open_at_most == 60s && o.probes == 3));
    CHECK((!o.dry_run && o.counts(failure(code::no_reply))));
}

TEST_CASE("breaker: copies share what they saw, and one more breaker does not") {
    simulation sim;
    breaker b, another;
    const breaker copy = b;
    CHECK(!copy.last_cause());
    for (int i = 0; i != 20; ++i) {
        one_call c(sim, layer_of(b));
        CHECK(c.goes_in());
        c.fail(code::no_reply);
    }
    CHECK(copy.state() == circuit::open);
    CHECK(copy.last_cause()->code() == code::no_reply);
    CHECK(another.state() == circuit::closed);
    one_call c(sim, layer_of(copy));
    CHECK(c.enter().what == verdict::kind::refuse);
    CHECK(c.refusal().message() == "circuit open: too many calls failed");
    CHECK(copy.counts().refused == 1);
    CHECK(copy.counts().calls == 20);
    CHECK(copy.counts().failed == 20);
    b.close();
    CHECK(copy.state() == circuit::closed);
    b.open();
    CHECK(copy.state() == circuit::held_open);
    one_call held(sim, layer_of(copy));
    CHECK(held.enter().what == verdict::kind::refuse);
    CHECK(held.refusal().message() == "circuit open: the breaker is held open");
}

TEST_CASE("breaker: two of a client stand one within the other") {
    const auto both = breaker() | breaker({.ratio = 1});
    call_settings s{1s};
    both.apply(s);
    CHECK(s.layers.size() == 2);
    CHECK(s.layers[0] != s.layers[1]);
}
