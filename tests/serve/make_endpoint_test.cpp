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
