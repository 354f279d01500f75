// The counts, on one thread; that no wake-up is lost is shown by tests/race/parking_race.cpp.
#include "../support/catch.hpp"

#include <posthaste/run/parking.hpp>

using namespace posthaste;

TEST_CASE("parking: nobody needs to be woken while nobody sleeps") {
    parking p;
    CHECK_FALSE(p.need_wake());
    CHECK(p.asleep() == 0);
    REQUIRE(p.start_search(4));
    CHECK_FALSE(p.need_wake());
}

TEST_CASE("parking: a sleeper needs to be woken, unless somebody looks for work anyway") {
    parking p;
    p.sleep(false);
    CHECK(p.asleep() == 1);
    CHECK(p.need_wake());
    REQUIRE(p.start_search(4));
    CHECK_FALSE(p.need_wake());
    CHECK(p.stop_search());
    CHECK(p.need_wake());
}

TEST_CASE("parking: who is woken looks for work, so that nobody else is woken meanwhile") {
    parking p;
    p.sleep(false);
    p.sleep(false);
    p.wake();
    CHECK(p.asleep() == 1);
    CHECK_FALSE(p.need_wake());
    CHECK(p.stop_search());  // the last one to look: somebody else should
    CHECK(p.need_wake());
}

TEST_CASE("parking: who looked for work in vain sleeps, and does not look any more") {
    parking p;
    REQUIRE(p.start_search(1));
    p.sleep(true);
    CHECK(p.asleep() == 1);
    CHECK(p.need_wake());
}

TEST_CASE("parking: half of the workers may look for work at a time, and at least one") {
    for (const unsigned workers : {1u, 2u, 3u, 4u, 7u, 8u}) {
        parking p;
        unsigned searching = 0;
        while (p.start_search(workers)) ++searching;
        CHECK(searching == (workers + 1) / 2);
        while (--searching != 0) CHECK_FALSE(p.stop_search());
        CHECK(p.stop_search());
    }
}

TEST_CASE("parking: the counts do not run into one another") {
    parking p;
    for (int i = 0; i != 1000; ++i) p.sleep(false);
    CHECK(p.asleep() == 1000);
    for (int i = 0; i != 1000; ++i) p.wake();
    CHECK(p.asleep() == 0);
    for (int i = 0; i != 999; ++i) REQUIRE_FALSE(p.stop_search());
    p.sleep(true);
    CHECK(p.asleep() == 1);
    CHECK(p.need_wake());
    p.wake();
    CHECK(p.stop_search());
    CHECK_FALSE(p.need_wake());
}
