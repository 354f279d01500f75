#include "../support/catch.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/wait/inner_stop.hpp>

#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;
using detail::inner_stop;

TEST_CASE("inner_stop: the outer stop reaches in, the inner one does not reach out") {
    simulation world;
    stop_source outer;
    const context ctx(world, time_point(5s), outer.token());
    SECTION("inner") {
        inner_stop inner;
        inner.open(ctx);
        CHECK_FALSE(inner.under().stop_requested());
        inner.request();
        CHECK(inner.under().stop_requested());
        CHECK_FALSE(ctx.stop_requested());
    }
    SECTION("outer") {
        inner_stop inner;
        inner.open(ctx);
        outer.request_stop();
        CHECK(inner.under().stop_requested());
    }
    SECTION("outer, before") {
        outer.request_stop();
        inner_stop inner;
        inner.open(ctx);
        CHECK(inner.under().stop_requested());
    }
    SECTION("outer, after it was closed") {
        inner_stop inner;
        inner.open(ctx);
        inner.close();
        outer.request_stop();
        CHECK_FALSE(inner.under().stop_requested());
    }
}

TEST_CASE("inner_stop: what runs under it has the nearer deadline, and else the outer context") {
    simulation world;
    const context ctx(world, time_point(5s), {});
    inner_stop same, nearer, farther;
    same.open(ctx);
    nearer.open(ctx, time_point(1s));
    farther.open(ctx, time_point(9s));
    CHECK(same.under().deadline() == time_point(5s));
    CHECK(nearer.under().deadline() == time_point(1s));
    CHECK(farther.under().deadline() == time_point(5s));
    CHECK(&nearer.under().home() == &world);
    CHECK(nearer.under().attempt() == 1);
}
