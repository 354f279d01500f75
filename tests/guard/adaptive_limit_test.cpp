#include <posthaste/guard/adaptive_limit.hpp>

#include <posthaste/run/scope.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/wait/semaphore.hpp>
#include <posthaste/wait/sleep.hpp>

#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/layers.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <random>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::layer_of;
using posthaste::testing::one_call;

namespace {

// A callee that does `width` things at a time, each in `each`, has room for `queue` more, and is
// asked by more callers than it bears.
struct overload {
    std::size_t width;
    duration each;
    std::size_t queue;
    adaptive_limit of;
    simulation sim{7};
    semaphore places{width};
    std::size_t inside = 0, done = 0;

    task<> caller(time_point end) {
        while (sim.now() < end) {
            one_call call(sim, layer_of(of));
            const bool goes_in = call.goes_in(), fits = inside < width + queue;
            if (!goes_in || !fits) {
                if (goes_in) call.fail(code::overloaded, effect::none);
                co_await sleep_for(std::max<duration>(each, 200us));
                continue;
            }
            ++inside;
            auto place = co_await places.acquire();
            co_await sleep_for(each);
            place->release();
            --inside;
            call.succeed();
            ++done;
        }
    }
    task<> all(int callers, time_point end) {
        scope s(co_await this_context);
        for (int i = 0; i != callers; ++i) {
            s.spawn([](overload& o, time_point t) { return o.caller(t); }, std::ref(*this), end);
        }
        co_await s.join();
    }
    // The part of what it could do that it did, in the second half of the time.
    double run(int windows) {
        const duration half = std::max<duration>(20ms, each * 20) * windows;
        sync_wait(sim, all(100, sim.now() + half));
        done = 0;
        sync_wait(sim, all(100, sim.now() + half));
        REQUIRE(of.in_flight() == 0);
        return static_cast<double>(done) /
               (static_cast<double>(width) * (static_cast<double>(half / each) + 1));
    }
};

}  // namespace

TEST_CASE("adaptive_limit: finds what a callee bears, in microseconds as well as over a network") {
    testing::no_frames_left frames;
    for (const duration each : {duration(50us), duration(1ms), duration(50ms)}) {
        for (const std::size_t width : {1u, 8u}) {
            overload by_time{width, each, 1000, adaptive_limit({.initial = 1})};
            CHECK(by_time.run(6) > 0.95);
            CHECK(by_time.of.most() <= width + 10);
            overload by_loss{width, each, 2, adaptive_limit({.by = adapt::aimd})};
            CHECK(by_loss.run(6) > 0.9);
            CHECK(by_loss.of.most() <= width + 4);
        }
    }
}

TEST_CASE("adaptive_limit: one call too many is refused at once, and one that ends makes room") {
    simulation sim;
    const adaptive_limit two({.initial = 2, .most = 2});
    const adaptive_limit copy = two;
    STATIC_REQUIRE(policy<adaptive_limit>);
    one_call a(sim, layer_of(two)), b(sim, layer_of(copy)), c(sim, layer_of(two));
    CHECK((a.goes_in() && b.goes_in()));
    CHECK(c.enter().what == verdict::kind::refuse);
    CHECK(c.refusal().message() ==
          "overloaded: as many calls are in flight as the callee seems to bear");
    CHECK(c.refusal().effect() == effect::none);
    CHECK(copy.in_flight() == 2);
    CHECK(copy.refused() == 1);
    a.abandon();
    b.fail(code::handler_failed);
    CHECK(copy.in_flight() == 0);
}

TEST_CASE("adaptive_limit: samples are values and losses, and other failures teach nothing") {
    const auto after = [](duration takes, auto end) {
        simulation sim;
        const adaptive_limit l({.by = adapt::aimd});
        for (int i = 0; i != 200; ++i) {
            std::list<one_call> all;
            for (int n = 0; n != 10; ++n) {
                all.emplace_back(sim, layer_of(l), n == 0 ? takes : duration(1s)).enter();
            }
            sim.advance(1ms);
            for (auto& c : all) {
                if (c.is_inside()) end(c);
            }
        }
        return l.most();
    };
    CHECK(after(1s, [](one_call& c) { c.succeed(); }) == 21);  // no more than twice what is in use
    for (const code c : {code::overloaded, code::deadline_exceeded}) {
        CHECK(after(1s, [c](one_call& o) { o.fail(c); }) == 2);
    }
    for (const code c : {code::handler_failed, code::cancelled, code::rejected, code::no_reply,
                         code::no_handler, code::unavailable, code::circuit_open}) {
        CHECK(after(1s, [c](one_call& o) { o.fail(c); }) == 20);
    }
    CHECK(after(1s, [](one_call& c) { c.abandon(); }) == 20);
}

TEST_CASE("adaptive_limit: a deadline that was over before is no loss") {
    simulation sim;
    const adaptive_limit l({.by = adapt::aimd});
    for (int i = 0; i != 100; ++i) {
        one_call c(sim, layer_of(l), duration(0));
        REQUIRE(c.goes_in());
        sim.advance(1ms);
        c.fail(code::deadline_exceeded, effect::none);
    }
    CHECK(l.most() == 20);
}

TEST_CASE("adaptive_limit: over 1,000 seeds no more go in than it says, and all come out") {
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        std::mt19937_64 random(seed);
        simulation sim(seed);
        adaptive_limit_options o;
        o.by = random() % 2 == 0 ? adapt::gradient : adapt::aimd;
        o.initial = static_cast<int>(1 + random() % 8);
        o.most = 10;
        const adaptive_limit l(o);
        std::list<one_call> inside;
        for (int step = 0; step != 300; ++step) {
            sim.advance(std::chrono::microseconds(random() % 3000));
            if (random() % 2 == 0) {
                const bool fits = inside.size() < l.most();
                REQUIRE(inside.emplace_back(sim, layer_of(l)).goes_in() == fits);
                if (!fits) inside.pop_back();
            } else if (!inside.empty()) {
                const auto how = random() % 8;
                if (how < 4) inside.front().succeed();
                else if (how < 5) inside.front().fail(code::overloaded);
                else if (how < 6) inside.front().fail(code::handler_failed);
                inside.pop_front();  // or: given up
            }
            REQUIRE(l.in_flight() == inside.size());
            REQUIRE((l.most() >= 1 && l.most() <= 10));
        }
        inside.clear();
        REQUIRE(l.in_flight() == 0);
        // Never stuck: when all is well it grows again, if that is asked for.
        for (int i = 0; i != 500 && l.most() != 10; ++i) {
            while (inside.size() < l.most()) inside.emplace_back(sim, layer_of(l)).enter();
            sim.advance(1ms);
            for (auto& c : inside) c.succeed();
            inside.clear();
        }
        REQUIRE(l.most() == 10);
    }
}
