// In a pool, with thieves: tests/run/thread_pool_test.cpp, tests/race/thread_pool_race.cpp.
#include "../support/catch.hpp"

#include <posthaste/run/bundle.hpp>

#include <cstddef>
#include <vector>

using namespace posthaste;

namespace {
bundle* of(work_ring& ring) {
    return bundle::of(ring, [](work&) noexcept {});
}
/// All that is in it, in order.
std::vector<work*> emptied(work_ring& ring) {
    std::vector<work*> all;
    while (work* w = ring.take()) all.push_back(w);
    return all;
}
}  // namespace

TEST_CASE("bundle: takes the oldest of a ring, and puts them into another in the same order") {
    std::vector<work> w(work_ring::capacity);
    work_ring full, other;
    for (work& each : w) REQUIRE(full.put(each));
    bundle* const b = of(full);
    REQUIRE(b);
    CHECK(b->run != nullptr);
    CHECK(full.room() == bundle::size);
    CHECK(&b->unpack(other) == &w[0]);
    CHECK(b->empty());
    b->end();
    const auto there = emptied(other);
    REQUIRE(there.size() == bundle::size - 1);
    for (std::size_t i = 0; i != there.size(); ++i) CHECK(there[i] == &w[i + 1]);
    CHECK(emptied(full).front() == &w[bundle::size]);
}

TEST_CASE("bundle: where there is no room for all, it gives one piece, and keeps the rest") {
    std::vector<work> w(work_ring::capacity);
    work_ring ring;
    for (work& each : w) REQUIRE(ring.put(each));
    bundle* const b = of(ring);
    REQUIRE(b);
    std::vector<work> more(bundle::size);
    for (work& each : more) REQUIRE(ring.put(each));
    CHECK(&b->unpack(ring) == &w[0]);
    CHECK_FALSE(b->empty());
    for (std::uint32_t i = 0; i != bundle::size - 3; ++i) REQUIRE(ring.take());
    CHECK(&b->unpack(ring) == &w[1]);
    CHECK_FALSE(b->empty());
    CHECK(ring.room() == bundle::size - 3);  // and 58 are left
    REQUIRE(ring.take());
    REQUIRE(ring.take());
    CHECK(&b->unpack(ring) == &w[2]);
    CHECK(b->empty());
    CHECK(emptied(ring).back() == &w[bundle::size - 1]);
    b->end();
}

TEST_CASE("bundle: there is none of too few") {
    std::vector<work> w(bundle::size - 1);
    work_ring ring;
    for (work& each : w) REQUIRE(ring.put(each));
    CHECK(of(ring) == nullptr);
    CHECK(emptied(ring).size() == w.size());
}
