#include <posthaste/base/message_id.hpp>

#include "../support/conversation.hpp"

#include <posthaste/serve/policy.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_set>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;

namespace {

struct ask {
    using reply = int;
    int n;
};

/// Repeats what fails, twice.
struct twice_more {
    static constexpr bool repeats = true;
    void apply(call_settings& s) const {
        class repeating : public layer {
            verdict enter(passage&, slot& s) noexcept override { return s.a = 0, verdict(); }
            verdict leave(passage&, slot& s, const failure* why) noexcept override {
                verdict v;
                if (why && ++s.a <= 2) v.what = verdict::kind::again;
                return v;
            }
        };
        s.layers.push_back(std::make_shared<repeating>());
    }
};

task<result<int>> call(client<ask> c, int n) { co_return co_await c.call(n); }

}  // namespace

TEST_CASE("message_id: equal only if origin and number are, and none without a number") {
    CHECK_FALSE(message_id());
    CHECK(message_id{0, 1});
    CHECK(message_id{1, 2} == message_id{1, 2});
    CHECK_FALSE(message_id{1, 2} == message_id{2, 2});
    CHECK_FALSE(message_id{1, 2} == message_id{1, 1});
    std::unordered_set<std::size_t> hashes;
    for (std::uint64_t origin = 0; origin != 10; ++origin) {
        for (std::uint64_t n = 1; n != 100; ++n)
            hashes.insert(std::hash<message_id>()(message_id{origin, n}));
    }
    CHECK(hashes.size() == 990);
}

TEST_CASE("message_id: no two messages of an endpoint share one, whatever their way to it") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    std::unordered_set<message_id> ids;
    std::size_t handled = 0;
    const auto handle = [&](ask a, context& ctx) -> task<int> {
        const message_id id = ctx.message_id();
        CHECK(id);
        CHECK(ids.insert(id).second);
        ++handled;
        if (a.n % 3 == 0) co_await sleep_for(1ms);
        CHECK(id == ctx.message_id());
        const context& again = co_await this_context;
        CHECK(id == again.message_id());
        co_return a.n;
    };
    switch (GENERATE(0, 1, 2, 3, 4, 5)) {
        case 0: app.handle<ask>("ids", serial, handle); break;
        case 1: app.handle<ask>("ids", parallel(3), handle); break;
        case 2: app.handle<ask>("ids", keyed([](const ask& a) { return a.n % 7; }), handle); break;
        case 3: app.handle<ask>("ids", serial.capacity(4).full(when_full::wait), handle); break;
        case 4:
            app.handle<ask>("ids", serial.capacity(4).full(when_full::drop_oldest), handle);
            break;
        case 5:
            app.handle<ask>("ids", serial.capacity(4).full(when_full::drop_newest), handle);
            break;
    }
    const auto c = app.client<ask>("ids");
    for (int round = 0; round != 20; ++round) {
        std::vector<std::unique_ptr<launched<result<int>>>> calls;
        for (int i = 0; i != 9; ++i) {
            calls.push_back(std::make_unique<launched<result<int>>>(sim, call(c, i)));
            if (i % 2) static_cast<void>(c.send(i));
            if (i % 4 == 0) sim.drive_ready();
        }
        sim.advance(1s);
    }
    CHECK(handled == app.counts("ids").handled);
    CHECK(handled >= 100);
}

TEST_CASE("message_id: all attempts at a call have the same, whatever their way") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    std::vector<message_id> ids;
    const bool busy = GENERATE(false, true);
    app.handle<ask>("ids", [&](ask a, context& ctx) -> task<result<int>> {
        if (a.n == 1) ids.push_back(ctx.message_id());
        co_await sleep_for(1ms);
        if (ids.size() == 3) co_return a.n;
        co_return failure(code::unavailable);
    });
    const auto c = app.client<ask>("ids");
    if (busy) CHECK(c.send(0));  // so that the first attempt is queued, and the others are not
    const auto guarded = app.client<ask>("ids", twice_more());
    launched<result<int>> call_it(sim, call(guarded, 1));
    sim.advance(1s);
    CHECK(call_it.value());
    REQUIRE(ids.size() == 3);
    CHECK(ids[0]);
    CHECK(ids[1] == ids[0]);
    CHECK(ids[2] == ids[0]);
    launched<result<int>> another(sim, call(guarded, 1));
    sim.advance(1s);
    CHECK_FALSE(ids.back() == ids.front());
}
