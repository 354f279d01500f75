#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/wait/event.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <utility>

using namespace posthaste;
using posthaste::testing::started;

namespace {
struct outcomes {
    int done = 0, cancelled = 0;
};
task<> wait_for(event& e, outcomes& out) {
    const auto ok = co_await e.wait();
    if (ok) ++out.done;
    else if (ok.error().code() == code::cancelled) ++out.cancelled;
}
}  // namespace

TEST_CASE("event: who comes after set() goes on at once") {
    testing::no_frames_left frames;
    simulation world;
    event e;
    CHECK_FALSE(e.is_set());
    e.set();
    CHECK(e.is_set());
    outcomes out;
    started waiter(world, wait_for(e, out));
    world.drive_ready();
    CHECK(world.steps() == 1);  // it never stood still
    CHECK(waiter.ended());
    CHECK(out.done == 1);
}

TEST_CASE("event: set() lets everyone through who waits") {
    testing::no_frames_left frames;
    simulation world(7);
    event e;
    outcomes out;
    std::deque<started> waiters;
    for (int i = 0; i != 100; ++i) waiters.emplace_back(world, wait_for(e, out));
    world.drive_ready();
    CHECK(out.done == 0);
    e.set();
    CHECK(out.done == 0);  // not inside set()
    world.drive_ready();
    CHECK(out.done == 100);
}

TEST_CASE("event: set() again does nothing") {
    testing::no_frames_left frames;
    simulation world;
    event e;
    outcomes out;
    started first(world, wait_for(e, out));
    world.drive_ready();
    e.set();
    e.set();
    world.drive_ready();
    e.set();
    started second(world, wait_for(e, out));
    world.drive_ready();
    CHECK(e.is_set());
    CHECK(out.done == 2);
}

TEST_CASE("event: a wait ends as cancelled when stop is requested, the others go on waiting") {
    testing::no_frames_left frames;
    simulation world;
    event e;
    outcomes out;
    stop_source stop;
    started before(world, wait_for(e, out));
    started stopped(world, wait_for(e, out), stop.token());
    started after(world, wait_for(e, out));
    world.drive_ready();
    stop.request_stop();
    CHECK(out.cancelled == 0);  // nothing is resumed from inside a stop callback
    world.drive_ready();
    CHECK(out.cancelled == 1);
    CHECK(out.done == 0);
    CHECK(stopped.ended());
    e.set();
    world.drive_ready();
    CHECK(out.done == 2);
    CHECK(out.cancelled == 1);
}

TEST_CASE("event: a stop requested before the wait ends it, unless the event is set") {
    testing::no_frames_left frames;
    simulation world;
    event e;
    outcomes out;
    stop_source stop;
    stop.request_stop();
    started unset(world, wait_for(e, out), stop.token());
    world.drive_ready();
    CHECK(out.cancelled == 1);
    e.set();
    started set(world, wait_for(e, out), stop.token());
    world.drive_ready();
    CHECK(out.done == 1);
}

TEST_CASE("event: of set and stop, the first one counts") {
    testing::no_frames_left frames;
    simulation world;
    outcomes out;
    {
        event e;
        stop_source stop;
        started waiter(world, wait_for(e, out), stop.token());
        world.drive_ready();
        e.set();
        stop.request_stop();
        world.drive_ready();
        CHECK(out.done == 1);
        CHECK(out.cancelled == 0);
    }
    event e;
    stop_source stop;
    started waiter(world, wait_for(e, out), stop.token());
    world.drive_ready();
    stop.request_stop();
    e.set();
    world.drive_ready();
    CHECK(out.done == 1);
    CHECK(out.cancelled == 1);
}

TEST_CASE("event: a frame destroyed while it stands in line is out of it") {
    testing::no_frames_left frames;
    simulation world;
    event e;
    outcomes out;
    stop_source stop;
    std::deque<started> waiters;
    for (int i = 0; i != 5; ++i) waiters.emplace_back(world, wait_for(e, out), stop.token());
    world.drive_ready();
    waiters[0].destroy();
    waiters[2].destroy();
    waiters[4].destroy();
    e.set();
    world.drive_ready();
    CHECK(out.done == 2);
    waiters.clear();
    stop.request_stop();  // nobody listens any more
    world.drive_ready();
    CHECK(out.done == 2);
    CHECK(out.cancelled == 0);
}

TEST_CASE("event: may be destroyed as soon as the last wait has returned") {
    testing::no_frames_left frames;
    simulation world;
    auto e = std::make_unique<event>();
    bool through = false;
    const auto body = [&]() -> task<> {
        through = (co_await e->wait()).has_value();
        e.reset();
    };
    started waiter(world, body());
    world.drive_ready();
    e->set();
    world.drive_ready();
    CHECK(through);
    CHECK_FALSE(e);
}

TEST_CASE("event: a waiter goes on at its own home, whoever sets") {
    testing::no_frames_left frames;
    simulation here, there;
    event e;
    const executor* where = nullptr;
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await e.wait());
        where = here.here() ? &here : there.here() ? &there : nullptr;
    };
    started waiter(here, body());
    here.drive_ready();
    const auto set = [&]() -> task<> {
        e.set();
        co_return;
    };
    sync_wait(there, set());
    there.drive_ready();
    CHECK(where == nullptr);
    here.drive_ready();
    CHECK(where == &here);
}

TEST_CASE("event: that nobody can set is what a stuck simulation names") {
    testing::no_frames_left frames;
    simulation world;
    event e;
    outcomes out;
    started waiter(world, wait_for(e, out));
    CHECK_THROWS_WITH(world.drive(waiter.end()), Catch::Matchers::ContainsSubstring("an event"));
    waiter.destroy();
    CHECK_THAT(world.report(), Catch::Matchers::ContainsSubstring("parked: 0"));
}
