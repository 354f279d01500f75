#include <posthaste/guard/dedup.hpp>

#include "../support/conversation.hpp"
#include "../support/hashed.hpp"

#include <posthaste/serve/policy.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;
using posthaste::testing::stand_still;

namespace {

struct charge {
    using reply = int;
    int order;
};
struct refund {
    int order;
};

task<result<int>> call(client<charge> c, int n) { co_return co_await c.call(n); }

std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

struct till {
    simulation sim{any_seed()};
    bus app{sim};
    int charged = 0;
    client<charge> c = app.client<charge>("payment");
    int now(int order) {
        return *app.run([&] { return call(c, order); });
    }
};

/// Asks again after 5 ms.
struct again_when_late {
    static constexpr bool repeats = true;
    void apply(call_settings& s) const {
        class late : public layer {
            verdict enter(passage& p, slot&) noexcept override {
                p.allowance = 5ms;
                return {};
            }
            verdict leave(passage& p, slot&, const failure* why) noexcept override {
                p.allowance = forever;
                return {why ? verdict::kind::again : verdict::kind::pass};
            }
        };
        s.layers.push_back(std::make_shared<late>());
    }
};

std::string refusal_of(const std::function<void()>& construct) {
    try {
        construct();
    } catch (const failed& f) {
        CHECK(f.why().code() == code::rejected);
        return std::string(f.why().detail());
    }
    return "";
}

}  // namespace

TEST_CASE("dedup: a message that comes again within the window gets the first one's reply") {
    testing::no_frames_left frames;
    till t;
    const dedup once(10min, &charge::order);
    switch (GENERATE(0, 1, 2, 3, 4)) {
        case 0: t.app.handle<charge>("payment", once([&](charge) { return ++t.charged; })); break;
        case 1:
            t.app.handle<charge>("payment", once([&](const charge& c, context& ctx) {
                                     CHECK(ctx.message_id());
                                     return c.order ? ++t.charged : 0;
                                 }));
            break;
        case 2:
            t.app.handle<charge>("payment", once([&](charge) -> task<int> {
                                     co_await sleep_for(1ms);
                                     co_return ++t.charged;
                                 }));
            break;
        case 3:
            t.app.handle<charge>("payment", once([&](charge, context&) -> task<result<int>> {
                                     co_await sleep_for(1ms);
                                     co_return ++t.charged;
                                 }));
            break;
        case 4:
            t.app.handle<charge>("payment",
                                 once([&](charge) -> result<int> { return ++t.charged; }));
            break;
    }
    CHECK(t.now(7) == 1);
    CHECK(t.now(8) == 2);
    t.sim.advance(9min);
    CHECK(t.now(7) == 1);
    CHECK(t.now(8) == 2);
    CHECK(t.c.send(7));
    t.sim.advance(2min);
    CHECK(t.charged == 2);
    CHECK(t.now(7) == 3);
    CHECK(t.app.counts("payment").handled == 6);
}

TEST_CASE("dedup: of many that come at once on a parallel endpoint one is handled") {
    testing::no_frames_left frames;
    till t;
    t.app.handle<charge>("payment", parallel(8),
                         dedup(10min, &charge::order)([&](charge) -> task<int> {
                             co_await sleep_for(10ms);
                             co_return ++t.charged;
                         }));
    std::vector<std::unique_ptr<launched<result<int>>>> calls;
    for (int i = 0; i != 20; ++i)
        calls.push_back(std::make_unique<launched<result<int>>>(t.sim, call(t.c, i % 2)));
    t.sim.advance(1s);
    CHECK(t.charged == 2);
    for (std::size_t i = 2; i < calls.size(); ++i)
        CHECK(*calls[i]->value() == *calls[i % 2]->value());
}

TEST_CASE("dedup: one that failed does not count, however it failed") {
    testing::no_frames_left frames;
    till t;
    int failing = 0;
    const int how = GENERATE(0, 1);
    t.app.handle<charge>("payment", parallel(4),
                         dedup(10min, &charge::order)([&](charge) -> task<result<int>> {
                             co_await sleep_for(1ms);
                             if (++failing < 3) {
                                 if (how == 0) throw std::runtime_error("no line");
                                 co_return failure(code::unavailable);
                             }
                             co_return ++t.charged;
                         }));
    std::vector<std::unique_ptr<launched<result<int>>>> calls;
    for (int i = 0; i != 5; ++i)
        calls.push_back(std::make_unique<launched<result<int>>>(t.sim, call(t.c, 1)));
    t.sim.advance(1s);
    int well = 0;
    for (auto& c : calls) well += c->value().has_value();
    CHECK(well == 3);  // those that waited went on when the first two had failed
    CHECK(t.charged == 1);
    CHECK(failing == 3);
}

TEST_CASE("dedup: who waits for the first one can be cancelled, and the first one destroyed") {
    testing::no_frames_left frames;
    till t;
    std::optional<launched<result<int>>> first, second, third;
    {
        bus app(t.sim);
        app.handle<charge>("payment", parallel(4),
                           dedup(10min, &charge::order)([&](charge) -> task<int> {
                               co_await stand_still();
                               co_return 1;
                           }));
        const auto c = app.client<charge>("payment", deadline(forever));
        first.emplace(t.sim, call(c, 1));
        t.sim.advance(1ms);
        second.emplace(t.sim, call(c, 1));
        third.emplace(t.sim, call(c, 1));
        t.sim.advance(1ms);
        second->stop();
        t.sim.advance(1ms);
        CHECK(outcome(second->value()) == "cancelled, unknown");
    }
    t.sim.drive_ready();
    REQUIRE(first->done());
    REQUIRE(third->done());
    CHECK_FALSE(first->value());
    CHECK_FALSE(third->value());
}

TEST_CASE("dedup: by default by the message's id, the same for all attempts at a call") {
    testing::no_frames_left frames;
    till t;
    t.app.handle<charge>("payment", parallel(4), dedup(10min)([&](charge) -> task<int> {
                             const int n = ++t.charged;
                             co_await testing::sleep_soundly(12ms);
                             co_return n;
                         }));
    const auto c = t.app.client<charge>("payment", again_when_late());
    CHECK(*t.app.run([&] { return call(c, 1); }) == 1);
    CHECK(t.charged == 1);  // though it was asked for three times
    CHECK(*t.app.run([&] { return call(c, 1); }) == 2);  // another message
    CHECK(t.app.counts("payment").adds_up());
}

TEST_CASE("dedup: each type of message by itself, also one without a reply") {
    testing::no_frames_left frames;
    till t;
    struct book {
        till* t;
        int operator()(charge) { return ++t->charged; }
        task<> operator()(const refund&) {
            co_await sleep_for(1ms);
            --t->charged;
        }
    };
    t.app.handle<charge, refund>("payment",
                                 dedup(10min, [](const auto& m) { return m.order; })(book{&t}));
    const auto r = t.app.client<refund>("payment");
    CHECK(t.now(1) == 1);
    for (int i = 0; i != 3; ++i) CHECK(r.send(1));
    t.sim.advance(1s);
    CHECK(t.charged == 0);
    CHECK(t.now(1) == 1);
    CHECK(t.charged == 0);
}

TEST_CASE("dedup: a handler that takes const M& leaves the message to the dead letters") {
    testing::no_frames_left frames;
    till t;
    t.app.handle<charge>("payment", dedup(10min)([](const charge&) -> result<int> {
                             return failure(code::unavailable);
                         }));
    CHECK(t.c.send(5));
    t.sim.advance(1s);
    int order = 0;
    t.app.dead_letters().for_each([&](const dead_letter& l) {
        if (const charge* c = l.get<charge>()) order = c->order;
    });
    CHECK(order == 5);
}

namespace {
/// Throws at that hash, comparison or copy from now, if any.
struct touchy {
    static inline int hash_in = 0, comparison_in = 0, copy_in = 0;
    static void count(int& down) {
        if (down != 0 && --down == 0) throw std::runtime_error("touched");
    }
    int n;
    explicit touchy(int i) : n(i) {}
    touchy(const touchy& o) : n(o.n) { count(copy_in); }
    touchy(touchy&&) noexcept = default;
    bool operator==(const touchy& o) const { return count(comparison_in), n == o.n; }
    std::size_t hashed() const { return count(hash_in), static_cast<std::size_t>(n % 3); }
};
}  // namespace

TEST_CASE("dedup: whatever a key throws, and when, costs one message at most") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    int handled = 0;
    app.handle<charge>("payment", parallel(4), dedup(20ms, [](const charge& c) {
                           return touchy(c.order);
                       })([&](charge c) -> task<result<int>> {
                           ++handled;
                           co_await yield();
                           if (c.order % 2 != 0) co_return failure(code::unavailable);
                           co_return c.order;
                       }));
    const auto c = app.client<charge>("payment");
    std::size_t thrown = 0;
    for (int* const in : {&touchy::hash_in, &touchy::comparison_in, &touchy::copy_in}) {
        for (int at = 1; at != 30; ++at) {
            *in = at;
            int failed_here = 0;
            for (int round = 0; round != 2; ++round) {
                std::vector<std::unique_ptr<launched<result<int>>>> calls;
                for (int n = 0; n != 6; ++n)
                    calls.push_back(std::make_unique<launched<result<int>>>(sim, call(c, n / 2)));
                sim.advance(1ms);
                for (const auto& one : calls) {
                    REQUIRE(one->done());
                    const auto r = one->value();
                    failed_here += !r && r.error().code() == code::handler_failed;
                }
            }
            CHECK(failed_here <= 1);
            thrown += std::exchange(*in, 0) == 0;
            sim.advance(1s);
            handled = 0;
            CHECK(*app.run([&] { return call(c, 4); }) == 4);
            CHECK(*app.run([&] { return call(c, 4); }) == 4);
            CHECK(handled == 1);
            sim.advance(1s);
        }
    }
    CHECK(thrown > 20);
    CHECK(app.counts("payment").adds_up());
}

TEST_CASE("dedup: bad parameters are refused, and say which") {
    CHECK(refusal_of([] { dedup(0s); }) == "dedup: window must be more than zero");
    CHECK(refusal_of([] { dedup(-1s, &charge::order); }) == "dedup: window must be more than zero");
    CHECK(refusal_of([] { static_cast<void>(dedup(1s).most(0)); }) ==
          "dedup: most must be 1 or more");
    CHECK(refusal_of([] { static_cast<void>(dedup(duration::max()).most(1)); }).empty());
}
