#include <posthaste/serve/queue_watch.hpp>

#include "../support/conversation.hpp"

#include <posthaste/serve/policy.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;
using posthaste::testing::sleep_soundly;

namespace {

struct ask {
    using reply = int;
    int n;
};

task<result<int>> call(client<ask> c, int n) { co_return co_await c.call(n); }

struct watching : queue_watch {
    duration away{}, down{};
    std::vector<duration> waited;
    int came = 0;
    duration turn_away(time_point) noexcept override { return ++came, away; }
    duration turn_down(time_point, duration d) noexcept override {
        return waited.push_back(d), down;
    }
};
struct by {
    std::shared_ptr<watching> w;
    void apply(call_settings& s) const { s.watch = w; }
};

struct world {
    simulation sim{static_cast<std::uint64_t>(GENERATE(range(1, 6)))};
    bus app{sim};
    std::shared_ptr<watching> w = std::make_shared<watching>();
    int ran = 0;
    client<ask> c = app.client<ask>("slow");
    client<ask> watched = app.client<ask>("slow", by{w});
    world() {
        app.handle<ask>("slow", [this](ask a) -> task<int> {
            ++ran;
            co_await sleep_soundly(10ms);
            co_return a.n;
        });
    }
};

}  // namespace

TEST_CASE("queue_watch: is asked before a call queues and before it begins, and knows its wait") {
    testing::no_frames_left frames;
    world w;
    launched<result<int>> at_once(w.sim, call(w.watched, 1));
    w.sim.advance(1ms);
    CHECK(w.w->came == 0);  // it did not queue
    CHECK(w.c.send(2));
    launched<result<int>> queued(w.sim, call(w.watched, 3));
    w.sim.advance(1ms);
    CHECK(w.w->came == 1);
    w.sim.advance(1s);
    CHECK(at_once.value());
    CHECK(queued.value());
    CHECK(w.w->waited == std::vector<duration>{19ms});  // the send was not asked about
    CHECK(w.ran == 3);
}

TEST_CASE("queue_watch: whom it turns away never queues, and is told when to ask again") {
    testing::no_frames_left frames;
    world w;
    w.w->away = 7ms;
    launched<result<int>> first(w.sim, call(w.c, 1));
    w.sim.advance(1ms);
    launched<result<int>> c(w.sim, call(w.watched, 1));
    w.sim.advance(0ms);
    const auto r = c.value();
    CHECK(outcome(r) == "overloaded, none");
    CHECK(r.error().message() == "overloaded at slow: its queue is overloaded");
    CHECK(r.error().retry_after() == 7ms);
    w.sim.advance(1s);
    CHECK(w.ran == 1);
    CHECK(w.app.counts("slow").refused == 1);
    CHECK(w.app.counts("slow").accepted == 1);
}

TEST_CASE("queue_watch: whom it turns down is not begun, and counted as dropped") {
    testing::no_frames_left frames;
    world w;
    w.w->down = 7ms;
    launched<result<int>> first(w.sim, call(w.c, 1));
    w.sim.advance(1ms);
    launched<result<int>> c(w.sim, call(w.watched, 1));
    w.sim.advance(1ms);
    launched<result<int>> next(w.sim, call(w.c, 1));
    w.sim.advance(1s);
    const auto r = c.value();
    CHECK(outcome(r) == "overloaded, none");
    CHECK(r.error().message() ==
          "overloaded at slow: it had waited too long in an overloaded queue");
    CHECK(r.error().retry_after() == 7ms);
    CHECK(next.value());
    CHECK(w.ran == 2);
    const account a = w.app.counts("slow");
    CHECK(a.dropped == 1);
    CHECK(a.handled == 2);
    CHECK(a.adds_up());
}
