#include <posthaste/serve/bus_core.hpp>

#include "../support/conversation.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {
struct hop {
    using reply = int;
    int left;
};

/// One thread works for it. Asked for the time by what runs there, it halts once, until the bus
/// that drains meanwhile has asked all handlers to stop.
class halting final : public executor {
public:
    halting() : thread_([this] { work_until_over(); }) {}
    void join() {
        over_ = true;
        thread_.join();
    }
    mutable detail::flag halted;
    detail::flag handler_runs;

    void post(work& w) noexcept override {
        const std::lock_guard guard(mutex_);
        ready_.push_back(&w);
    }
    time_point now() const noexcept override {
        if (here() && !halted.is_set()) {
            halted.set();
            go_on_.wait();
        }
        return {};
    }
    void arm(timer&, time_point) noexcept override {}
    void disarm(timer&) noexcept override {}
    void drive(detail::flag&) override {}
    bool drive_while(bool (*busy)(void*), void* of, time_point) override {
        const bool still = busy(of);
        if (++waits_ < 3) return !still;  // the grace, and the rest of it; then the stops
        go_on_.set();
        handler_runs.wait();
        for (int idle = 0; idle != 3; idle = at_rest() ? idle + 1 : 0) {
            if (!busy(of)) return true;
        }
        return false;
    }
    void drive_ready() noexcept override {
        while (run_one()) {}
    }
    bool idle_here() const noexcept override { return over_; }

private:
    bool at_rest() {
        const std::lock_guard guard(mutex_);
        return ready_.empty() && !runs_;
    }
    bool run_one() {
        work* w = nullptr;
        {
            const std::lock_guard guard(mutex_);
            runs_ = !ready_.empty();
            if (!runs_) return false;
            w = ready_.front();
            ready_.pop_front();
        }
        w->run(*w);
        return true;
    }
    void work_until_over() {
        detail::this_thread().executor = static_cast<const executor*>(this);
        while (!over_) {
            if (!run_one()) std::this_thread::yield();
        }
        drive_ready();
        detail::this_thread().executor = nullptr;
    }

    mutable detail::flag go_on_;
    std::atomic<bool> over_ = false;
    std::mutex mutex_;
    std::deque<work*> ready_;  // guarded by mutex_, as the next
    bool runs_ = false;
    int waits_ = 0;
    std::thread thread_;
};
/// Whoever drives it runs what is ready; but the time is over as soon as it is looked at, so that
/// what is under way ends just after that.
class just_too_late final : public executor {
public:
    void post(work& w) noexcept override { ready_.push_back(&w); }
    time_point now() const noexcept override { return {}; }
    void arm(timer&, time_point) noexcept override {}
    void disarm(timer&) noexcept override {}
    void drive(detail::flag&) override { drive_ready(); }
    bool drive_while(bool (*busy)(void*), void* of, time_point) override {
        const bool in_time = !busy(of);
        if (std::exchange(looked_, true)) drive_ready();
        return in_time || !busy(of);
    }
    void drive_ready() noexcept override {
        detail::this_thread().executor = static_cast<const executor*>(this);
        for (; !ready_.empty(); ready_.pop_front()) ready_.front()->run(*ready_.front());
        detail::this_thread().executor = nullptr;
    }
    bool idle_here() const noexcept override { return true; }

private:
    std::deque<work*> ready_;
    bool looked_ = false;
};
}  // namespace

TEST_CASE("bus_core: what ends just after the grace did not end in time, and is in the account") {
    testing::no_frames_left frames;
    just_too_late world;
    bus app(world);
    std::string sent;
    app.handle<hop>("a", [](hop) { return 0; });
    app.handle<hop>("late",
                    [&, a = app.client<hop>("a")](hop) { return sent = outcome(a.send(1)), 0; });
    REQUIRE(app.client<hop>("late").send(1));
    const auto drained = app.drain(1s);
    CHECK(sent == "closed, none");  // the grace is over
    CHECK_FALSE(drained->in_time);
    CHECK(drained->total.handled == 1);
    CHECK(drained->total.adds_up());
}

TEST_CASE("bus_core: an address is made once a name, and stays where it is") {
    simulation sim;
    bus_core core({}, &sim);
    address& a = core.find_or_make("a");
    for (int i = 0; i != 100; ++i) core.find_or_make(std::to_string(i));
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
    halting world;
    {
        bus app(world);
        bool cut_short = false;
        app.handle<hop>("n", [&](hop) -> task<int> {
            world.handler_runs.set();
            const auto slept = co_await sleep_for(1h);
            cut_short = !slept;
            co_return 0;
        });
        const auto call = [](client<hop> c) -> task<result<int>> { co_return co_await c.call(1); };
        launched<result<int>> caller(world, call(app.client<hop>("n")));
        world.halted.wait();  // between taking the endpoint and starting the handler
        const auto drained = app.drain(0s);
        world.join();
        CHECK(cut_short);
        CHECK(drained->total.handled == 1);
        CHECK(drained->total.left == 0);
        CHECK(caller.done());
    }
}

TEST_CASE("bus_core: at the end of the grace whoever runs is stopped, and nothing is taken") {
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
        CHECK(cut_short == 1);
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
