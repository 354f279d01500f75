#include "../support/catch.hpp"
#include "../support/frames.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/wait/context.hpp>

#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;

TEST_CASE("context: without a deadline there is time for ever") {
    const context nothing;
    CHECK(nothing.deadline() == never);
    CHECK(nothing.time_left() == forever);
    CHECK_FALSE(nothing.expired());
    CHECK_FALSE(nothing.stop_requested());
    CHECK_FALSE(nothing.stop().stop_possible());
    CHECK(nothing.attempt() == 1);

    simulation world;
    const context ctx(world, never, {});
    world.advance(1h);
    CHECK(ctx.time_left() == forever);
    CHECK(&ctx.home() == &world);
}

TEST_CASE("context: the time left falls to zero, and stays there") {
    simulation world;
    const context ctx(world, time_point(10ms), {});
    CHECK(ctx.deadline() == time_point(10ms));
    CHECK(ctx.time_left() == 10ms);
    world.advance(9ms);
    CHECK(ctx.time_left() == 1ms);
    CHECK_FALSE(ctx.expired());
    world.advance(1ms);
    CHECK(ctx.time_left() == 0ns);
    CHECK(ctx.expired());
    world.advance(1h);
    CHECK(ctx.time_left() == 0ns);
}

TEST_CASE("context: a deadline may be as early or as late as time goes") {
    simulation world;
    CHECK(context(world, time_point::min(), {}).expired());
    CHECK(context(world, time_point(), {}).expired());
    CHECK(context(world, never - 1ns, {}).time_left() == forever - 1ns);
    world.advance(1s);
    CHECK(context(world, time_point::min(), {}).time_left() == 0ns);
    CHECK(context(world, time_point(-1ns), {}).expired());
    CHECK(context(world, time_point(), {}).expired());
    CHECK(context(world, never - 1ns, {}).time_left() == forever - 1ns - 1s);
}

TEST_CASE("context: hears of the stop it was given, or of another one in its place") {
    simulation world;
    stop_source first, second;
    const context ctx(world, time_point(5s), first.token());
    const context other(ctx, second.token());
    CHECK(other.deadline() == ctx.deadline());
    CHECK(&other.home() == &ctx.home());
    CHECK(ctx.stop() == first.token());
    second.request_stop();
    CHECK(other.stop_requested());
    CHECK_FALSE(ctx.stop_requested());
    first.request_stop();
    CHECK(ctx.stop_requested());
}

TEST_CASE("context: a task has the one of whoever awaits it") {
    testing::no_frames_left frames;
    simulation world;
    const auto inner = []() -> task<const context*> {
        const context& ctx = co_await this_context;
        co_return &ctx;
    };
    const auto outer = [&]() -> task<bool> {
        const context& mine = co_await this_context;
        const context* theirs = co_await inner();
        co_return theirs == &mine && &mine.home() == &world;
    };
    CHECK(sync_wait(world, outer()));
}
