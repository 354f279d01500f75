#include "../support/catch.hpp"

#include <posthaste/serve/bus_keeper.hpp>

#include <memory>

using namespace posthaste;

TEST_CASE("bus_keeper: keeps it if it is asked to in time") {
    auto bus = std::make_shared<const int>(1);
    const std::weak_ptr<const void> owner = bus;
    bus_keeper early(owner), late(owner), not_at_all(owner), given(owner, bus);
    CHECK(given.kept == bus);
    given.kept.reset();
    early.keep();
    bus.reset();
    CHECK(early.kept);
    late.keep();
    CHECK(late.kept == early.kept);
    late.kept.reset(), early.kept.reset();
    CHECK(owner.expired());
    not_at_all.keep();
    CHECK_FALSE(not_at_all.kept);
}
