#include <posthaste/serve/scheduled.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

struct note {
    int n;
};
struct parcel {
    std::unique_ptr<int> what;  // cannot be copied
};
struct tracked {
    std::shared_ptr<int> alive;
};

std::string outcome_of(const scheduled& s) {
    return s ? "scheduled" : outcome(result<void>(s.error()));
}

// Handles notes, and writes down when.
struct logged {
    simulation sim;
    std::vector<std::pair<int, duration>> seen;
    bus app{sim};
    explicit logged(std::uint64_t seed = 1) : sim(seed) {
        app.handle<note>("log", [this](note n) { seen.emplace_back(n.n, sim.elapsed()); });
    }
    client<note> log() { return app.client<note>("log"); }
};

}  // namespace

TEST_CASE("scheduled: a message is sent when it is due, and not before") {
    testing::no_frames_left frames;
    logged world;
    const auto log = world.log();
    CHECK(log.send_after(250ms, 1));
    CHECK(log.send_at(time_point(100ms), 2));
    CHECK(log.send_after<note>(50ms, 3));
    CHECK(log.send_at<note>(time_point(10s), 4));
    world.sim.advance(49ms);
    CHECK(world.seen.empty());
    world.sim.advance(1h);
    CHECK(world.seen ==
          std::vector<std::pair<int, duration>>{{3, 50ms}, {2, 100ms}, {1, 250ms}, {4, 10s}});
    CHECK(world.app.counts("log").accepted == 4);
}

TEST_CASE("scheduled: what was due before is sent at once, and refused to the sender's face") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<note>("log", serial.capacity(3), [](note) {});
    const auto log = app.client<note>("log");
    sim.advance(1s);
    CHECK(log.send_after(0s, 1));
    CHECK(log.send_after(duration::min(), 2));
    CHECK(log.send_at(time_point(1ms), 3));
    CHECK(app.counts("log").accepted == 3);
    CHECK(outcome_of(log.send_after(-1h, 4)) == "overloaded, none");
    CHECK(app.dead_letters().total() == 0);
}

TEST_CASE("scheduled: what would never be due is refused") {
    testing::no_frames_left frames;
    logged world;
    const auto log = world.log();
    CHECK(outcome_of(log.send_after(duration::max(), 1)) == "rejected, none");
    CHECK(outcome_of(log.send_after(std::chrono::hours::max(), 1)) == "rejected, none");
    CHECK(outcome_of(log.send_at(never, 1)) == "rejected, none");
    CHECK(log.send_at(never, 1).error().message() == "rejected at log: it would never be due");
    CHECK(outcome_of(log.send_every(forever, 1)) == "rejected, none");
    CHECK(log.send_every(duration::max(), 1).error().detail() == "it would never be due");
    for (const duration bad : {duration(0), duration(-1), duration::min()}) {
        const auto refused = log.send_every(bad, 1);
        REQUIRE(!refused);
        CHECK(refused.error().code() == code::rejected);
        CHECK(refused.error().detail() == "send_every: the period must be more than zero");
    }
    world.sim.run_until_idle();
    CHECK(world.seen.empty());
    CHECK(outcome_of(world.app.client<note>("nobody").send_after(1s, 1)) == "no handler, none");
}

TEST_CASE("scheduled: cancel() says whether it was in time") {
    testing::no_frames_left frames;
    logged world;
    auto first = world.log().send_after(10ms, 1);
    auto second = world.log().send_after(20ms, 2);
    world.sim.advance(15ms);
    CHECK_FALSE(first.cancel());
    CHECK(second.cancel());
    CHECK_FALSE(second.cancel());  // there is nothing left to cancel
    world.sim.run_until_idle();
    CHECK(world.seen.size() == 1);
    auto at_once = world.log().send_after(0ms, 3);
    CHECK_FALSE(at_once.cancel());
}

TEST_CASE("scheduled: cancelled or sent, never both and never neither, whatever the order") {
    testing::no_frames_left frames;
    logged world(static_cast<std::uint64_t>(GENERATE(range(1, 50))));
    int cancelled = 0;
    world.app.run([&]() -> task<> {
        std::vector<scheduled> all;
        for (int i = 0; i != 20; ++i) all.push_back(world.log().send_after(1ms, i));
        co_await sleep_for(1ms);  // all are due, some are on their way
        for (auto& one : all) {
            if (one.cancel()) ++cancelled;
            co_await yield();
        }
    });
    world.sim.run_until_idle();
    CHECK(world.seen.size() + static_cast<std::size_t>(cancelled) == 20);
    static int in_time = 0, too_late = 0;
    in_time += cancelled, too_late += 20 - cancelled;
    if (world.sim.seed() == 49) {
        CHECK(in_time > 0);
        CHECK(too_late > 0);
    }
}

TEST_CASE("scheduled: it is moved from hand to hand, and destroying it changes nothing") {
    testing::no_frames_left frames;
    STATIC_REQUIRE(!std::is_copy_constructible_v<scheduled>);
    logged world;
    auto first = world.log().send_after(1ms, 1);
    auto other = world.log().send_after(1ms, 2);
    scheduled moved = std::move(first);
    CHECK_FALSE(first.cancel());
    other = std::move(moved);  // 2 is sent all the same
    CHECK(other.cancel());
    { auto gone = world.log().send_after(1ms, 3); }
    world.sim.run_until_idle();
    REQUIRE(world.seen.size() == 2);
    CHECK(world.seen[0].first + world.seen[1].first == 5);
}

TEST_CASE(
    "scheduled: a message is destroyed when it is cancelled or handled, not with its handle") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<tracked>("log", [](const tracked&) {});
    app.handle<parcel>("parcels", [](parcel p) { CHECK(*p.what == 5); });
    const auto log = app.client<tracked>("log");
    const auto mine = std::make_shared<int>(1);
    auto cancelled = log.send_after(1s, mine);
    auto sent = log.send_after(1ms, mine);
    auto unique = app.client<parcel>("parcels").send_after(1ms, std::make_unique<int>(5));
    CHECK(mine.use_count() == 3);
    CHECK(cancelled.cancel());
    CHECK(mine.use_count() == 2);
    sim.run_until_idle();
    CHECK(mine.use_count() == 1);
    CHECK(app.counts("parcels").handled == 1);
}

TEST_CASE("scheduled: every period one is sent, without drift, until it is cancelled") {
    testing::no_frames_left frames;
    logged world;
    auto beat = world.log().send_every(300ms, 7);
    world.sim.advance(1s);
    CHECK(world.seen == std::vector<std::pair<int, duration>>{{7, 300ms}, {7, 600ms}, {7, 900ms}});
    CHECK(beat.cancel());
    CHECK_FALSE(beat.cancel());
    world.sim.run_until_idle();
    CHECK(world.seen.size() == 3);
}

TEST_CASE("scheduled: periods that were missed are left out") {
    testing::no_frames_left frames;
    thread_pool pool(1);
    event done;
    std::vector<time_point> seen;
    time_point start;
    bus app(pool);
    app.handle<note>("log", [&](note) {
        seen.push_back(pool.now());
        if (seen.size() == 6) done.set();
    });
    app.run([&]() -> task<> {
        start = pool.now();
        auto beat = app.client<note>("log").send_every(5ms, 1);
        // keeps the only thread, on which they are sent, for 5 periods and a half
        const time_point until = pool.now() + 27'500us;
        while (pool.now() < until) {}
        static_cast<void>(co_await done.wait());
        beat.cancel();
    });
    REQUIRE(app.drain(10s));  // one more may have been on its way
    REQUIRE(seen.size() >= 6);
    CHECK(seen[0] - start >= 27'500us);  // the one it was late for
    for (int n = 1; n != 6; ++n)  // and none for those in between
        CHECK(seen[static_cast<std::size_t>(n)] - start >= 25ms + n * 5ms);
}

TEST_CASE("scheduled: a periodic message can be cancelled by its own handler") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 10))));
    std::optional<scheduled> beat;
    int beats = 0;
    bus app(sim);
    app.handle<note>("log", [&](note) {
        if (++beats == 3) CHECK(beat->cancel());
    });
    beat = app.client<note>("log").send_every(1ms, 1);
    sim.advance(1s);
    CHECK(beats == 3);
}

TEST_CASE("scheduled: one that finds the queue full when it is due is a dead letter") {
    testing::no_frames_left frames;
    simulation sim;
    event open;
    bus app(sim);
    app.handle<note>("log", serial.capacity(1),
                     [&](note) -> task<> { static_cast<void>(co_await open.wait()); });
    const auto log = app.client<note>("log");
    CHECK(log.send(1));
    sim.advance(1ms);
    CHECK(log.send(2));
    CHECK(log.send_after(10ms, 3));
    auto beat = log.send_every(20ms, 4);
    sim.advance(30ms);
    CHECK(beat.cancel());
    REQUIRE(app.dead_letters().size() == 2);
    std::vector<int> lost;
    app.dead_letters().for_each([&](const dead_letter& l) {
        CHECK(l.reason().code() == code::overloaded);
        CHECK(l.reason().detail() == "the queue was full when it was due");
        CHECK(l.endpoint() == "log");
        lost.push_back(l.get<note>()->n);
    });
    CHECK(lost == std::vector{3, 4});
    open.set();
}

TEST_CASE("scheduled: outlives the bus, and has nothing to cancel then") {
    testing::no_frames_left frames;
    simulation sim;
    std::optional<scheduled> once, again;
    std::optional<client<note>> log;
    {
        bus app(sim);
        app.handle<note>("log", [](note) {});
        log = app.client<note>("log");
        once = log->send_after(1s, 1);
        again = log->send_every(1s, 1);
    }
    sim.run_until_idle();
    CHECK_FALSE(once->cancel());
    CHECK_FALSE(again->cancel());
    CHECK(outcome_of(log->send_after(1s, 1)) == "closed, none");
}
