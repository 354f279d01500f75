#include <posthaste/serve/permit.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct note {
    int n;
};

}  // namespace

TEST_CASE("permit: what is sent by one finds room, however full the queue is") {
    testing::no_frames_left frames;
    simulation sim;
    event open;
    std::vector<int> seen;
    bus app(sim);
    app.handle<note>("log", serial.capacity(2), [&](note n) -> task<> {
        static_cast<void>(co_await open.wait());
        seen.push_back(n.n);
    });
    const auto log = app.client<note>("log");
    app.run([&]() -> task<> {
        auto place = co_await log.reserve();
        REQUIRE(place);
        CHECK(app.counts("log").accepted == 0);  // it is no message yet
        CHECK(log.send(1));
        CHECK(outcome(log.send(2)) == "overloaded, none");
        CHECK(place->send(3));
        CHECK_FALSE(*place);
        CHECK(outcome(place->send(4)) == "rejected, none");
        static_cast<void>(co_await sleep_for(1ms));
        const auto none = co_await log.reserve();
        CHECK(none.has_value());  // 1 is being handled
        const auto full = co_await log.reserve();
        CHECK(outcome(full) == "overloaded, none");
        open.set();
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(app.counts("log").accepted == 2);
        CHECK(app.counts("log").left == 0);
        CHECK(app.counts("log").adds_up());
    });
    CHECK(seen == std::vector{1, 3});
    CHECK(app.counts("log").adds_up());
}

TEST_CASE("permit: dropped or released, its place goes to the next who waits") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 30))));
    const bool by_release = GENERATE(true, false);
    int handled = 0;
    bus app(sim);
    app.handle<note>("log", serial.capacity(1).full(when_full::wait), [&](note) { ++handled; });
    const auto log = app.client<note>("log", deadline(forever));
    app.run([&]() -> task<> {
        auto place = co_await log.reserve();
        std::optional<result<void>> sent;
        launched<void> waits(sim, [](client<note> c, std::optional<result<void>>& r) -> task<> {
            r = co_await c.send_when_room(1);
        }(log, sent));
        std::optional<int> second;
        launched<void> reserves(sim, [](client<note> c, std::optional<int>& r) -> task<> {
            auto mine = co_await c.reserve();
            if (mine) r = 1;
            if (mine) CHECK(mine->send(2));
        }(log, second));
        static_cast<void>(co_await sleep_for(1ms));
        CHECK_FALSE(sent);
        CHECK_FALSE(second);
        if (by_release) {
            place->release();
        } else {
            const permit<note> gone = *std::move(place);
        }
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(sent->has_value());
        CHECK(second);
        CHECK(handled == 2);
    });
    const account all = app.counts("log");
    CHECK(all.accepted == 2);
    CHECK(all.left == 0);
    CHECK(all.adds_up());
}

TEST_CASE("permit: a wait for one that is cancelled, or late, holds no place") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 50))));
    int granted = 0, given_up = 0;
    bus app(sim);
    app.handle<note>("log", serial.capacity(2).full(when_full::wait), [](note) {});
    const auto log = app.client<note>("log", deadline(2ms));
    app.run([&]() -> task<> {
        for (int i = 0; i != 20; ++i) {
            auto one = co_await log.reserve();
            auto two = co_await log.reserve();
            REQUIRE(two);
            const auto wait = [&]() -> task<> {
                auto third = co_await log.reserve();
                ++(third ? granted : given_up);
                if (!third && third.error().code() != code::cancelled)
                    CHECK(outcome(third) == "deadline exceeded, none");
            };
            const auto give = [&]() -> task<> {
                static_cast<void>(co_await sleep_for(i % 2 == 0 ? 1ms : 2ms));
                if (i % 3 != 0) one->release();
            };
            static_cast<void>(
                co_await when_all(when_any(wait(), sleep_for(1ms + i % 4 * 1ms)), give()));
        }
        auto one = co_await log.reserve();
        auto two = co_await log.reserve();
        CHECK(two.has_value());  // no place was lost
    });
    CHECK(granted + given_up == 20);
    CHECK(app.counts("log").accepted == 0);
    CHECK(app.counts("log").left == 0);
}

TEST_CASE("permit: outlives the endpoint and the bus, and is refused to its face then") {
    testing::no_frames_left frames;
    simulation sim;
    std::optional<permit<note>> kept, dropped;
    {
        bus app(sim);
        app.handle<note>("log", [](note) {});
        app.run([&]() -> task<> {
            auto a = co_await app.client<note>("log").reserve();
            auto b = co_await app.client<note>("log").reserve();
            auto c = co_await app.client<note>("log").reserve();
            kept.emplace(*std::move(a));
            dropped.emplace(*std::move(b));
            CHECK(c->send(1));
        });
        const auto all = app.drain(1s);  // does not wait for them
        REQUIRE(all);
        CHECK(all->in_time);
        CHECK(sim.elapsed() == 0s);
        CHECK(all->total.accepted == 1);
        CHECK(all->total.left == 0);
        CHECK(all->total.adds_up());
    }
    CHECK(outcome(kept->send(1)) == "closed, none");
    dropped.reset();
}
