#include <posthaste/detail/coarse_clock.hpp>

#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/thread_pool.hpp>

#include "../support/catch.hpp"

#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;

TEST_CASE("coarse_clock: is steady_clock, a little late, and never goes back") {
    auto last = detail::coarse_clock::now();
    for (const auto end = std::chrono::steady_clock::now() + 20ms;;) {
        const auto before = std::chrono::steady_clock::now();
        const auto coarse = detail::coarse_clock::now();
        const auto after = std::chrono::steady_clock::now();
        REQUIRE(coarse >= last);
        REQUIRE(coarse <= after);
        REQUIRE(coarse > before - 1s);
        last = coarse;
        if (after > end) break;
    }
}

TEST_CASE("coarse_clock: moves on within a second") {
    const auto first = detail::coarse_clock::now();
    for (const auto end = std::chrono::steady_clock::now() + 1s;;) {
        const auto now = std::chrono::steady_clock::now();  // before it is looked at
        if (detail::coarse_clock::now() != first) break;
        REQUIRE(now < end);
    }
}

TEST_CASE("coarse_clock: is what executors with real time go by") {
    thread_pool pool(1);
    run_loop loop;
    for (const posthaste::clock* c : {static_cast<const posthaste::clock*>(&pool),
                                      static_cast<const posthaste::clock*>(&loop)}) {
        const auto before = detail::coarse_clock::now();
        const time_point coarse = c->coarse_now();
        CHECK(coarse >= before);
        CHECK(coarse <= detail::coarse_clock::now());
        const time_point soon = c->soon();
        CHECK(soon >= coarse + detail::coarse_clock::late);
        CHECK(soon <= detail::coarse_clock::now() + detail::coarse_clock::late);
    }
}
