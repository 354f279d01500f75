#include "../support/catch.hpp"

#include <posthaste/detail/trail.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

using namespace posthaste::detail;

TEST_CASE("trail: leads to what this thread asked about 16 times before") {
    struct alignas(16) thing {
        std::array<std::byte, 48> bytes;
    };
    static std::array<thing, 40> things;
    std::array<std::int32_t, 40> trails{};
    const auto nth = [](std::size_t i) { return i * 7 % 40; };  // here and there
    for (std::size_t i = 0; i != 40; ++i) trails[i] = trail_to(&things[nth(i)]);
    for (std::size_t i = 16; i != 40; ++i)
        CHECK(end_of_trail(&things[nth(i)], trails[i]) == &things[nth(i - 16)]);
}

TEST_CASE("trail: of blocks, leads to the one so many before") {
    struct alignas(16) thing {
        std::array<std::byte, 48> bytes;
    };
    static std::array<thing, 40> things;
    for (const unsigned before : {1u, 3u, 16u}) {
        for (std::size_t i = 0; i != 40; ++i) {
            const std::int32_t trail = trail_to_block(&things[i * 7 % 40], before);
            if (i < before) continue;
            CHECK(end_of_trail(&things[i * 7 % 40], trail) == &things[(i - before) * 7 % 40]);
        }
    }
}

TEST_CASE("trail: leads from one to another, either way") {
    alignas(16) static std::array<std::byte, 160> all;
    for (const std::size_t from : {0u, 48u, 144u}) {
        for (const std::size_t to : {0u, 48u, 144u})
            CHECK(end_of_trail(&all[from], trail_between(&all[from], &all[to])) == &all[to]);
    }
}

TEST_CASE("trail: may be followed wherever it leads") {
    prefetch(nullptr);
    prefetch(end_of_trail(nullptr, 1));
    prefetch(end_of_trail(nullptr, -1));
}
