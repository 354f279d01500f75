#include <posthaste/guard/breaker.hpp>

#include "../support/conversation.hpp"
#include "../support/layers.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::layer_of;
using posthaste::testing::one_call;
using posthaste::testing::outcome;

namespace {

struct ask {
    using reply = int;
};

/// A callee that is well, fails, or hangs.
struct world {
    explicit world(std::uint64_t seed = 1) : sim(seed) {
        app.handle<ask>("stock", parallel(100), [this](ask) -> task<int> {
            ++handled;
            if (hangs) co_await sleep_for(forever);
            if (fails) throw std::runtime_error("out of order");
            co_return 7;
        });
    }
    std::string call(duration allowed = 300ms) {
        const auto c = app.client<ask>("stock", deadline(allowed) | b);
        last.emplace(app.run([&]() -> task<result<int>> { co_return co_await c.call(); }));
        return outcome(*last);
    }
    void open() {
        fails = true;
        while (b.state() == circuit::closed) call();
        handled = 0;
    }

    simulation sim;
    bus app{sim};
    breaker b;
    bool fails = false, hangs = false;
    int handled = 0;
    std::optional<result<int>> last;
};

}  // namespace

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

TEST_CASE("breaker: keeps a client's calls from a callee that fails, until it is well again") {
    testing::no_frames_left frames;
    world w;
    CHECK(w.call() == "value");
    w.open();
    CHECK(w.b.last_cause()->message() == "handler failed at stock: out of order");
    CHECK(w.call() == "circuit open, none");
    CHECK(w.last->error().message() == "circuit open at stock: too many calls failed");
    CHECK(w.handled == 0);
    w.sim.advance(w.last->error().retry_after());
    w.fails = false;
    CHECK(w.call() == "value");
    CHECK(w.b.state() == circuit::half_open);
    CHECK(w.call() == "value");
    CHECK(w.b.state() == circuit::closed);
}

TEST_CASE("breaker: calls that outlast their deadline open it, and probes that do keep it open") {
    testing::no_frames_left frames;
    world w;
    w.hangs = true;
    for (int i = 0; i != 20; ++i) CHECK(w.call() == "deadline exceeded, unknown");
    CHECK(w.call() == "circuit open, none");
    w.sim.advance(5s);
    CHECK(w.call() == "deadline exceeded, unknown");
    CHECK(w.call() == "deadline exceeded, unknown");
    CHECK(w.call() == "circuit open, none");
    w.hangs = false;
    w.sim.advance(10s);
    CHECK((w.call() == "value" && w.call() == "value"));
    CHECK(w.b.state() == circuit::closed);
}

TEST_CASE("breaker: a probe whose caller is stopped, or is no more, gives its place back") {
    testing::no_frames_left frames;
    world w;
    w.open();
    w.fails = false;
    w.hangs = true;
    w.sim.advance(5s);
    const auto c = w.app.client<ask>("stock", deadline(forever) | w.b);
    const auto probe = [&]() -> task<result<int>> { co_return co_await c.call(); };
    for (int i = 0; i != 5; ++i) {
        launched<result<int>> a(w.sim, probe()), b(w.sim, probe()), d(w.sim, probe());
        w.sim.drive_ready();
        CHECK(w.call() == "circuit open, none");
        CHECK(w.last->error().retry_after() > 0s);
        a.stop();
        w.sim.drive_ready();
        CHECK(outcome(a.value()) == "cancelled, unknown");
    }  // the other two are destroyed where they stand
    CHECK(w.b.state() == circuit::half_open);
    w.hangs = false;
    CHECK((w.call() == "value" && w.call() == "value"));
    CHECK(w.b.state() == circuit::closed);
}

TEST_CASE("breaker: calls whose caller has no time left do not open it") {
    testing::no_frames_left frames;
    world w;
    for (int i = 0; i != 100; ++i) CHECK(w.call(0s) == "deadline exceeded, none");
    CHECK(w.b.state() == circuit::closed);
    CHECK(w.b.counts().calls == 0);
}
