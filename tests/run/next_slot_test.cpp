// On one thread; how owner, thief and watcher meet is shown by tests/explore/next_slot_explore.cpp.
#include "../support/catch.hpp"

#include <posthaste/run/next_slot.hpp>

using namespace posthaste;

TEST_CASE("next_slot: holds one piece of work, the last that was put") {
    next_slot slot;
    work a, b;
    CHECK(slot.empty());
    CHECK(slot.take() == nullptr);
    CHECK(slot.put(a) == nullptr);
    CHECK(slot.put(b) == &a);
    CHECK_FALSE(slot.empty());
    CHECK(slot.take() == &b);
    CHECK(slot.empty());
}

TEST_CASE("next_slot: others may steal only from a worker that is held up") {
    next_slot slot;
    work a;
    slot.begin();
    slot.put(a);
    CHECK_FALSE(slot.to_steal());
    CHECK(slot.steal() == nullptr);
    CHECK(slot.watch());  // it has begun with something
    CHECK(slot.steal() == nullptr);
    CHECK(slot.watch());  // it has not come back
    CHECK(slot.to_steal());
    CHECK(slot.steal() == &a);
    CHECK_FALSE(slot.to_steal());
    CHECK(slot.steal() == nullptr);
}

TEST_CASE("next_slot: who has come back keeps what is left") {
    next_slot slot;
    work a;
    slot.put(a);
    slot.hold_up();
    CHECK(slot.to_steal());
    slot.begin();
    CHECK(slot.steal() == nullptr);
    CHECK(slot.take() == &a);
}

TEST_CASE("next_slot: is to be watched while something lies there, or its owner goes on") {
    next_slot slot;
    work a;
    CHECK_FALSE(slot.watch());
    slot.begin();
    CHECK(slot.watch());
    CHECK_FALSE(slot.watch());  // what runs may go on for long, and holds up nothing
    slot.put(a);
    for (int i = 0; i != 3; ++i) CHECK(slot.watch());
    slot.take();
    CHECK_FALSE(slot.watch());
}
