#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/when_any.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/semaphore.hpp>
#include <posthaste/wait/sleep.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::started;

namespace {
struct visits {
    std::vector<int> got, gave_up;
};
/// Holds a permit until `leave` is set.
task<> enter(semaphore& s, int who, visits& out, event& leave) {
    const auto permit = co_await s.acquire();
    if (!permit) {
        CHECK(permit.error().code() == code::cancelled);
        out.gave_up.push_back(who);
        co_return;
    }
    out.got.push_back(who);
    static_cast<void>(co_await leave.wait());
}
}  // namespace

TEST_CASE("semaphore: gives as many permits as it has, and takes them back") {
    semaphore s(2);
    CHECK(s.available() == 2);
    auto first = s.try_acquire();
    REQUIRE(first);
    {
        const auto second = s.try_acquire();
        REQUIRE(second);
        CHECK(s.available() == 0);
        const auto third = s.try_acquire();
        REQUIRE_FALSE(third);
        CHECK(third.error().code() == code::overloaded);
        CHECK(third.error().effect() == effect::none);
    }
    CHECK(s.available() == 1);
    first->release();
    CHECK(s.available() == 2);
    first->release();  // once is enough
    CHECK(s.available() == 2);
}

TEST_CASE("semaphore: a permit may be moved, and is given back once") {
    semaphore s(2), other(1);
    {
        auto a = *s.try_acquire();
        auto b = std::move(a);
        CHECK(s.available() == 1);
        std::optional<semaphore::permit> c = std::move(b);
        CHECK(s.available() == 1);
        c = *s.try_acquire();  // the one it held is given back
        CHECK(s.available() == 1);
        auto d = *other.try_acquire();
        d = *std::move(c);
        CHECK(other.available() == 1);
        CHECK(s.available() == 1);
    }
    CHECK(s.available() == 2);
    CHECK(other.available() == 1);
}

TEST_CASE("semaphore: with 0 permits lets nobody in, with the most there are, everybody") {
    testing::no_frames_left frames;
    simulation world;
    semaphore none(0), most(std::numeric_limits<std::size_t>::max());
    CHECK_FALSE(none.try_acquire());
    CHECK(most.try_acquire());
    CHECK(most.available() == std::numeric_limits<std::size_t>::max());
    const auto body = [&](stop_token stop) -> task<> {
        CHECK(co_await most.acquire());
        CHECK_FALSE(stop.stop_requested());
        const auto never_given = co_await none.acquire();
        CHECK(stop.stop_requested());
        CHECK_FALSE(never_given);
    };
    stop_source stop;
    started one(world, body(stop.token()), stop.token());
    world.run_until_idle();
    CHECK_FALSE(one.ended());
    stop.request_stop();
    world.drive_ready();
    CHECK(one.ended());
}

TEST_CASE("semaphore: never lets in more than it has permits") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed != 20; ++seed) {
        simulation world(seed);
        semaphore s(3);
        int inside = 0, most = 0, entered = 0;
        const auto visit = [&]() -> task<> {
            for (int i = 0; i != 20; ++i) {
                const auto permit = co_await s.acquire();
                most = std::max(most, ++inside);
                ++entered;
                co_await yield();
                --inside;
            }
        };
        std::deque<started> visitors;
        for (int i = 0; i != 10; ++i) visitors.emplace_back(world, visit());
        world.run_until_idle();
        CHECK(entered == 200);
        CHECK(most == 3);
        CHECK(s.available() == 3);
    }
}

TEST_CASE("semaphore: first come, first served, and try_acquire() does not jump the queue") {
    testing::no_frames_left frames;
    simulation world;
    semaphore s(1);
    visits out;
    event leave;
    leave.set();
    std::deque<started> line;
    {
        const auto held = s.try_acquire();
        for (int who = 0; who != 5; ++who) {
            line.emplace_back(world, enter(s, who, out, leave));
            world.drive_ready();
        }
    }
    CHECK_FALSE(s.try_acquire());  // it is the first one's already
    world.drive_ready();
    CHECK(out.got == std::vector{0, 1, 2, 3, 4});
    CHECK(s.available() == 1);
}

TEST_CASE("semaphore: who is cancelled holds no permit, and those behind move up") {
    testing::no_frames_left frames;
    simulation world;
    semaphore s(1);
    visits out;
    event leave;
    leave.set();
    std::deque<stop_source> stops(4);
    std::deque<started> line;
    auto held = s.try_acquire();
    for (int who = 0; who != 4; ++who) {
        line.emplace_back(world, enter(s, who, out, leave),
                          stops[static_cast<std::size_t>(who)].token());
        world.drive_ready();
    }
    stops[0].request_stop();  // the first, one between, the last
    stops[2].request_stop();
    world.drive_ready();
    stops[3].request_stop();
    world.drive_ready();
    CHECK(out.gave_up.size() == 3);
    CHECK(out.got.empty());
    held->release();
    world.drive_ready();
    CHECK(out.got == std::vector{1});
    CHECK(s.available() == 1);
}

TEST_CASE("semaphore: either the permit was got or it is still there, whichever comes first") {
    testing::no_frames_left frames;
    for (const bool stop_first : {true, false}) {
        for (const bool cancelled_before : {true, false}) {
            simulation world;
            semaphore s(1);
            visits out;
            event leave;
            leave.set();
            stop_source stop;
            auto held = s.try_acquire();
            if (cancelled_before) stop.request_stop();
            started one(world, enter(s, 1, out, leave), stop.token());
            world.drive_ready();
            if (stop_first) stop.request_stop(), held->release();
            else held->release(), stop.request_stop();
            world.drive_ready();
            CHECK(one.ended());
            CHECK(out.got.size() + out.gave_up.size() == 1);
            CHECK(out.gave_up.empty() == (!stop_first && !cancelled_before));
            CHECK(s.available() == 1);
        }
    }
}

TEST_CASE("semaphore: a stop that was requested before ends the wait, even with a permit free") {
    testing::no_frames_left frames;
    simulation world;
    semaphore s(1);
    visits out;
    event leave;
    leave.set();
    stop_source stop;
    stop.request_stop();
    started one(world, enter(s, 1, out, leave), stop.token());
    world.drive_ready();
    CHECK(out.gave_up == std::vector{1});
    CHECK(s.available() == 1);
}

TEST_CASE("semaphore: a frame destroyed while it stands in line takes no permit with it") {
    testing::no_frames_left frames;
    simulation world;
    semaphore s(1);
    visits out;
    event leave;
    std::deque<started> line;
    auto held = s.try_acquire();
    for (int who = 0; who != 3; ++who) {
        line.emplace_back(world, enter(s, who, out, leave));
        world.drive_ready();
    }
    line[0].destroy();
    line[2].destroy();
    held->release();
    world.drive_ready();
    CHECK(out.got == std::vector{1});
    CHECK(s.available() == 0);
    line[1].destroy();  // with the permit in its frame
    CHECK(s.available() == 1);
}

TEST_CASE("semaphore: a permit handed to a frame that is destroyed before it goes on comes back") {
    testing::no_frames_left frames;
    semaphore s(1);
    visits out;
    event leave;
    auto held = s.try_acquire();

    // A home that never runs what was posted, as one that is shut down.
    class dead_end final : public executor {
    public:
        work* posted = nullptr;
        void post(work& w) noexcept override { posted = &w; }
        void arm(timer&, time_point) noexcept override {}
        void disarm(timer&) noexcept override {}
        time_point now() const noexcept override { return {}; }
        void drive(detail::flag&) override {}
        bool drive_while(bool (*)(void*), void*, time_point) override { return false; }
        void drive_ready() noexcept override {}
        bool idle_here() const noexcept override { return true; }
    } world;
    started one(world, enter(s, 1, out, leave));
    work* const first_step = std::exchange(world.posted, nullptr);
    first_step->run(*first_step);
    REQUIRE_FALSE(world.posted);
    held->release();
    REQUIRE(world.posted);  // the permit is its own now
    CHECK(s.available() == 0);
    one.destroy();
    CHECK(out.got.empty());
    CHECK(s.available() == 1);
}

TEST_CASE("semaphore: a wait that loses against a timeout leaves the permit for others") {
    testing::no_frames_left frames;
    simulation world;
    semaphore s(1);
    const auto hold = [&](duration d) -> task<> {
        const auto permit = co_await s.acquire();
        static_cast<void>(co_await sleep_for(d));
    };
    const auto impatient = [&]() -> task<std::size_t> {
        co_await yield();
        const auto first = co_await when_any(s.acquire(), sleep_for(10ms));
        co_return first.index();
    };
    started holder(world, hold(20ms));
    world.drive_ready();
    CHECK(sync_wait(world, impatient()) == 1);
    CHECK(world.elapsed() == 10ms);
    CHECK(s.available() == 0);
    world.run_until_idle();
    CHECK(s.available() == 1);
    CHECK(sync_wait(world, impatient()) == 0);
    CHECK(s.available() == 1);
}
