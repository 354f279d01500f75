#include <posthaste/serve/stream_core.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct count_up {
    using reply = stream<int>;
};

}  // namespace

TEST_CASE("stream_core: room, stop and deadline at one moment: one of them wakes the producer") {
    testing::no_frames_left frames;
    const auto seed = static_cast<std::uint64_t>(GENERATE(range(1, 200)));
    simulation sim(seed);
    int yielded = 0, ended = 0;
    bus app(sim);
    app.handle<count_up>("count", [&](count_up) -> stream<int> {
        struct guard {
            int& n;
            explicit guard(int& of) noexcept : n(of) {}
            guard(const guard&) = delete;
            ~guard() { ++n; }
        } at_end(ended);
        for (;;) co_yield ++yielded;
    });
    std::vector<int> seen;
    std::string end;
    app.run([&]() -> task<> {
        auto values = co_await app.client<count_up>("count", deadline(2ms)).call();
        const auto consume = [&]() -> task<> {
            for (;;) {
                const auto next = co_await values->next();
                if (!next) {
                    end = outcome(next);
                    co_return;
                }
                seen.push_back(**next);
                if (seen.size() % 8 == seed % 8) static_cast<void>(co_await sleep_for(1ms));
            }
        };
        if (seed % 2 == 0) {
            static_cast<void>(co_await when_any(consume(), sleep_for(2ms)));
            values->cancel();
        } else {
            co_await consume();
        }
        for (int i = 0; i != 20; ++i) co_await yield();
        CHECK(ended == 1);
    });
    for (std::size_t i = 0; i != seen.size(); ++i) CHECK(seen[i] == static_cast<int>(i) + 1);
    CHECK(yielded - static_cast<int>(seen.size()) <= 17);
    if (seed % 2 != 0) CHECK(end == "deadline exceeded, unknown");
    CHECK(app.counts("count").adds_up());
}

TEST_CASE("stream_core: a producer that was asked to stop ends at its next co_yield") {
    testing::no_frames_left frames;
    simulation sim;
    int yielded = 0;
    std::string end;
    std::vector<int> seen;
    bus app(sim);
    app.handle<count_up>("count", [&](count_up) -> stream<int> {
        for (;;) {
            co_yield ++yielded;
            co_await testing::sleep_soundly(10ms);  // heeds no stop
        }
    });
    launched<void> consumer(sim, [](bus& b, std::vector<int>& all, std::string& to) -> task<> {
        auto values = co_await b.client<count_up>("count").call();
        for (;;) {
            const auto next = co_await values->next();
            if (!next) {
                to = outcome(next);
                break;
            }
            all.push_back(**next);
        }
    }(app, seen, end));
    sim.advance(25ms);
    const auto account = app.drain(0s);
    REQUIRE(account);
    CHECK(yielded == 4);
    CHECK(account->total.failed == 1);
    sim.run_until_idle();
    CHECK(seen == std::vector{1, 2, 3});
    CHECK(end == "cancelled, unknown");
}

TEST_CASE("stream_core: a stop ends a producer that stands still, also where nobody takes") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 10))));
    int ended = 0;
    std::string end;
    bus app(sim);
    app.handle<count_up>("count", [&](count_up) -> stream<int> {
        struct guard {
            int& n;
            explicit guard(int& of) noexcept : n(of) {}
            guard(const guard&) = delete;
            ~guard() { ++n; }
        } at_end(ended);
        for (int i = 1;; ++i) co_yield i;
    });
    launched<void> consumer(sim, [](bus& b, std::string& to) -> task<> {
        auto values = co_await b.client<count_up>("count", deadline(forever)).call();
        static_cast<void>(co_await sleep_for(1h));
        for (int i = 1;; ++i) {
            const auto next = co_await values->next();
            if (!next) {
                CHECK(i == 17);
                to = outcome(next);
                break;
            }
            CHECK(**next == i);
        }
    }(app, end));
    sim.advance(1ms);
    CHECK(app.drain(0s)->total.failed == 1);
    CHECK(ended == 1);
    sim.run_until_idle();
    CHECK(end == "cancelled, unknown");
}
