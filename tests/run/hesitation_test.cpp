#include "../support/catch.hpp"

#include <posthaste/run/hesitation.hpp>

#include <cstdint>

using namespace posthaste;

TEST_CASE("hesitation: few pieces are left to their owner, for some looks") {
    hesitation h;
    for (int again = 0; again != 2; ++again) {
        h.begin();
        for (unsigned n = 0; n != hesitation::looks; ++n) {
            CHECK(h.leaves(1));
            CHECK(h.leaves(hesitation::few));
            h.looked();
        }
        CHECK_FALSE(h.leaves(1));
        h.looked();
        CHECK_FALSE(h.leaves(1));
    }
}

TEST_CASE("hesitation: many are taken at once, and what seems to be more than there can be") {
    hesitation h;
    h.begin();
    CHECK_FALSE(h.leaves(hesitation::few + 1));
    CHECK_FALSE(h.leaves(static_cast<std::uint32_t>(-1)));  // counts of different moments
}

TEST_CASE("hesitation: where nobody else is left, nothing is left to them") {
    hesitation h;
    h.begin();
    h.end();
    CHECK_FALSE(h.leaves(1));
}
