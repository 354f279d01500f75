#include <posthaste/serve/send_operation.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

/// Who shares `alive` is there still.
struct job {
    int n;
    std::shared_ptr<int> alive;
};

/// One endpoint with when_full::wait, room for one and a handler that takes 10 ms.
struct world {
    simulation sim;
    std::vector<int> started;  // the handler's, as long as the bus is there
    std::shared_ptr<int> jobs = std::make_shared<int>(0);
    bus app;
    client<job> work;
    explicit world(duration patience = 5s)
        : sim(static_cast<std::uint64_t>(GENERATE(range(1, 4)))),
          app(sim),
          work(app.client<job>("work", deadline(patience))) {
        app.handle<job>("work", serial.capacity(1).full(when_full::wait),
                        [this](const job& j) -> task<> {
                            started.push_back(j.n);
                            co_await sleep_for(10ms);
                        });
    }
    void fill() {
        CHECK(work.send(1, jobs));
        sim.advance(1ms);
        CHECK(work.send(2, jobs));
    }
    long alive() const noexcept { return jobs.use_count() - 1; }
};

task<result<void>> send_when_room(client<job> c, int n, std::shared_ptr<int> alive) {
    co_return co_await c.send_when_room(n, std::move(alive));
}

}  // namespace

TEST_CASE("send_operation: where there is room its sender goes on at once") {
    testing::no_frames_left frames;
    world w;
    const auto twice = [&]() -> task<bool> {
        const auto first = co_await w.work.send_when_room(1, w.jobs);
        CHECK(w.started.empty());
        co_await yield();
        const auto second = co_await w.work.send_when_room(2, w.jobs);
        co_return first&& second;
    };
    launched<bool> sender(w.sim, twice());
    w.sim.drive_ready();
    CHECK(sender.value());
    w.sim.advance(1s);
    CHECK(w.started == std::vector<int>{1, 2});
    CHECK(w.alive() == 0);
    CHECK(w.app.counts("work").accepted == 2);
    CHECK(w.app.counts("work").adds_up());
}

TEST_CASE("send_operation: what waited for room is handled once, after what came before it") {
    testing::no_frames_left frames;
    world w;
    w.fill();
    launched<result<void>> sender(w.sim, send_when_room(w.work, 3, w.jobs));
    w.sim.advance(1ms);
    CHECK_FALSE(sender.done());
    w.sim.advance(1s);
    CHECK(outcome(sender.value()) == "value");
    CHECK(w.started == std::vector<int>{1, 2, 3});
    CHECK(w.alive() == 0);
}

TEST_CASE("send_operation: a message that was not accepted is gone with its sender's answer") {
    testing::no_frames_left frames;
    world w;
    SECTION("the sender is stopped") {
        w.fill();
        launched<result<void>> sender(w.sim, send_when_room(w.work, 3, w.jobs));
        w.sim.advance(1ms);
        CHECK(w.alive() == 3);
        sender.stop();
        w.sim.drive_ready();
        CHECK(outcome(sender.value()) == "cancelled, none");
        CHECK(w.alive() == 2);
    }
    SECTION("it was stopped before") {
        launched<result<void>> sender(w.sim, send_when_room(w.work, 3, w.jobs));
        sender.stop();
        w.sim.drive_ready();
        CHECK(outcome(sender.value()) == "cancelled, none");
        CHECK(w.alive() == 0);
    }
    SECTION("the queue is shut") {
        w.fill();
        launched<result<void>> sender(w.sim, send_when_room(w.work, 3, w.jobs));
        w.sim.advance(1ms);
        static_cast<void>(w.app.drain(0ms));
        w.sim.drive_ready();
        CHECK(outcome(sender.value()) == "closed, none");
        CHECK(w.alive() <= 2);  // what was accepted may be a dead letter
    }
    CHECK(w.app.counts("work").adds_up());
}

TEST_CASE("send_operation: without patience it is refused, though there is room") {
    testing::no_frames_left frames;
    world w(0ms);
    launched<result<void>> sender(w.sim, send_when_room(w.work, 1, w.jobs));
    w.sim.drive_ready();
    CHECK(outcome(sender.value()) == "deadline exceeded, none");
    CHECK(w.alive() == 0);
    CHECK(w.app.counts("work").accepted == 0);
}

TEST_CASE("send_operation: one that nobody awaits takes its message with it") {
    world w;
    {
        auto operation = w.work.send_when_room(1, w.jobs);
        const auto moved = std::move(operation);
        CHECK(w.alive() == 1);
    }
    CHECK(w.alive() == 0);
    CHECK(w.app.counts("work").accepted == 0);
}

TEST_CASE("send_operation: a sender that is destroyed where it waits leaves the room") {
    testing::no_frames_left frames;
    world w(forever);
    w.fill();
    {
        launched<result<void>> sender(w.sim, send_when_room(w.work, 3, w.jobs));
        w.sim.advance(1ms);
        CHECK(w.alive() == 3);
    }
    CHECK(w.alive() == 2);
    w.sim.advance(1s);
    CHECK(w.started == std::vector<int>{1, 2});
    CHECK(w.app.counts("work").adds_up());
}
