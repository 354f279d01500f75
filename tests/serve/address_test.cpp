#include <posthaste/serve/address.hpp>

#include "../support/conversation.hpp"

#include <atomic>
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
struct note {
    int n;
};
struct handles_ask : handler {
    handles_ask() : handler(entries, 1) {}
    static constexpr handler::entry entries[1]{{&detail::type_of<ask>, nullptr, false}};
};
}  // namespace

TEST_CASE("address: leads nowhere until there is an endpoint, then to it") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const auto before = app.client<ask>("ask");
    CHECK(outcome(before.send(1)) == "no handler, none");
    int handled = 0;
    app.handle<ask>("ask", [&](ask) { return ++handled; });
    CHECK(before.send(1));
    sim.advance(1ms);
    CHECK(handled == 1);
}

TEST_CASE("address: says why a message cannot go") {
    simulation sim;
    dead_letters dead;
    std::atomic<bool> draining = false;
    address a("shop", sim, draining, 5s, {});
    const auto nowhere = a.find(detail::type_of<ask>);
    CHECK_FALSE(nowhere.how);
    REQUIRE(a.endpoint.give(std::make_unique<detail::plan_of<serial_mode, ask>>(
        sim, dead, std::make_unique<handles_ask>(), serial)));
    CHECK_FALSE(a.endpoint.made());
    endpoint_core* const made = a.find(detail::type_of<ask>).to;
    REQUIRE(made);
    CHECK(made->name() == "shop");
    CHECK(a.endpoint.made() == made);
    CHECK(a.find(detail::type_of<ask>).to == made);
    CHECK(a.find(detail::type_of<ask>).how == &handles_ask::entries[0]);
    CHECK_FALSE(a.find(detail::type_of<note>).how);
    CHECK(a.find(detail::type_of<note>).why_not().text() ==
          std::string("it does not take this message"));
    // as it was when it was asked
    CHECK(nowhere.why() == code::no_handler);
    CHECK(nowhere.why_not().text() == std::string("nobody has that name"));
}

TEST_CASE("address: is shut to the outside while the bus drains, and to all when it is gone") {
    simulation sim;
    std::atomic<bool> draining = false;
    address a("shop", sim, draining, 5s, {});
    CHECK_FALSE(a.shut());
    draining = true;
    CHECK(a.shut());
    struct inside : work {
        address* of = nullptr;
        bool shut = true;
    } w;
    w.of = &a;
    w.run = [](work& self) noexcept {
        static_cast<inside&>(self).shut = static_cast<inside&>(self).of->shut();
    };
    sim.post(w);
    sim.drive_ready();
    CHECK_FALSE(w.shut);
    a.gone = true;
    sim.post(w);
    sim.drive_ready();
    CHECK(w.shut);
}
