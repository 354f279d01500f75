#include <posthaste/guard/in_range.hpp>

#include "../support/catch.hpp"
#include "../support/layers.hpp"

using namespace posthaste;

TEST_CASE("in_range: says nothing where all is well, and what is wrong where not") {
    CHECK(testing::refusal_of([] { detail::in_range(true, "x: n must be 1"); }).empty());
    CHECK(testing::refusal_of([] { detail::in_range(false, "x: n must be 1"); }) ==
          "x: n must be 1");
}
