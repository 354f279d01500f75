#include <posthaste/guard/outcome_window.hpp>

#include "../support/catch.hpp"

#include <chrono>
#include <cstdint>
#include <tuple>

using namespace posthaste;
using namespace std::chrono_literals;
using detail::outcome_window;

namespace {
std::tuple<std::uint64_t, std::uint64_t, std::uint64_t> all(const outcome_window::totals& t) {
    return {t.calls, t.failed, t.slow};
}
using counts = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;
}  // namespace

TEST_CASE("outcome_window: counts what failed, what was slow, and what was both") {
    outcome_window w(10s);
    const time_point now(1h);
    CHECK(all(w.sum(now)) == counts(0, 0, 0));
    w.add(now, false, false);
    w.add(now, true, false);
    w.add(now, true, false);
    w.add(now, false, true);
    w.add(now, true, true);
    CHECK(all(w.sum(now)) == counts(5, 3, 2));
    CHECK(all(w.sum()) == counts(5, 3, 2));
    w.clear();
    CHECK(all(w.sum(now)) == counts(0, 0, 0));
}

TEST_CASE("outcome_window: forgets a tenth at a time, after nine tenths to ten") {
    outcome_window w(10s);
    for (int second = 0; second != 10; ++second) w.add(time_point(second * 1s), true, false);
    CHECK(all(w.sum(time_point(9'999ms))) == counts(10, 10, 0));
    for (int second = 10; second != 20; ++second) {
        CHECK(all(w.sum(time_point(second * 1s))) == counts(static_cast<std::uint64_t>(19 - second),
                                                            static_cast<std::uint64_t>(19 - second),
                                                            0));
    }
}
