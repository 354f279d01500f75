#include <posthaste/serve/parallel_endpoint.hpp>

#include "../support/conversation.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct job {
    using reply = int;
    int n;
};
task<result<int>> call(client<job> c, int n) { co_return co_await c.call(n); }

}  // namespace

TEST_CASE("parallel_endpoint: runs n at once, and never more, called or sent") {
    testing::no_frames_left frames;
    const int n = GENERATE(1, 2, 5, 64, 65, 130);
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        simulation sim(seed);
        bus app(sim);
        int inside = 0, most = 0;
        app.handle<job>("jobs", parallel(static_cast<std::size_t>(n)), [&](job j) -> task<int> {
            most = std::max(most, ++inside);
            co_await sleep_for(std::chrono::milliseconds(1 + j.n % 3));
            --inside;
            co_return j.n;
        });
        const auto c = app.client<job>("jobs", deadline(forever));
        std::vector<std::unique_ptr<launched<result<int>>>> callers;
        for (int i = 0; i != 2 * n + 3; ++i) {
            CHECK(c.send(i));
            callers.push_back(std::make_unique<launched<result<int>>>(sim, call(c, i)));
        }
        sim.advance(10s);
        CHECK(most == n);
        CHECK(inside == 0);
        for (auto& one : callers) CHECK(outcome(one->value()) == "value");
        CHECK(app.counts("jobs").handled == static_cast<std::uint64_t>(4 * n + 6));
        CHECK(app.counts("jobs").left == 0);
    }
}

TEST_CASE("parallel_endpoint: each message it handles at a time has a slot of its own") {
    testing::no_frames_left frames;
    constexpr std::size_t n = 3;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        simulation sim(seed);
        bus app(sim);
        std::vector<int> inside(n), ever(n);
        app.handle<job>("jobs", parallel(n), [&](job j, context& ctx) -> task<int> {
            const std::size_t slot = ctx.slot();
            CHECK(++inside.at(slot) == 1);
            ++ever.at(slot);
            co_await sleep_for(std::chrono::milliseconds(1 + j.n % 3));
            CHECK((co_await this_context).slot() == slot);
            CHECK(context(ctx).slot() == slot);
            --inside.at(slot);
            co_return j.n;
        });
        const auto c = app.client<job>("jobs");
        std::vector<std::unique_ptr<launched<result<int>>>> callers;
        for (int i = 0; i != 5; ++i) {
            CHECK(c.send(i));
            callers.push_back(std::make_unique<launched<result<int>>>(sim, call(c, i)));
        }
        sim.advance(10s);
        CHECK(inside == std::vector<int>(n));
        CHECK(std::count(ever.begin(), ever.end(), 0) == 0);
    }
}

TEST_CASE("parallel_endpoint: several endpoints of one group take from one queue, as they can") {
    testing::no_frames_left frames;
    constexpr std::size_t n = 3, messages = 120;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        simulation sim(seed);
        bus app(sim);
        struct member {
            duration takes;
            int inside = 0, handled = 0;
        };
        std::array<member, n> members{{{10ms}, {1ms}, {2ms}}};
        std::vector<int> done(messages);
        std::vector<client<job>> group;
        for (std::size_t i = 0; i != n; ++i) {
            const std::string name = "member." + std::to_string(i);
            app.handle<job>(name, [&, i](job j) -> task<result<int>> {
                member& m = members[i];
                CHECK(++m.inside == 1);
                static_cast<void>(co_await sleep_for(m.takes));
                --m.inside;
                if (++m.handled % 4 == 0 && i == 2) co_return failure(code::unavailable);
                ++done.at(static_cast<std::size_t>(j.n));
                co_return j.n;
            });
            group.push_back(app.client<job>(name));
        }
        app.handle<job>("jobs", parallel(n).at_least_once({.in_place = 0}),
                        [&](const job& j, context& ctx) -> task<result<int>> {
                            co_return co_await group[ctx.slot()].call(j);
                        });
        const auto jobs = app.client<job>("jobs");
        for (std::size_t i = 0; i != messages; ++i) CHECK(jobs.send(static_cast<int>(i)));
        sim.advance(30s);
        CHECK(done == std::vector<int>(messages, 1));  // what one failed came again, to whoever
        CHECK(members[0].handled >= 4);
        CHECK(members[1].handled > 4 * members[0].handled);  // nobody waits for the slow one
        CHECK(members[2].handled > members[0].handled);
    }
}

TEST_CASE("parallel_endpoint: has n lanes, each claimed by one at a time") {
    testing::no_frames_left frames;
    simulation sim;
    dead_letters dead;
    struct handles_job : handler {
        handles_job() : handler(nullptr, 0) {}
    };
    parallel_endpoint e("jobs", sim, dead, std::make_unique<handles_job>(), parallel(70));
    detail::sent<job> letter;
    int lanes = 0;
    e.for_each_lane(&lanes, [](void* n, lane&) { ++*static_cast<int*>(n); });
    CHECK(lanes == 70);
    for (std::size_t i = 0; i != 70; ++i)
        CHECK(reinterpret_cast<std::uintptr_t>(e.lane_number(i)) % detail::cache_line == 0);
    std::set<lane*> claimed;
    while (lane* l = e.claim(letter)) claimed.insert(l);
    CHECK(claimed.size() == 70);
    CHECK_FALSE(e.idle());
    for (lane* l : claimed) sim.post(*l);
    sim.drive_ready();
    CHECK(e.idle());
    CHECK(e.claim(letter) != nullptr);
}

TEST_CASE("parallel_endpoint: one slow message keeps no other from being handled") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<job>("jobs", parallel(2), [](job j) -> task<int> {
        if (j.n == 0) co_await sleep_for(1h);
        co_return j.n;
    });
    const auto c = app.client<job>("jobs", deadline(forever));
    launched<result<int>> slow(sim, call(c, 0));
    sim.advance(1ms);
    for (int i = 1; i != 20; ++i) CHECK(*app.run([&] { return call(c, i); }) == i);
    CHECK(sim.elapsed() == 1ms);
    sim.advance(2h);
    CHECK(*slow.value() == 0);
}
