#include <posthaste/serve/policy.hpp>

#include <posthaste/guard/hedge.hpp>
#include <posthaste/guard/retry.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <memory>
#include <string>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

struct ask {
    using reply = int;
    int n;
};

/// Writes down who was asked.
struct noting {
    struct noting_layer : layer {
        noting_layer(std::string n, std::string& d) : name(std::move(n)), diary(d) {}
        verdict enter(passage&, slot&) noexcept override { return diary += name + " ", verdict(); }
        verdict leave(passage&, slot&, const failure*) noexcept override {
            return diary += "/" + name + " ", verdict();
        }
        std::string name;
        std::string& diary;
    };
    noting(std::string name, std::string& diary)
        : at_work(std::make_shared<noting_layer>(std::move(name), diary)) {}
    void apply(call_settings& s) const { s.layers.push_back(at_work); }
    std::shared_ptr<noting_layer> at_work;
};
struct repeating : noting {
    static constexpr bool repeats = true;
    using noting::noting;
};
struct counting : noting {
    using noting::noting;
    bool repeats = true, hedges = true;  // for itself
};

}  // namespace

TEST_CASE("policy: several are one, outermost first") {
    std::string diary;
    const noting a("a", diary), b("b", diary), c("c", diary);
    for (int grouped = 0; grouped != 2; ++grouped) {
        call_settings s{1s};
        if (grouped) (a | (b | c)).apply(s);
        else (a | b | c).apply(s);
        REQUIRE(s.layers.size() == 3);
        CHECK(s.layers[0] == a.at_work);
        CHECK(s.layers[1] == b.at_work);
        CHECK(s.layers[2] == c.at_work);
    }
    STATIC_REQUIRE(policy<decltype(a | b)>);
    STATIC_REQUIRE(!policy<int>);
}

TEST_CASE("policy: what repeats calls makes the whole repeat") {
    STATIC_REQUIRE(!decltype(noting("a", std::declval<std::string&>()) |
                             noting("b", std::declval<std::string&>()))::repeats);
    STATIC_REQUIRE(decltype(noting("a", std::declval<std::string&>()) |
                            repeating("b", std::declval<std::string&>()))::repeats);
    STATIC_REQUIRE_FALSE(detail::repeats<counting>);
    STATIC_REQUIRE_FALSE(detail::hedges<counting>);
}

TEST_CASE("policy: a call goes in outermost first, and comes out innermost first") {
    testing::no_frames_left frames;
    std::string diary;
    simulation sim;
    bus app(sim);
    app.handle<ask>("answers", [&](ask q) { return diary += "call ", q.n; });
    const auto c =
        app.client<ask>("answers", noting("a", diary) | deadline(1s) | noting("b", diary));
    CHECK(outcome(app.run([&]() -> task<result<int>> { co_return co_await c.call(1); })) ==
          "value");
    CHECK(diary == "a b call /b /a ");
}

TEST_CASE("policy: a send does not ask it") {
    std::string diary;
    simulation sim;
    bus app(sim);
    app.handle<ask>("answers", [&](ask q) { return q.n; });
    const auto c = app.client<ask>("answers", noting("a", diary));
    CHECK(c.send(1));
    sim.run_until_idle();
    CHECK(app.counts("answers").handled == 1);
    CHECK(diary.empty());
}

TEST_CASE("policy: more than a client can hold are refused where it is made") {
    std::string diary;
    simulation sim;
    bus app(sim);
    const noting a("a", diary);
    const auto four = a | a | a | a;
    CHECK_NOTHROW(app.client<ask>("answers", four | four | four));
    std::string why;
    try {
        static_cast<void>(app.client<ask>("answers", four | four | four | a));
    } catch (const failed& f) {
        why = f.what();
    }
    CHECK(why == "rejected: policies: at most 12 for one client");
}

namespace {
struct quiet_retry {
    retry again;
    void apply(call_settings& s) const { again.apply(s); }
};
struct quiet_hedge {
    static constexpr bool repeats = true;
    hedge h;
    void apply(call_settings& s) const { h.apply(s); }
};
struct hedge_that_says_so : quiet_hedge {
    static constexpr bool hedges = true;
};
}  // namespace

TEST_CASE("policy: one that holds a retry or a hedge, and does not say so, is refused") {
    simulation sim;
    bus app(sim);
    const auto why =
        "rejected: policies: one that holds a retry or a hedge must say so: repeats, hedges";
    CHECK_THROWS_WITH(app.client<ask>("answers", quiet_retry()), why);
    CHECK_THROWS_WITH(app.client<ask>("answers", quiet_hedge()), why);
    CHECK_NOTHROW(app.client<ask>("answers", hedge_that_says_so()));
}

TEST_CASE("passage: has no time left where it had none, however much less than none") {
    simulation sim;
    for (const duration d : {duration(0), duration(-1), duration::min()}) {
        passage p(sim, nullptr, d, false);
        CHECK(p.over_before());
        sim.advance(1ms);
        CHECK(p.time_left() == 0ns);
    }
}

TEST_CASE("passage: knows whether its time was over before it was made") {
    simulation sim;
    bus app(sim);
    bool was_over = false;
    struct asking : layer {
        explicit asking(bool& a) : answer(a) {}
        verdict enter(passage&, slot&) noexcept override { return {}; }
        verdict leave(passage& p, slot&, const failure*) noexcept override {
            return answer = p.over_before(), verdict();
        }
        bool& answer;
    };
    struct asks {
        std::shared_ptr<layer> at_work;
        void apply(call_settings& s) const { s.layers.push_back(at_work); }
    };
    const asks over{std::make_shared<asking>(was_over)};
    app.handle<ask>("hangs", parallel(100), [](ask) -> task<int> {
        static_cast<void>(co_await sleep_for(1s));
        co_return 1;
    });
    const auto c = app.client<ask>("hangs", deadline(10ms) | over);
    app.handle<ask>("late", [&](ask) -> task<int> {
        co_await testing::sleep_soundly(1s);
        static_cast<void>(co_await c.call(1));
        co_return 1;
    });
    const auto calls = [&](client<ask> to) {
        was_over = false;
        app.run([&]() -> task<> { static_cast<void>(co_await to.call(1)); });
        sim.advance(2s);
        return was_over;
    };
    CHECK(calls(app.client<ask>("hangs", deadline(0s) | over)));
    CHECK(calls(app.client<ask>("hangs", deadline(-1s) | over)));
    CHECK(calls(app.client<ask>("late", deadline(500ms))));  // whose handler calls too late
    CHECK(!calls(c));
    CHECK(!calls(app.client<ask>("late", deadline(1500ms))));
}
