#include <posthaste/serve/bus_core.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {
struct hop {
    using reply = int;
    int left;
};
}  // namespace

TEST_CASE("bus_core: an address is made once a name, and stays where it is") {
    simulation sim;
    bus_core core({}, &sim);
    address& a = core.find_or_make("a");
    for (int i = 0; i != 100; ++i) core.find_or_make("a" + std::to_string(i));
    CHECK(&core.find_or_make("a") == &a);
    CHECK(core.addresses.size() == 101);
    CHECK(a.name == "a");
    CHECK(&a.home == &sim);
    CHECK(a.deadline == 5s);
}

TEST_CASE("bus_core: a message that passes between endpoints is not taken for rest") {
    testing::no_frames_left frames;
    bus_options options;
    options.threads = 2;
    for (int round = 0; round != 200; ++round) {
        bus app(options);
        const auto a = app.client<hop>("a"), b = app.client<hop>("b");
        std::atomic<int> lost = 0;
        app.handle<hop>("a", [&lost, b](hop h) {
            if (h.left != 0 && !b.send(h.left - 1)) ++lost;
            return 0;
        });
        app.handle<hop>("b", [&lost, a](hop h) {
            if (h.left != 0 && !a.send(h.left - 1)) ++lost;
            return 0;
        });
        REQUIRE(a.send(200));
        const auto drained = app.drain(10s);  // looks at both, again and again
        CHECK(drained->in_time);
        CHECK(lost == 0);
        CHECK(drained->total.handled == 201);
    }
}

TEST_CASE("bus_core: a handler that starts just as the others are stopped is stopped, too") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        simulation sim(seed);
        bus app(sim);
        int cut_short = 0;
        app.handle<hop>("n", [&](hop) -> task<int> {
            const auto slept = co_await sleep_for(1h);
            cut_short += !slept;
            co_return 0;
        });
        const auto insist = [](client<hop> c) -> task<int> {  // sends until it is refused
            while (c.send(1)) co_await sleep_for(1us);
            co_return 0;
        };
        launched<int> sender(sim, insist(app.client<hop>("n")));
        sim.advance(std::chrono::microseconds(seed % 5));
        const auto drained = app.drain(1ms);
        CHECK(drained->total.adds_up());
        CHECK(drained->total.handled == static_cast<std::uint64_t>(cut_short));
        sim.advance(1ms);
        CHECK(sender.done());
    }
}

TEST_CASE("bus_core: outlives the bus as long as a client does, without its handlers") {
    testing::no_frames_left frames;
    const auto held = std::make_shared<int>(1);
    auto app = std::make_unique<bus>();  // on threads of its own
    app->handle<hop>("n", [held](hop h) { return h.left; });
    const auto c = app->client<hop>("n");
    CHECK(c.send(1));
    app.reset();
    CHECK(held.use_count() == 1);
    CHECK(outcome(c.send(1)) == "closed, none");
    bool sent = true;
    std::thread([&, c] { sent = c.send(1).has_value(); }).join();
    CHECK_FALSE(sent);
}
