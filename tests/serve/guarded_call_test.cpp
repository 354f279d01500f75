#include <posthaste/serve/guarded_call.hpp>

#include "../support/conversation.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;
using kind = verdict::kind;

namespace {

struct ask {
    using reply = int;
    int n;
    std::chrono::nanoseconds time = {};
};
struct throws_when_copied {
    using reply = int;
    throws_when_copied() = default;
    throws_when_copied(throws_when_copied&&) noexcept = default;
    throws_when_copied(const throws_when_copied&) { throw std::runtime_error("no copy"); }
};

/// A policy that says what a test wants it to, and counts who went in and came out.
struct probe {
    static constexpr bool repeats = true;
    struct probe_layer : layer {
        verdict enter(passage& p, slot& s) noexcept override {
            s.a = 0;
            if (allowance != forever) p.allowance = std::min(p.allowance, allowance);
            const verdict v = on_enter ? on_enter(p) : verdict();
            if (v.what != kind::refuse) ++inside, ++entered;
            else p.refusal() = failure(code::overloaded, effect::none, "by the probe");
            return v;
        }
        verdict leave(passage&, slot& s, const failure* why) noexcept override {
            const verdict v = on_leave ? on_leave(why, ++s.a) : verdict();
            if (!why || v.what != kind::again) --inside;
            return v;
        }
        void abandon(slot&) noexcept override { --inside, ++abandoned; }
        void supply(const void* type, const failure&, void* into) noexcept override {
            if (type == &detail::reply_key<int>) *static_cast<result<int>*>(into) = 99;
        }
        std::function<verdict(passage&)> on_enter;
        std::function<verdict(const failure*, std::uint64_t times)> on_leave;
        duration allowance = forever;
        int inside = 0, entered = 0, abandoned = 0;
    };
    std::shared_ptr<probe_layer> at_work = std::make_shared<probe_layer>();
    void apply(call_settings& s) const { s.layers.push_back(at_work); }
    probe_layer* operator->() const noexcept { return at_work.get(); }
};

struct world {
    simulation sim;
    bus app{sim};
    int handled = 0, fail_first = 0;

    explicit world(std::uint64_t seed = 1) : sim(seed) {
        app.handle<ask>("inline", [this](ask q) -> result<int> { return answer(q); });
        app.handle<ask>("sleepy", parallel(100), [this](ask q) -> task<result<int>> {
            if (!co_await sleep_for(q.time)) co_return failure(code::cancelled);
            co_return answer(q);
        });
    }
    result<int> answer(const ask& q) {
        if (++handled <= fail_first) return failure(code::unavailable);
        return q.n;
    }
    template <typename P>
    result<int> call(const char* where, P policies, ask q) {
        const auto c = app.client<ask>(where, policies);
        return app.run([&]() -> task<result<int>> { co_return co_await c.call(q); });
    }
};

verdict always_again(const failure* why, std::uint64_t) {
    return why && why->code() != code::closed ? verdict{kind::again, 10ms} : verdict();
}

}  // namespace

TEST_CASE("guarded_call: gives what the handler gives, at once and later") {
    testing::no_frames_left frames;
    world w;
    const probe a, b;
    CHECK(w.call("inline", a | b, {1}).value_or(0) == 1);
    CHECK(w.call("sleepy", a | b, {2, 5ms}).value_or(0) == 2);
    CHECK(a->entered == 2);
    CHECK(a->inside == 0);
    CHECK(b->inside == 0);
    CHECK(w.sim.elapsed() == 5ms);
}

TEST_CASE("guarded_call: a layer that refuses ends it, and names the endpoint") {
    testing::no_frames_left frames;
    world w;
    const probe a, b;
    b->on_enter = [](passage&) { return verdict{kind::refuse}; };
    const result<int> r = w.call("inline", a | b, {1});
    CHECK(outcome(r) == "overloaded, none");
    CHECK(r.error().message() == "overloaded at inline: by the probe");
    CHECK(w.handled == 0);
    CHECK(a->entered == 1);
    CHECK(a->inside == 0);
}

TEST_CASE("guarded_call: `later` lets it in after a while") {
    testing::no_frames_left frames;
    world w;
    const probe a;
    a->on_enter = [](passage&) { return verdict{kind::later, 30ms}; };
    CHECK(w.call("inline", a, {7}).value_or(0) == 7);
    CHECK(w.sim.elapsed() == 30ms);
    CHECK(a->inside == 0);
}

TEST_CASE("guarded_call: `later` than the deadline waits until then, and fails") {
    testing::no_frames_left frames;
    for (const duration after : {duration(200ms), duration(300ms), forever}) {
        world w;
        const probe a;
        a->on_enter = [=](passage&) { return verdict{kind::later, after}; };
        CHECK(outcome(w.call("inline", deadline(200ms) | a, {7})) == "deadline exceeded, none");
        CHECK(w.sim.elapsed() == 200ms);
        CHECK(a->inside == 0);
        CHECK(w.handled == 0);
    }
}

TEST_CASE("guarded_call: what one layer allows is for those inside it, less what a pause took") {
    testing::no_frames_left frames;
    world w;
    w.fail_first = 1;
    const probe outer, a, inner;
    std::vector<duration> seen;
    outer->on_enter = [&](passage& p) { return seen.push_back(p.allowance), verdict(); };
    a->allowance = 50ms;
    inner->on_enter = [&](passage& p) { return seen.push_back(p.allowance), verdict(); };
    outer->on_leave = [&](const failure* why, std::uint64_t) {
        return why ? verdict{kind::again, 30ms} : verdict();
    };
    CHECK(w.call("sleepy", deadline(100ms) | outer | a | inner, {5, 10ms}).value_or(0) == 5);
    CHECK(seen == std::vector<duration>{100ms, 50ms, 50ms});
    w.handled = 0;
    w.fail_first = 5;
    CHECK(outcome(w.call("sleepy", deadline(100ms) | outer | a | inner, {5, 10ms})) ==
          "unavailable, complete");
    CHECK(seen == std::vector<duration>{100ms, 50ms, 50ms, 100ms, 50ms, 50ms, 20ms});
}

TEST_CASE("guarded_call: `again` makes the call once more, with the same message") {
    testing::no_frames_left frames;
    for (const char* where : {"inline", "sleepy"}) {
        world w;
        w.fail_first = 2;
        const probe outer, a, inner;
        a->on_leave = always_again;
        CHECK(w.call(where, outer | a | inner, {5, 0ms}).value_or(0) == 5);
        CHECK(w.handled == 3);
        CHECK(w.sim.elapsed() == 20ms);
        CHECK(outer->entered == 1);
        CHECK(inner->entered == 3);
        CHECK(outer->inside + a->inside + inner->inside == 0);
    }
}

TEST_CASE("guarded_call: no attempt goes past the deadline, and the last cause is kept") {
    testing::no_frames_left frames;
    world w;
    w.fail_first = 1000;
    const probe a;
    a->on_leave = always_again;
    CHECK(outcome(w.call("inline", deadline(35ms) | a, {5})) == "unavailable, complete");
    CHECK(w.handled == 4);  // after 0, 10, 20, 30 ms
    CHECK(w.sim.elapsed() == 30ms);
}

TEST_CASE("guarded_call: what is left of the deadline bounds the later attempts") {
    testing::no_frames_left frames;
    world w;
    w.fail_first = 1;
    const probe a;
    a->on_leave = always_again;
    const result<int> r = w.call("sleepy", deadline(100ms) | a, {5, 60ms});
    CHECK(outcome(r) == "deadline exceeded, unknown");
    CHECK(w.sim.elapsed() == 100ms);
}

TEST_CASE("guarded_call: the caller's own deadline holds, too") {
    testing::no_frames_left frames;
    world w;
    w.fail_first = 1000;
    const probe a;
    a->on_leave = always_again;
    const auto inner = w.app.client<ask>("inline", a);
    w.app.handle<ask>("outer",
                      [&](ask q) -> task<result<int>> { co_return co_await inner.call(q); });
    const auto outer = w.app.client<ask>("outer", deadline(25ms));
    const auto r = w.app.run([&]() -> task<result<int>> { co_return co_await outer.call(1); });
    CHECK(outcome(r) == "unavailable, complete");
    CHECK(w.handled == 3);
}

TEST_CASE("guarded_call: a layer's allowance bounds the attempt") {
    testing::no_frames_left frames;
    world w;
    const probe a;
    a->allowance = 20ms;
    CHECK(outcome(w.call("sleepy", a, {5, 50ms})) == "deadline exceeded, unknown");
    CHECK(w.sim.elapsed() == 20ms);
}

TEST_CASE("guarded_call: `supply` gives a value instead of the failure") {
    testing::no_frames_left frames;
    world w;
    w.fail_first = 1;
    const probe outer, a;
    a->on_leave = [](const failure* why, std::uint64_t) {
        return why ? verdict{kind::supply} : verdict();
    };
    std::string seen;
    outer->on_leave = [&](const failure* why, std::uint64_t) {
        return seen = why ? "failure" : "value", verdict();
    };
    CHECK(w.call("inline", outer | a, {5}).value_or(0) == 99);
    CHECK(seen == "value");
}

TEST_CASE(
    "guarded_call: cancelled in an attempt or between two, it says so and leaves the layers") {
    testing::no_frames_left frames;
    for (const auto when : {5ms, 15ms}) {
        world w;
        w.fail_first = 1000;
        const probe a;
        a->on_leave = [](const failure* why, std::uint64_t) {
            return why && why->code() != code::cancelled ? verdict{kind::again, 10ms} : verdict();
        };
        const auto c = w.app.client<ask>("sleepy", a);
        launched<result<int>> caller(w.sim, [](const auto& to) -> task<result<int>> {
            co_return co_await to.call(1, 10ms);
        }(c));
        w.sim.advance(when);
        caller.stop();
        w.sim.run_until_idle();
        CHECK(outcome(caller.value()) ==
              (when == 5ms ? "cancelled, unknown" : "cancelled, complete"));
        CHECK(a->inside == 0);
        CHECK(a->abandoned == 0);
    }
}

TEST_CASE("guarded_call: layers get back what they hold when the caller's frame is destroyed") {
    testing::no_frames_left frames;
    for (const auto when : {5ms, 15ms}) {
        world w;
        w.fail_first = 1000;
        const probe a, b;
        a->on_leave = always_again;
        const auto c = w.app.client<ask>("sleepy", a | b);
        {
            launched<result<int>> caller(w.sim, [](const auto& to) -> task<result<int>> {
                co_return co_await to.call(1, 10ms);
            }(c));
            w.sim.advance(when);
            CHECK(a->inside == 1);
        }
        CHECK(a->inside == 0);
        CHECK(b->inside == 0);
        CHECK(a->abandoned == 1);
        w.sim.run_until_idle();
    }
}

TEST_CASE("guarded_call: a message that cannot be copied when it must be is refused") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    app.handle<throws_when_copied>("a", [](const throws_when_copied&) { return 1; });
    const auto c = app.client<throws_when_copied>("a", probe());
    const auto r = app.run([&]() -> task<result<int>> {
        throws_when_copied m;
        co_return co_await c.call(std::move(m));
    });
    CHECK(outcome(r) == "overloaded, none");
}

TEST_CASE("guarded_call: the client may go while it is under way") {
    testing::no_frames_left frames;
    world w;
    std::optional<client<ask>> c = w.app.client<ask>("sleepy", probe());
    launched<result<int>> caller(w.sim, [](const auto& to) -> task<result<int>> {
        co_return co_await to->call(1, 10ms);
    }(c));
    w.sim.advance(5ms);
    c.reset();
    w.sim.run_until_idle();
    CHECK(outcome(caller.value()) == "value");
}

TEST_CASE("guarded_call: the bus and the client may go between two attempts") {
    testing::no_frames_left frames;
    simulation sim;
    std::optional<bus> app(std::in_place, sim);
    app->handle<ask>("a", [](ask) -> result<int> { return failure(code::unavailable); });
    const probe a;
    a->on_leave = always_again;
    std::optional<client<ask>> c = app->client<ask>("a", a);
    launched<result<int>> caller(
        sim, [](const auto& to) -> task<result<int>> { co_return co_await to->call(1); }(c));
    sim.advance(5ms);
    c.reset();
    app.reset();
    sim.run_until_idle();
    CHECK(outcome(caller.value()) == "closed, complete");
}

TEST_CASE("guarded_call: whatever its layers say, it ends once, and all come out who went in") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 0; seed != 1000; ++seed) {
        world w(seed);
        w.fail_first = static_cast<int>(seed % 7);
        const std::array<probe, 4> probes;
        for (const probe& p : probes) {
            p->on_enter = [](passage& on) {
                const auto draw = on.random() % 8;
                if (draw == 0) return verdict{kind::refuse};
                if (draw == 1) return verdict{kind::later, 7ms};
                return verdict();
            };
            p->on_leave = [&](const failure* why, std::uint64_t times) {
                const auto draw = w.sim.random() % 6;
                if (why && draw == 0 && times < 4) return verdict{kind::again, 0ms};
                if (why && draw == 1 && times < 4) return verdict{kind::again, 9ms};
                if (why && draw == 2) return verdict{kind::supply};
                return verdict();
            };
        }
        const auto c =
            w.app.client<ask>(seed % 2 ? "inline" : "sleepy",
                              deadline(40ms) | probes[0] | probes[1] | probes[2] | probes[3]);
        std::vector<std::unique_ptr<launched<result<int>>>> callers;
        for (int i = 0; i != 4; ++i) {
            callers.push_back(std::make_unique<launched<result<int>>>(
                w.sim, [](const auto& to, int n) -> task<result<int>> {
                    co_return co_await to.call(n, std::chrono::milliseconds(n));
                }(c, i)));
        }
        w.sim.advance(std::chrono::milliseconds(seed % 20));
        if (seed % 3 == 0) callers[0]->stop();
        if (seed % 5 == 0) callers.pop_back();  // destroyed where it stands
        w.sim.advance(1s);
        for (const auto& one : callers) {
            REQUIRE(one->done());
            static_cast<void>(one->value());
        }
        for (const probe& p : probes) {
            INFO("seed " << seed);
            REQUIRE(p->inside == 0);
        }
    }
}

TEST_CASE("guarded_call: a layer that asks for the time left takes none of it") {
    testing::no_frames_left frames;
    world w;
    const probe a;
    duration left{};
    a->on_enter = [&](passage& p) { return left = p.time_left(), verdict(); };
    CHECK(outcome(w.call("sleepy", deadline(200ms) | a, {7, 1h})) == "deadline exceeded, unknown");
    CHECK(left == 200ms);
    CHECK(w.sim.elapsed() == 200ms);
}
