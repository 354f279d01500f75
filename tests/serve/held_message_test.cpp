#include <posthaste/serve/held_message.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <memory>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct order {};
struct note {
    std::shared_ptr<int> counted;
};

}  // namespace

TEST_CASE("held_message: it is built once, and the handler gets that very one") {
    testing::no_frames_left frames;
    struct pinned {
        const pinned* self = this;
        pinned() = default;
        pinned(pinned&&) noexcept {}
    };
    simulation sim;
    bus app(sim);
    std::vector<bool> same;
    app.handle<pinned>("log", [&](const pinned& p) { same.push_back(p.self == &p); });
    app.handle<order>("orders", [&](order, outbox& out) {
        CHECK(out.send(app.client<pinned>("log")));
        CHECK(out.send_after(app.client<pinned>("log"), 1ms));
    });
    CHECK(app.client<order>("orders").send());
    sim.advance(1s);
    CHECK(same == std::vector<bool>{true, true});
}

TEST_CASE("held_message: it holds what it is made of until it is handled, or dropped") {
    testing::no_frames_left frames;
    const bool fails = GENERATE(false, true);
    const auto counted = std::make_shared<int>(0);
    simulation sim;
    bus app(sim);
    app.handle<note>("log", [](const note&) {});
    app.handle<order>("orders", [&](order, outbox& out) -> task<result<void>> {
        CHECK(out.send(app.client<note>("log"), counted));
        CHECK(out.send_after(app.client<note>("log"), 1h, counted));
        co_await sleep_for(1ms);
        if (fails) co_return failure(code::unavailable);
        co_return {};
    });
    CHECK(app.client<order>("orders").send());
    sim.advance(1us);
    CHECK(counted.use_count() == 3);
    sim.advance(1ms);
    CHECK(counted.use_count() == (fails ? 1 : 2));
    sim.advance(1h);
    CHECK(counted.use_count() == 1);
    CHECK(app.counts("log").handled == (fails ? 0 : 2));
}

TEST_CASE("held_message: it is delivered again as any other, and counted once") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<unsigned> attempts;
    app.handle<note>("log", parallel(2).at_least_once(), [&](const note&, context& ctx) {
        attempts.push_back(ctx.attempt());
        return ctx.attempt() < 3 ? result<void>(delivery::retry(1ms)) : result<void>();
    });
    app.handle<order>(
        "orders", [&](order, outbox& out) { CHECK(out.send(app.client<note>("log"), nullptr)); });
    CHECK(app.client<order>("orders").send());
    sim.advance(1h);
    CHECK(attempts == std::vector<unsigned>{1, 2, 3});
    CHECK(app.counts("log").accepted == 1);
    CHECK(app.counts("log").handled == 1);
    CHECK(app.counts("log").adds_up());
}
