#include <posthaste/serve/gather.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;

namespace {

struct stock {
    using reply = int;
    std::string sku;
};
struct price {
    using reply = long;
    std::string sku;
};
struct note {
    int n;
};

void make(bus& app) {
    app.handle<stock>("stock", [](stock s) -> task<int> {
        co_await sleep_for(20ms);
        if (s.sku == "bad") throw std::runtime_error("no such thing");
        co_return 7;
    });
    app.handle<price>("price", [](price) -> task<long> {
        co_await sleep_for(30ms);
        co_return 1999;
    });
    app.handle<note>("note", [](note) {});
}

}  // namespace

TEST_CASE("gather: makes all calls at once and gives each one's own result") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    make(app);
    const auto s = app.client<stock>("stock");
    const auto p = app.client<price>("price");
    const auto n = app.client<note>("note");
    app.run([&]() -> task<> {
        const std::string sku = "lamp", bad = "bad";
        auto page = co_await gather(s.call(sku), p.call(sku), n.call(1));
        auto& [left, cents, done] = page;
        CHECK(*left == 7);
        CHECK(*cents == 1999);
        CHECK(done.has_value());
        CHECK(sim.elapsed() == 30ms);  // beside one another
        auto half = co_await gather(s.call(bad), p.call(bad));
        CHECK(outcome(std::get<0>(half)) == "handler failed, complete");
        CHECK(*std::get<1>(half) == 1999);
    });
}

TEST_CASE("gather: when the caller is cancelled, all of its calls end") {
    testing::no_frames_left frames;
    simulation sim(static_cast<std::uint64_t>(GENERATE(range(1, 6))));
    bus app(sim);
    make(app);
    const auto both = [](client<stock> s, client<price> p) -> task<std::string> {
        const std::string sku = "lamp";
        auto r = co_await gather(s.call(sku), p.call(sku));
        co_return outcome(std::get<0>(r)) + "; " + outcome(std::get<1>(r));
    };
    launched<std::string> caller(sim, both(app.client<stock>("stock"), app.client<price>("price")));
    sim.advance(25ms);
    caller.stop();
    sim.advance(1ms);
    CHECK(caller.value() == "value; cancelled, unknown");
}
