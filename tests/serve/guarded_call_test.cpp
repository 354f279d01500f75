#include <posthaste/serve/guarded_call.hpp>

#include "../support/conversation.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct ask {
    using reply = int;
    int n;
};
struct safe {  // may be handled twice
    using reply = std::string;
    static constexpr bool idempotent = true;
    std::string text;
};
struct form {
    using reply = int;
    std::string name;
    bool idempotent;  // for its handler
};
struct told_in_words {
    enum { idempotent = true };
};
struct one_bit {
    bool idempotent : 1;
};
struct elsewhere {
    const bool& idempotent;
};
struct note {};
struct picky {  // throws when it is copied
    using reply = int;
    int n;
    explicit picky(int i) : n(i) {}
    picky(picky&&) noexcept = default;
    picky(const picky& other) : n(other.n) {
        if (copies_left == 0) throw std::runtime_error("no copy");
        --copies_left;
    }
    static inline int copies_left = 0;
};

/// Writes down what it hears, and says what it is told to: of several things one after the other.
struct probe final : layer {
    char name;
    std::string& log;
    std::deque<verdict> on_enter, on_leave;
    int inside = 0;  // calls
    duration allows = forever;  // to those inside
    bool asks_time = false;
    extra_calls* offers = nullptr;  // to those inside
    std::vector<const extra_calls*> offered = {};  // on the way in, and out
    std::vector<duration> allowances = {}, left = {};
    std::vector<bool> may_repeat = {};

    probe(char n, std::string& l, outcomes o = outcomes::all) : layer(o), name(n), log(l) {}
    static verdict next(std::deque<verdict>& from) {
        if (from.empty()) return {};
        const verdict v = from.front();
        from.pop_front();
        return v;
    }
    verdict enter(passage& p, slot& s) noexcept override {
        CHECK(p.coarse_now() == p.now());  // whatever it has waited for
        const verdict v = next(on_enter);
        allowances.push_back(p.allowance);
        if (asks_time) left.push_back(p.time_left());
        p.allowance = std::min(p.allowance, allows);
        offered.push_back(p.extra);
        if (offers) p.extra = offers;
        may_repeat.push_back(p.idempotent());
        log += name;
        if (v.what == verdict::kind::refuse) {
            log += '!';
            p.refusal() = failure::because(code::overloaded, effect::none, "by the probe");
        } else {
            ++inside;
            s.a = static_cast<std::uint64_t>(name);
        }
        return v;
    }
    verdict leave(passage& p, slot& s, const failure* why) noexcept override {
        CHECK(p.coarse_now() == p.now());
        offered.push_back(p.extra);
        CHECK(s.a == static_cast<std::uint64_t>(name));
        const verdict v = why ? next(on_leave) : verdict();
        log += static_cast<char>(name - 'a' + 'A');
        log += why ? '-' : '+';
        if (v.what != verdict::kind::again) --inside;
        return v;
    }
    void abandon(slot& s) noexcept override {
        CHECK(s.a == static_cast<std::uint64_t>(name));
        log += static_cast<char>(name - 'a' + 'A');
        log += '~';
        --inside;
    }
    void supply(const void* type, const failure&, void* into) noexcept override {
        CHECK(type == &detail::reply_key<int>);
        *static_cast<result<int>*>(into) = 99;
    }
};
struct probing {
    static constexpr bool repeats = true;
    std::shared_ptr<probe> core;
    void apply(call_settings& s) const { s.layers.push_back(core); }
};

/// Three probes, and an endpoint that fails as often as it is told to.
struct world {
    simulation sim;
    bus app{sim};
    std::string log;
    probing a{std::make_shared<probe>('a', log)};
    probing b{std::make_shared<probe>('b', log)};
    probing c{std::make_shared<probe>('c', log)};
    duration each = duration::zero();  // zero: the handler runs at once
    int failures = 0;
    int begun = 0;

    world() {
        app.handle<ask>("ask", serial, [this](ask m) -> task<result<int>> {
            ++begun;
            log += '.';
            if (each > duration::zero()) co_await sleep_for(each);
            if (failures > 0) {
                --failures;
                co_return failure(code::unavailable);
            }
            co_return m.n;
        });
    }
    client<ask> make(duration allowed = 1s) {
        return app.client<ask>("ask", deadline(allowed) | a | b | c);
    }
    std::string call(duration allowed = 1s) {
        const auto to = make(allowed);
        const result<int> r =
            app.run([&]() -> task<result<int>> { co_return co_await to.call(7); });
        CHECK(all_out());
        last = r ? std::to_string(*r) : r.error().message();
        return outcome(r);
    }
    bool all_out() const { return a.core->inside + b.core->inside + c.core->inside == 0; }
    duration now() const { return sim.now().time_since_epoch(); }
    std::string last;
};

verdict later(duration d) { return {verdict::kind::later, d}; }
verdict again(duration d) { return {verdict::kind::again, d}; }
const verdict refuse{verdict::kind::refuse};
const verdict supply{verdict::kind::supply};

}  // namespace

TEST_CASE("guarded_call: goes in outermost first, and comes out innermost first") {
    testing::no_frames_left frames;
    world w;
    const duration begin = w.now();
    for (const duration each : {0ms, 5ms}) {
        w.each = each;
        w.log.clear();
        CHECK(w.call() == "value");
        CHECK(w.log == "abc.C+B+A+");
        CHECK(w.last == "7");
        w.failures = 1;
        w.log.clear();
        CHECK(w.call() == "unavailable, complete");
        CHECK(w.log == "abc.C-B-A-");
        CHECK(w.last == "unavailable at ask");
    }
    CHECK(w.now() - begin == 10ms);
}

TEST_CASE("guarded_call: what says that a message may be repeated is the same for all of them") {
    STATIC_REQUIRE(detail::idempotent<safe>);
    STATIC_REQUIRE(detail::idempotent<told_in_words>);
    STATIC_REQUIRE_FALSE(detail::idempotent<ask>);
    STATIC_REQUIRE_FALSE(detail::idempotent<form>);
    STATIC_REQUIRE_FALSE(detail::idempotent<one_bit>);
    STATIC_REQUIRE_FALSE(detail::idempotent<elsewhere>);
}

TEST_CASE("guarded_call: a layer that hears of failures alone is told of no value") {
    testing::no_frames_left frames;
    world w;
    w.b.core = std::make_shared<probe>('b', w.log, layer::outcomes::failures);
    for (const duration each : {0ms, 5ms}) {
        w.each = each;
        w.log.clear();
        w.b.core->inside = -1;  // it does not come out
        CHECK(w.call() == "value");
        CHECK(w.log == "abc.C+A+");
        w.failures = 1;
        w.log.clear();
        CHECK(w.call() == "unavailable, complete");
        CHECK(w.log == "abc.C-B-A-");
    }
}

TEST_CASE("guarded_call: a layer that refuses keeps it from all inside, and names the endpoint") {
    testing::no_frames_left frames;
    world w;
    w.b.core->on_enter = {refuse};
    CHECK(w.call() == "overloaded, none");
    CHECK(w.log == "ab!A-");
    CHECK(w.last == "overloaded at ask: by the probe");
    CHECK(w.begun == 0);
    w.a.core->on_enter = {refuse};
    w.log.clear();
    CHECK(w.call() == "overloaded, none");
    CHECK(w.log == "a!");
}

TEST_CASE("guarded_call: what was refused and is made again has the handler's answer") {
    testing::no_frames_left frames;
    world w;
    w.b.core->on_enter = {refuse};
    w.a.core->on_leave = {again(1ms)};
    CHECK(w.call() == "value");
    CHECK(w.last == "7");
    CHECK(w.log == "ab!A-bc.C+B+A+");
}

TEST_CASE("guarded_call: a delay is made before what is inside") {
    testing::no_frames_left frames;
    world w;
    const duration begin = w.now();
    w.b.core->on_enter = {later(30ms)};
    w.c.core->on_enter = {later(0ms)};
    CHECK(w.call() == "value");
    CHECK(w.log == "abc.C+B+A+");
    CHECK(w.now() - begin == 30ms);
    CHECK(w.c.core->allowances == std::vector<duration>{970ms});
}

TEST_CASE("guarded_call: a delay beyond the deadline ends with it") {
    testing::no_frames_left frames;
    for (const duration d : {duration(100ms), forever}) {
        world w;
        const duration begin = w.now();
        w.b.core->on_enter = {later(d)};
        CHECK(w.call(100ms) == "deadline exceeded, none");
        CHECK(w.log == "abB-A-");
        CHECK(w.last == "deadline exceeded at ask: it was held back");
        CHECK(w.now() - begin == 100ms);
    }
}

TEST_CASE("guarded_call: is made again, through the layers inside only") {
    testing::no_frames_left frames;
    for (const duration each : {0ms, 5ms}) {
        world w;
        const duration begin = w.now();
        w.each = each;
        w.failures = 2;
        w.b.core->on_leave = {again(20ms), again(0ms)};
        CHECK(w.call() == "value");
        CHECK(w.log == "abc.C-B-c.C-B-c.C+B+A+");
        CHECK(w.now() - begin == 20ms + 3 * each);
        CHECK(w.c.core->allowances == std::vector<duration>{1s, 980ms - each, 980ms - 2 * each});
    }
}

TEST_CASE(
    "guarded_call: the last of as many layers as there may be holds it back, and repeats it") {
    testing::no_frames_left frames;
    world w;
    w.failures = 1;
    w.c.core->on_enter = {later(1ms)};
    w.c.core->on_leave = {again(1ms)};
    const auto five = w.a | w.a | w.a | w.a | w.a;
    const auto to = w.app.client<ask>("ask", five | five | w.b | w.c);
    CHECK(*w.app.run([&]() -> task<result<int>> { co_return co_await to.call(7); }) == 7);
    CHECK(w.log == "aaaaaaaaaabc.C-.C+B+A+A+A+A+A+A+A+A+A+A+");
    CHECK(w.all_out());
}

TEST_CASE("guarded_call: is made again by several layers, each within its own time") {
    testing::no_frames_left frames;
    world w;
    w.each = 10ms;
    w.failures = 3;
    w.a.core->on_leave = {again(100ms)};
    w.c.core->on_leave = {again(5ms), {}, again(5ms)};
    CHECK(w.call() == "value");
    CHECK(w.log == "abc.C-.C-B-A-bc.C-.C+B+A+");
    CHECK(w.b.core->allowances == std::vector<duration>{1s, 875ms});
}

TEST_CASE("guarded_call: what cannot be in time is not made again, and the last cause is told") {
    testing::no_frames_left frames;
    for (const duration each : {0ms, 40ms}) {
        world w;
        const duration begin = w.now();
        w.each = each;
        w.failures = 5;
        w.b.core->on_leave = {again(100ms - each)};
        CHECK(w.call(100ms) == "unavailable, complete");
        CHECK(w.begun == 1);
        CHECK(w.now() - begin == each);
        CHECK(w.log == "abc.C-B-B~A-");
        w.b.core->on_leave = {again(100ms - each - 1ns)};
        CHECK(w.call(100ms) ==
              (each > 0ms ? "deadline exceeded, unknown" : "unavailable, complete"));
        CHECK(w.begun == 3);
    }
}

TEST_CASE("guarded_call: what a layer allows is for those inside it, and for them alone") {
    testing::no_frames_left frames;
    world w;
    w.each = 10ms;
    w.failures = 1;
    w.b.core->allows = 50ms;
    w.a.core->on_leave = {again(30ms)};
    CHECK(w.call(100ms) == "value");
    CHECK(w.a.core->allowances == std::vector<duration>{100ms});
    CHECK(w.b.core->allowances == std::vector<duration>{100ms, 60ms});
    CHECK(w.c.core->allowances == std::vector<duration>{50ms, 50ms});
}

TEST_CASE("guarded_call: whom a layer has asked for extra calls is for those inside it alone") {
    testing::no_frames_left frames;
    world w;
    struct : extra_calls {
        bool take(passage&) noexcept override { return true; }
    } purse;
    w.b.core->offers = &purse;
    CHECK(w.call() == "value");
    using seen = std::vector<const extra_calls*>;
    CHECK(w.a.core->offered == seen{nullptr, nullptr});
    CHECK(w.b.core->offered == seen{nullptr, nullptr});
    CHECK(w.c.core->offered == seen{&purse, &purse});
}

TEST_CASE("guarded_call: an attempt takes no longer than a layer allows") {
    testing::no_frames_left frames;
    world w;
    const duration begin = w.now();
    w.each = 50ms;
    w.b.core->allows = 20ms;
    CHECK(w.call() == "deadline exceeded, unknown");
    CHECK(w.now() - begin == 20ms);
}

TEST_CASE("guarded_call: a layer that asks for the time left takes none of it") {
    testing::no_frames_left frames;
    world w;
    const duration begin = w.now();
    w.each = 1h;
    w.b.core->asks_time = true;
    CHECK(w.call(200ms) == "deadline exceeded, unknown");
    CHECK(w.b.core->left == std::vector<duration>{200ms});
    CHECK(w.now() - begin == 200ms);
}

TEST_CASE("guarded_call: the client may go while it is under way") {
    testing::no_frames_left frames;
    world w;
    w.each = 10ms;
    std::optional<client<ask>> c = w.make();
    launched call(w.sim,
                  [](const auto& to) -> task<result<int>> { co_return co_await to->call(7); }(c));
    w.sim.advance(5ms);
    c.reset();
    w.sim.advance(1s);
    REQUIRE(call.done());
    CHECK(outcome(call.value()) == "value");
    CHECK(w.all_out());
}

TEST_CASE("guarded_call: a value is supplied for a failure") {
    testing::no_frames_left frames;
    world w;
    w.failures = 1;
    w.b.core->on_leave = {supply};
    CHECK(w.call() == "value");
    CHECK(w.last == "99");
    CHECK(w.log == "abc.C-B-A+");
}

TEST_CASE(
    "guarded_call: the deadline holds for all attempts together, and the caller's own "
    "too") {
    testing::no_frames_left frames;
    world w;
    w.each = 30ms;
    w.failures = 100;
    w.b.core->on_leave.assign(100, again(10ms));
    const duration begin = w.now();
    CHECK(w.call(100ms) == "deadline exceeded, unknown");
    CHECK(w.now() - begin == 100ms);
    CHECK(w.begun == 3);
    w.b.core->on_leave.assign(100, again(10ms));
    const auto to = w.make(forever);
    const context own(w.sim, w.sim.now() + 70ms, stop_token());
    auto inner = [&]() -> task<result<int>> { co_return co_await to.call(1); };
    auto t = inner();
    bool done = false;
    t.promise().place(w.sim, &own);
    t.promise().start_by_post(
        [](detail::promise_base& p) noexcept { *static_cast<bool*>(p.owner()) = true; }, &done);
    w.sim.advance(69ms);
    CHECK(!done);
    w.sim.advance(1ms);
    REQUIRE(done);
    CHECK(outcome(t.promise().take()) == "deadline exceeded, unknown");
}

TEST_CASE("guarded_call: a stop is heard wherever the call stands") {
    testing::no_frames_left frames;
    struct at {
        duration stop;
        std::string_view ends, log, where;
    };
    for (const at& when :
         {at{5ms, "cancelled, none", "abB-A-", "it was held back"},
          at{15ms, "cancelled, unknown", "abc.C-B-A-", "the handler was running"},
          at{25ms, "cancelled, complete", "abc.C-B-B-A-", "between two attempts"},
          at{35ms, "cancelled, unknown", "abc.C-B-c.C-B-A-", "the handler was running"}}) {
        world w;
        w.each = 10ms;
        w.failures = 2;
        w.b.core->on_enter = {later(10ms)};
        w.b.core->on_leave = {again(10ms)};
        const auto to = w.make();
        launched call(w.sim,
                      [](client<ask> c) -> task<result<int>> { co_return co_await c.call(1); }(to));
        w.sim.advance(when.stop);
        CHECK(!call.done());
        if (when.stop < 20ms) w.b.core->on_leave.clear();
        call.stop();
        w.sim.advance(0ms);
        REQUIRE(call.done());
        CHECK(outcome(call.value()) == when.ends);
        CHECK(call.value().error().detail() == when.where);
        CHECK(w.log == when.log);
        CHECK(w.all_out());
    }
}

TEST_CASE("guarded_call: is abandoned where its caller's frame is destroyed") {
    testing::no_frames_left frames;
    for (const duration when : {5ms, 15ms, 25ms}) {
        world w;
        w.each = 10ms;
        w.failures = 1;
        w.b.core->on_enter = {later(10ms)};
        w.b.core->on_leave = {again(10ms)};
        const auto to = w.make();
        {
            launched call(w.sim, [](client<ask> c) -> task<result<int>> {
                co_return co_await c.call(1);
            }(to));
            w.sim.advance(when);
            CHECK(!call.done());
            CHECK(!w.all_out());
        }
        CHECK(w.all_out());
        CHECK(w.log == (when == 5ms ? "abB~A~" : when == 15ms ? "abc.C~B~A~" : "abc.C-B-B~A~"));
        w.sim.advance(1s);
    }
}

TEST_CASE("guarded_call: one that is not awaited does nothing") {
    testing::no_frames_left frames;
    world w;
    static_cast<void>(w.make().call(1));
    auto moved = w.make().call(2);
    static_cast<void>(std::move(moved));
    CHECK(w.log.empty());
}

TEST_CASE("guarded_call: an effect is not undone by a later attempt") {
    testing::no_frames_left frames;
    world w;
    w.failures = 1;
    w.b.core->on_leave = {again(1ms)};
    w.c.core->on_enter = {{}, refuse};
    CHECK(w.call() == "overloaded, complete");
    CHECK(w.log == "abc.C-B-c!B-A-");
}

TEST_CASE("guarded_call: knows whether the message may be handled twice") {
    testing::no_frames_left frames;
    world w;
    w.app.handle<safe, note>("other", [](const auto& m) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(m)>, safe>) return m.text;
    });
    const auto to = w.app.client<safe, note>("other", w.a);
    w.app.run([&]() -> task<> {
        const auto r = co_await to.call<safe>("a text that is too long to be stored in place");
        CHECK(*r == "a text that is too long to be stored in place");
        const auto none = co_await to.call<note>();
        CHECK(none.has_value());
    });
    CHECK(w.a.core->may_repeat == std::vector<bool>{true, false});
}

TEST_CASE("guarded_call: every attempt has the whole message") {
    testing::no_frames_left frames;
    world w;
    int calls = 0;
    w.app.handle<safe>("takes", [&](safe m) -> result<std::string> {
        const std::string text = std::move(m.text);
        if (++calls < 3) return failure(code::unavailable);
        return text;
    });
    w.a.core->on_leave = {again(0ms), again(1ms)};
    const auto to = w.app.client<safe>("takes", w.a);
    w.app.run([&]() -> task<> {
        const auto r = co_await to.call("a text that is too long to be stored in place");
        REQUIRE(r);
        CHECK(*r == "a text that is too long to be stored in place");
    });
    CHECK(calls == 3);
}

TEST_CASE("guarded_call: a message that cannot be copied is refused, and nothing is lost") {
    testing::no_frames_left frames;
    world w;
    int calls = 0;
    w.app.handle<picky>("picky", [&](const picky& m) -> result<int> {
        if (++calls % 2 == 1) return failure(code::unavailable);
        return m.n;
    });
    const auto to = w.app.client<picky>("picky", w.a);
    const auto call = [&](int copies, duration after) {
        picky::copies_left = copies;
        w.a.core->on_leave = {again(after)};
        return outcome(
            w.app.run([&]() -> task<result<int>> { co_return co_await to.call<picky>(4); }));
    };
    CHECK(call(0, 0ms) == "overloaded, none");
    CHECK(calls == 0);
    CHECK(w.log.empty());
    CHECK(call(1, 1ms) == "overloaded, complete");
    CHECK(calls == 1);
    CHECK(w.a.core->inside == 0);
    calls = 0;
    CHECK(call(2, 1ms) == "value");
}

TEST_CASE("guarded_call: is one of several, as any call") {
    testing::no_frames_left frames;
    world w;
    w.each = 10ms;
    w.b.core->on_enter = {{}, later(100ms), {}, later(100ms)};
    const auto to = w.make();
    w.app.run([&]() -> task<> {
        auto both = co_await gather(to.call(1), to.call(2));
        CHECK(*std::get<0>(both) == 1);
        CHECK(*std::get<1>(both) == 2);
        auto first = co_await when_any(to.call(3), to.call(4));
        CHECK(first.index() == 0);
        scope s(co_await this_context);
        s.spawn(
            [](client<ask> c) -> task<> {
                const auto r = co_await c.call(5);
                CHECK(r);
            },
            to);
        co_await s.join();
    });
    CHECK(w.all_out());
}

TEST_CASE("guarded_call: no stack is used up by attempts that fail at once") {
    testing::no_frames_left frames;
    world w;
    w.failures = 100'000;
    w.b.core->on_leave.assign(100'000, again(0ms));
    CHECK(w.call() == "value");
    CHECK(w.begun == 100'001);
}

TEST_CASE("guarded_call: the bus may go while a call stands between two attempts") {
    testing::no_frames_left frames;
    simulation sim;
    std::string log;
    probing p{std::make_shared<probe>('a', log)};
    p.core->on_leave = {again(10ms)};
    auto app = std::make_unique<bus>(sim);
    app->handle<ask>("ask", [](ask) -> result<int> { return failure(code::unavailable); });
    launched call(sim, [](client<ask> c) -> task<result<int>> {
        auto made = c.call(1);
        { const auto gone = std::move(c); }
        co_return co_await std::move(made);
    }(app->client<ask>("ask", p)));
    sim.advance(5ms);
    app.reset();
    sim.advance(5ms);
    REQUIRE(call.done());
    CHECK(outcome(call.value()) == "closed, complete");
    CHECK(p.core->inside == 0);
}

namespace {

// Has the bus destroyed, on another thread, when the first attempt has failed; then tries again.
struct ends_bus final : layer {
    std::unique_ptr<bus>& app;
    explicit ends_bus(std::unique_ptr<bus>& a) noexcept : app(a) {}
    verdict enter(passage&, slot&) noexcept override { return {}; }
    verdict leave(passage&, slot&, const failure*) noexcept override {
        if (!app) return {};
        std::thread([this] { app.reset(); }).join();
        return {verdict::kind::again};
    }
};
struct ending_bus {
    static constexpr bool repeats = true;
    std::shared_ptr<ends_bus> core;
    void apply(call_settings& s) const { s.layers.push_back(core); }
};

}  // namespace

TEST_CASE("guarded_call: the bus may go as soon as a handler has failed that ended at once") {
    testing::no_frames_left frames;
    thread_pool pool(1);
    auto app = std::make_unique<bus>(pool);
    const bool coroutine = GENERATE(false, true);
    if (coroutine) {
        app->handle<ask>("ask",
                         [](ask) -> task<result<int>> { co_return failure(code::unavailable); });
    } else {
        app->handle<ask>("ask", [](ask) -> result<int> { return failure(code::unavailable); });
    }
    const ending_bus p{std::make_shared<ends_bus>(app)};
    const auto r = sync_wait(pool, [](client<ask> c) -> task<result<int>> {
        auto made = c.call(1);
        { const auto gone = std::move(c); }
        co_return co_await std::move(made);
    }(app->client<ask>("ask", p)));
    CHECK(outcome(r) == "closed, complete");
}

namespace {

// Says anything.
struct any final : layer {
    std::mt19937_64& random;
    long inside = 0;
    explicit any(std::mt19937_64& r) : random(r) {}
    duration some() { return std::chrono::microseconds(random() % 3 * (random() % 9000)); }
    verdict enter(passage& p, slot& s) noexcept override {
        const auto choice = random() % 10;
        if (choice == 0) {
            p.refusal() = failure(code::overloaded);
            return {verdict::kind::refuse};
        }
        ++inside;
        s.a = 1, s.b = 4;
        if (choice == 1) return {verdict::kind::later, some()};
        if (choice == 2) p.allowance = std::min<duration>(p.allowance, some());
        return {};
    }
    verdict leave(passage&, slot& s, const failure* why) noexcept override {
        REQUIRE(s.a == 1);
        const auto choice = random() % 5;
        if (why && choice < 2 && s.b != 0) {
            --s.b;
            return {verdict::kind::again, some()};
        }
        --inside, s.a = 0;
        if (why && choice == 2) return {verdict::kind::supply};
        return {};
    }
    void abandon(slot& s) noexcept override {
        REQUIRE(s.a == 1);
        --inside, s.a = 0;
    }
    void supply(const void*, const failure&, void* into) noexcept override {
        *static_cast<result<int>*>(into) = 1;
    }
};
struct anything {
    static constexpr bool repeats = true;
    std::shared_ptr<any> core;
    void apply(call_settings& s) const { s.layers.push_back(core); }
};

}  // namespace

// Whatever the layers say, whenever the callers give up.
TEST_CASE("guarded_call: each call ends once, and leaves what it entered, over 1,000 seeds") {
    testing::no_frames_left frames;
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
        std::mt19937_64 random(seed);
        simulation sim(seed);
        std::vector<anything> layers;
        for (int i = 0; i != 3; ++i) layers.push_back({std::make_shared<any>(random)});
        std::size_t ended = 0, made = 0;
        {
            bus app(sim);
            app.handle<ask>("ask", parallel(2).capacity(3), [&](ask) -> task<result<int>> {
                const auto choice = random() % 4;
                if (choice > 1) co_await sleep_for(std::chrono::microseconds(random() % 9000));
                if (choice % 2 == 0) co_return failure(code::unavailable);
                co_return 1;
            });
            const auto to =
                app.client<ask>("ask", deadline(20ms) | layers[0] | layers[1] | layers[2]);
            std::deque<launched<result<int>>> calls;
            for (int i = 0; i != 8; ++i) {
                ++made;
                calls.emplace_back(sim, [](client<ask> c, std::size_t& n) -> task<result<int>> {
                    auto r = co_await c.call(1);
                    ++n;
                    co_return r;
                }(to, ended));
                sim.advance(std::chrono::microseconds(random() % 4000));
                if (random() % 3 == 0) calls[random() % calls.size()].stop();
            }
            const bool destroy = random() % 4 == 0;
            if (!destroy) {
                sim.advance(20ms);
                REQUIRE(ended == made);
            }
            sim.advance(0ms);
            calls.clear();
        }
        for (const anything& l : layers) REQUIRE(l.core->inside == 0);
    }
}

namespace {

// Has another thread destroy the bus as it goes, once it was handled: its lane is free by then.
struct last_request {
    using reply = int;
    explicit last_request(std::unique_ptr<bus>& b) noexcept : app(&b) {}
    last_request(last_request&& m) noexcept : app(std::exchange(m.app, nullptr)) {}
    ~last_request() {
        if (app) std::thread([this] { app->reset(); }).join();
    }
    std::unique_ptr<bus>* app;
};

}  // namespace

TEST_CASE("guarded_call: the bus may go as soon as a handler that ran at once has failed") {
    testing::no_frames_left frames;
    run_loop loop;
    auto app = std::make_unique<bus>(loop);
    app->handle<last_request>(
        "x", [](const last_request&) -> result<int> { return failure(code::unavailable); });
    const auto body = [&]() -> task<result<int>> {
        std::optional to(app->client<last_request>(
            "x", limit(1) | fallback([](const failure& why) { return result<int>(why); })));
        auto asks = to->call(app);
        to.reset();
        co_return co_await std::move(asks);
    };
    const result<int> r = sync_wait(loop, body());
    CHECK(!app);
    CHECK(outcome(r) == "unavailable, complete");
    CHECK(r.error().path() == "x");
}
