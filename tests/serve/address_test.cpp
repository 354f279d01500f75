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
    handles_ask() : handler(entries) {}
    static constexpr handler::entry entries[1]{{&detail::type_of<ask>, nullptr, false, false}};
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
    std::atomic<bool> draining = false;
    address a("shop", sim, draining, 5s, {});
    CHECK_FALSE(a.find(detail::type_of<ask>).how);
    CHECK(a.find(detail::type_of<ask>).why_not().text() == std::string("nobody has that name"));

    dead_letters dead;
    struct endpoint final : endpoint_core {
        using endpoint_core::endpoint_core;
        lane* claim(envelope&) noexcept override { return nullptr; }
        void for_each_lane(void*, void (*)(void*, lane&)) override {}
        bool idle() const noexcept override { return true; }
        bool enqueue(envelope&) noexcept override { return false; }
        envelope* take(lane&) noexcept override { return nullptr; }
        bool release(lane&) noexcept override { return true; }
        envelope* take_oldest() noexcept override { return nullptr; }
        void shut() noexcept override {}
    } e("shop", sim, dead, std::make_unique<handles_ask>(), 1, when_full::reject);
    a.endpoint = &e;
    CHECK(a.find(detail::type_of<ask>).to == &e);
    CHECK(a.find(detail::type_of<ask>).how == &handles_ask::entries[0]);
    CHECK_FALSE(a.find(detail::type_of<note>).how);
    CHECK(a.find(detail::type_of<note>).why_not().text() ==
          std::string("it does not take this message"));
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
