// On one thread, against a plain queue; with thieves: tests/race/work_ring_race.cpp.
#include "../support/catch.hpp"

#include <posthaste/run/work_ring.hpp>

#include <array>
#include <cstddef>
#include <deque>
#include <random>
#include <vector>

using namespace posthaste;

TEST_CASE("work_ring: first in, first out, and full at its capacity") {
    std::vector<work> w(work_ring::capacity + 1);
    work_ring ring;
    CHECK(ring.empty());
    CHECK(ring.take() == nullptr);
    for (std::uint32_t i = 0; i != work_ring::capacity; ++i) REQUIRE(ring.put(w[i]));
    CHECK_FALSE(ring.put(w.back()));
    CHECK(ring.take() == &w[0]);
    CHECK(ring.put(w.back()));
    for (std::uint32_t i = 1; i != work_ring::capacity + 1; ++i) REQUIRE(ring.take() == &w[i]);
    CHECK(ring.empty());
    CHECK(ring.take() == nullptr);
}

TEST_CASE("work_ring: several are put together, up to all that there is room for") {
    std::vector<work> w(work_ring::capacity);
    std::vector<work*> all;
    for (work& each : w) all.push_back(&each);
    work_ring ring;
    for (const std::uint32_t first : {1u, 100u, work_ring::capacity}) {
        ring.put(all.data(), first);
        CHECK(ring.room() == work_ring::capacity - first);
        CHECK(ring.size() == first);
        ring.put(all.data() + first, work_ring::capacity - first);
        CHECK(ring.room() == 0);
        for (work& each : w) REQUIRE(ring.take() == &each);
        CHECK(ring.empty());
    }
}

TEST_CASE("work_ring: where nobody steals it gives the same, whichever way it is put and taken") {
    std::vector<work> w(4096);
    std::vector<work*> pieces;
    for (work& each : w) pieces.push_back(&each);
    for (unsigned seed = 1; seed != 30; ++seed) {
        std::minstd_rand random(seed);
        work_ring ring;
        std::size_t put = 0, taken = 0;
        while (taken != w.size()) {
            const std::size_t there = put - taken;
            const bool room = there != work_ring::capacity;
            const unsigned choice = random() % 16;
            if (choice == 0 && there >= 60) {
                std::array<work*, 60> oldest{};
                REQUIRE(ring.take(oldest));
                for (work* const each : oldest) REQUIRE(each == pieces[taken++]);
            } else if (choice == 1 && put + 60 <= w.size() && there + 60 <= work_ring::capacity) {
                ring.put(&pieces[put], 60);
                put += 60;
            } else if (choice < 10 && put != w.size()) {
                REQUIRE((choice < 8 ? ring.put_alone(w[put]) : ring.put(w[put])) == room);
                put += room ? 1 : 0;
            } else {
                work* const oldest = choice % 2 ? ring.take_alone() : ring.take();
                REQUIRE(oldest == (there == 0 ? nullptr : pieces[taken]));
                taken += there == 0 ? 0 : 1;
            }
            REQUIRE(ring.empty() == (put == taken));
        }
    }
}

TEST_CASE("work_ring: a thief takes the older half, and the last of it to run") {
    for (const std::uint32_t there : {1u, 2u, 3u, 8u, 255u, work_ring::capacity}) {
        std::vector<work> w(there);
        work_ring victim, thief;
        for (work& each : w) REQUIRE(victim.put(each));
        const std::uint32_t half = there - there / 2;
        CHECK(thief.steal_from(victim) == &w[half - 1]);
        for (std::uint32_t i = 0; i != half - 1; ++i) REQUIRE(thief.take() == &w[i]);
        CHECK(thief.empty());
        for (std::uint32_t i = half; i != there; ++i) REQUIRE(victim.take() == &w[i]);
        CHECK(victim.empty());
        CHECK(thief.steal_from(victim) == nullptr);
    }
}

TEST_CASE("work_ring: its owner takes the oldest together, or none where there are too few") {
    std::vector<work> w(2 * work_ring::capacity);
    work_ring ring;
    std::array<work*, 60> some{};
    std::size_t put = 0, taken = 0;
    for (int round = 0; round != 9; ++round) {
        while (put - taken != work_ring::capacity && put != w.size()) REQUIRE(ring.put(w[put++]));
        REQUIRE(ring.room() == work_ring::capacity - (put - taken));
        CHECK(ring.ahead(7) == (put - taken > 7 ? &w[taken + 7] : nullptr));
        const bool enough = put - taken >= some.size();
        CHECK(ring.take(some) == enough);
        for (std::size_t i = 0; enough && i != some.size(); ++i) REQUIRE(some[i] == &w[taken++]);
    }
    CHECK(w.size() - taken < some.size());
    while (work* next = ring.take()) REQUIRE(next == &w[taken++]);
    CHECK(taken == w.size());
    CHECK(ring.room() == work_ring::capacity);
    CHECK(ring.ahead(0) == nullptr);
}

TEST_CASE("work_ring: gives what a queue would give, whatever is done in whatever order") {
    for (unsigned seed = 1; seed != 30; ++seed) {
        std::minstd_rand random(seed);
        std::array<work_ring, 2> rings;
        std::array<std::deque<work*>, 2> expected;
        std::vector<work> w(4096);
        std::size_t next = 0;
        for (int step = 0; step != 4000; ++step) {
            const std::size_t me = random() % 2, other = 1 - me;
            switch (random() % 5) {
                case 0:
                    CHECK(rings[me].take() ==
                          (expected[me].empty() ? nullptr : expected[me].front()));
                    if (!expected[me].empty()) expected[me].pop_front();
                    break;
                case 1:
                    if (!expected[me].empty()) break;
                    if (expected[other].empty()) {
                        CHECK(rings[me].steal_from(rings[other]) == nullptr);
                    } else {
                        const std::size_t there = expected[other].size(), half = there - there / 2;
                        for (std::size_t i = 0; i != half; ++i) {
                            expected[me].push_back(expected[other].front());
                            expected[other].pop_front();
                        }
                        CHECK(rings[me].steal_from(rings[other]) == expected[me].back());
                        expected[me].pop_back();
                    }
                    break;
                default:
                    const bool room = expected[me].size() < work_ring::capacity;
                    work& one = w[next++ % w.size()];
                    CHECK(rings[me].put(one) == room);
                    if (room) expected[me].push_back(&one);
            }
            CHECK(rings[me].empty() == expected[me].empty());
        }
    }
}
