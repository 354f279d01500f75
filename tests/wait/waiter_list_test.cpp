#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/wait/waiter_list.hpp>

#include <coroutine>
#include <cstddef>
#include <deque>
#include <vector>

using namespace posthaste;
using posthaste::testing::started;

namespace {
/// The smallest thing one can stand in line for: a line, and a door that may be open.
struct door {
    waiter_list line;
    bool open = false;
    int asked = 0;

    bool wake_first() {
        const auto guard = line.lock();
        return line.wake_first();
    }
    bool empty() {
        const auto guard = line.lock();
        return line.empty();
    }
};
class passing {
public:
    static constexpr bool keeps_home = true;
    explicit passing(door& d) noexcept : door_(d), waiter_(d.line) {}
    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        return waiter_.stand(h.promise(), "a door", [&d = door_] {
            ++d.asked;
            return d.open;
        });
    }
    bool await_resume() noexcept { return waiter_.woken(); }

private:
    door& door_;
    waiter_list::waiter waiter_;
};

struct seen {
    std::vector<int> through, gave_up;
};
task<> pass(door& d, int who, seen& out) {
    passing way(d);
    const bool woken = co_await way;
    (woken ? out.through : out.gave_up).push_back(who);
}
}  // namespace

TEST_CASE("waiter_list: nobody is woken where nobody stands") {
    door d;
    CHECK(d.empty());
    CHECK_FALSE(d.wake_first());
    {
        passing never_awaited(d);
        CHECK(d.empty());
    }
    CHECK_FALSE(d.wake_first());
}

TEST_CASE("waiter_list: whoever finds the condition true does not stand") {
    testing::no_frames_left frames;
    simulation world;
    door d;
    d.open = true;
    seen out;
    started one(world, pass(d, 1, out));
    world.drive_ready();
    CHECK(out.through == std::vector{1});
    CHECK(d.asked == 1);
    CHECK(d.empty());
}

TEST_CASE("waiter_list: wakes first come, first served, one at a time") {
    testing::no_frames_left frames;
    simulation world;
    door d;
    seen out;
    std::deque<started> line;
    for (int who = 0; who != 4; ++who) {
        line.emplace_back(world, pass(d, who, out));
        world.drive_ready();
    }
    for (int woken = 1; woken != 5; ++woken) {
        CHECK(d.wake_first());
        CHECK(out.through.size() == static_cast<std::size_t>(woken) - 1);  // later, at its home
        world.drive_ready();
        CHECK(out.through.size() == static_cast<std::size_t>(woken));
    }
    CHECK(out.through == std::vector{0, 1, 2, 3});
    CHECK(d.empty());
    CHECK_FALSE(d.wake_first());
}

TEST_CASE("waiter_list: whoever gives up or is destroyed leaves the others in their order") {
    testing::no_frames_left frames;
    for (int leaver = 0; leaver != 4; ++leaver) {  // first, between, between, last
        for (const bool destroyed : {true, false}) {
            simulation world;
            door d;
            seen out;
            std::deque<stop_source> stops(4);
            std::deque<started> line;
            for (int who = 0; who != 4; ++who) {
                line.emplace_back(world, pass(d, who, out),
                                  stops[static_cast<std::size_t>(who)].token());
                world.drive_ready();
            }
            if (destroyed) line[static_cast<std::size_t>(leaver)].destroy();
            else stops[static_cast<std::size_t>(leaver)].request_stop();
            world.drive_ready();
            std::vector<int> expected;
            for (int who = 0; who != 4; ++who) {
                if (who != leaver) expected.push_back(who);
            }
            while (d.wake_first()) world.drive_ready();
            CHECK(out.through == expected);
            CHECK(out.gave_up.size() == (destroyed ? 0u : 1u));
            CHECK(d.empty());
        }
    }
}

TEST_CASE("waiter_list: the last one gone, the line is as new") {
    testing::no_frames_left frames;
    simulation world;
    door d;
    seen out;
    for (int round = 0; round != 3; ++round) {
        started one(world, pass(d, round, out));
        world.drive_ready();
        CHECK_FALSE(d.empty());
        if (round == 0) CHECK(d.wake_first());
        if (round == 1) one.destroy();
        if (round == 2) CHECK(d.wake_first());
        CHECK(d.empty());
        world.drive_ready();
    }
    CHECK(out.through == std::vector{0, 2});
}

TEST_CASE("waiter_list: woken and stopped at once, the waiter got what it waited for") {
    testing::no_frames_left frames;
    simulation world;
    door d;
    seen out;
    stop_source stop;
    started one(world, pass(d, 1, out), stop.token());
    world.drive_ready();
    CHECK(d.wake_first());
    stop.request_stop();
    world.drive_ready();
    CHECK(out.through == std::vector{1});
    CHECK(out.gave_up.empty());
}

TEST_CASE("waiter_list: stopped before it stands, a waiter does not even ask") {
    testing::no_frames_left frames;
    simulation world;
    door d;
    d.open = true;
    seen out;
    stop_source stop;
    stop.request_stop();
    started one(world, pass(d, 1, out), stop.token());
    world.drive_ready();
    CHECK(out.gave_up == std::vector{1});
    CHECK(d.asked == 0);
}
