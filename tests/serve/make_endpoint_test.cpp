#include <posthaste/serve/make_endpoint.hpp>

#include "../support/conversation.hpp"

#include <memory>

using namespace posthaste;

namespace {

struct note {
    int n;
};

int lanes_of(endpoint_core& e) {
    int lanes = 0;
    e.for_each_lane(&lanes, [](void* n, lane&) { ++*static_cast<int*>(n); });
    return lanes;
}

}  // namespace

TEST_CASE("make_endpoint: makes what the mode says, for messages of one's own and shared ones") {
    simulation sim;
    dead_letters dead;
    const auto fn = [](const note&) {};
    const auto made = [&](const auto& mode) {
        return detail::make_endpoint<note>(
            "name", sim, dead, std::make_unique<detail::handler_of<decltype(fn), note>>(fn), mode);
    };
    const auto shared = [&](const auto& mode) {
        return detail::make_endpoint<const note>(
            "name", sim, dead, std::make_unique<detail::subscriber_handler<decltype(fn), note>>(fn),
            mode);
    };
    CHECK(lanes_of(*made(serial)) == 1);
    CHECK(lanes_of(*made(parallel(3))) == 3);
    CHECK(lanes_of(*made(keyed(&note::n))) == 0);
    CHECK(lanes_of(*shared(serial)) == 1);
    CHECK(lanes_of(*shared(parallel(3))) == 3);
    CHECK(lanes_of(*shared(keyed(&note::n))) == 0);
    CHECK(shared(serial)->name() == "name");
    CHECK(shared(serial)->find(detail::type_of<note>) != nullptr);
    CHECK(shared(serial)->only().type == &detail::type_of<note>);
}

TEST_CASE("make_endpoint: parallel(1) is as serial, unless what it has is to be delivered again") {
    simulation sim;
    dead_letters dead;
    const auto fn = [](const note&) {};
    const auto lets_pass = [&](const auto& mode, bool again) {
        const auto made = detail::make_endpoint<note>(
            "name", sim, dead, std::make_unique<detail::handler_of<decltype(fn), note>>(fn), mode,
            again);
        auto* const e = detail::make_or_not<detail::sent<note>>(1);
        REQUIRE(e);
        e->how = &made->only();
        REQUIRE(made->put_at_once(*e));
        const bool passed = !made->has_queued();  // whoever comes may be handled before it
        sim.run_until_idle();
        CHECK(made->idle());
        return passed;
    };
    CHECK_FALSE(lets_pass(serial, false));
    CHECK_FALSE(lets_pass(parallel(1), false));
    CHECK(lets_pass(parallel(1), true));
    CHECK(lets_pass(parallel(2), false));
}
