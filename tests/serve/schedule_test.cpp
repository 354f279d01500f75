#include <posthaste/serve/schedule.hpp>

#include "../support/by_hand.hpp"
#include "../support/conversation.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

struct note {
    int n;
};

}  // namespace

TEST_CASE("schedule: a drain gives up what is not due yet, and accounts for it") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int handled = 0;
    app.handle<note>("log", [&](note) { ++handled; });
    app.handle<note>("other", [](note) {});
    const auto log = app.client<note>("log");
    CHECK(log.send_after(1h, 1));
    CHECK(log.send_after(1ms, 2));
    CHECK(app.client<note>("other").send_after(1h, 3));
    auto beat = log.send_every(1ms, 4);
    const auto all = app.drain(10s);
    REQUIRE(all);
    CHECK(all->in_time);
    CHECK(sim.elapsed() == 0s);  // it did not wait for them
    CHECK(all->scheduled == 3);
    CHECK(all->total.accepted == 0);
    CHECK(handled == 0);
    std::vector<int> lost;
    app.dead_letters().for_each([&](const dead_letter& l) {
        CHECK(outcome(result<void>(l.reason())) == "closed, none");
        CHECK(l.reason().detail() == "it was not due yet");
        lost.push_back(l.get<note>()->n);
    });
    CHECK(lost == std::vector{1, 2, 3});
    CHECK_FALSE(beat.cancel());
    sim.run_until_idle();
    CHECK(handled == 0);
}

TEST_CASE("schedule: what is due when the drain begins is sent, and nothing more is taken") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 20))));
    bus app(sim);
    int handled = 0;
    std::vector<std::string> during;
    app.handle<note>("log", [&](note n, context& ctx) -> task<> {
        ++handled;
        if (n.n != 0) co_return;
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(!ctx.stop_requested());
        const auto log = app.client<note>("log");  // from inside, a send is still taken
        const auto later = log.send_after(1ms, 5), again = log.send_every(1ms, 6);
        during = {outcome(result<void>(later.error())), outcome(result<void>(again.error())),
                  outcome(log.send(7))};
    });
    const auto log = app.client<note>("log");
    CHECK(log.send(0));
    for (int i = 1; i != 4; ++i) CHECK(log.send_after(i * 1us, i));
    sim.advance(3us);
    CHECK(log.send_after(2ms, 4));  // not due when the drain begins
    const auto all = app.drain(1s);
    CHECK(all->in_time);
    CHECK(all->scheduled == 1);
    CHECK(handled == 5);
    CHECK(all->total.adds_up());
    CHECK(during == std::vector<std::string>{"closed, none", "closed, none", "value"});
}

TEST_CASE("schedule: a bus is destroyed at any moment, and leaves nothing behind") {
    const auto seed = static_cast<std::uint64_t>(GENERATE(range(1, 100)));
    testing::no_frames_left frames;
    simulation sim(seed);
    std::vector<scheduled> held;
    std::uint64_t lost = 0;
    int handled = 0, cancelled = 0;
    {
        bus app(sim);
        app.handle<note>("log", [&](note) { ++handled; });
        app.dead_letters().on_letter([&](const dead_letter&) { ++lost; });
        const auto log = app.client<note>("log");
        for (int i = 0; i != 10; ++i) {
            held.push_back(log.send_after(i * 1ms, i));
            static_cast<void>(log.send_every((i + 1) * 1h, i));
        }
        sim.drive_while([](void*) { return true; }, nullptr,
                        time_point(duration(std::chrono::microseconds(seed * 97))));
        for (std::size_t i = 0; i < held.size(); i += 3) cancelled += held[i].cancel();
    }
    CHECK(handled + cancelled + static_cast<int>(lost) == 10);
    for (auto& one : held) CHECK_FALSE(one.cancel());
    sim.run_until_idle();
}

TEST_CASE("schedule: what is due after the endpoint was shut is a dead letter") {
    testing::no_frames_left frames;
    struct bell final : timer {
        std::atomic<bool> rung = false;
        bell() : timer([](timer& t) noexcept { static_cast<bell&>(t).rung = true; }) {}
    };
    thread_pool pool(1);  // one thread, which the handler keeps until the grace is over
    std::optional<bus> app(std::in_place, pool);
    std::atomic<bool> begun = false;
    std::atomic<int> lost = 0;
    app->dead_letters().on_letter([&](const dead_letter&) { ++lost; });
    app->handle<note>("log", [&](note, context& ctx) {
        begun = true;
        while (!ctx.stop_requested()) std::this_thread::yield();
    });
    const auto log = app->client<note>("log");
    REQUIRE(log.send(0));
    while (!begun) std::this_thread::yield();
    for (int i = 1; i != 100; ++i) CHECK(log.send_after(i * 10us, i));
    bell last;
    pool.arm(last, pool.now() + 2ms);
    while (!last.rung) std::this_thread::yield();  // so they are due, all of them
    const auto all = app->drain(1ms);
    REQUIRE(all);
    CHECK_FALSE(all->in_time);
    CHECK(all->total.adds_up());
    CHECK(all->total.accepted == 1);
    CHECK(all->scheduled == 0);
    app.reset();
    CHECK(lost == 99);
}

TEST_CASE("schedule: is busy until what was cancelled on its way has gone") {
    struct keeps_the_timer final : testing::by_hand {
        timer* armed = nullptr;
        void arm(timer& t, time_point) noexcept override { armed = &t; }
    };
    struct looks final : schedule::item {
        schedule& of;
        bool busy = false;
        looks(const address& to, schedule& s) noexcept : item(to, {}, {}, 1ms), of(s) {}
        envelope* message() noexcept override { return nullptr; }
        void drop() noexcept override { busy = of.busy(); }
    };
    keeps_the_timer at;
    dead_letters dead;
    schedule later(dead);
    const std::atomic<bool> draining = false;
    address to("log", at, draining, 1s, {});
    to.later = &later;
    looks one(to, later);
    schedule::item* held = nullptr;
    CHECK(later.add(one, held));
    REQUIRE(at.armed);
    at.armed->fire(*at.armed);
    CHECK(later.cancel(held));
    CHECK(later.busy());
    testing::by_hand::run(testing::by_hand::posted());
    CHECK(one.busy);
    CHECK_FALSE(later.busy());
}
