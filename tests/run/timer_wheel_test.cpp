#include "../support/catch.hpp"

#include <posthaste/run/timer_wheel.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <random>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

// Notes when it fired.
struct bell : timer {
    bell(const time_point& now, std::vector<bell*>& o)
        : timer([](timer& t) noexcept { static_cast<bell&>(t).ring(); }), clock(now), order(o) {}
    void ring() noexcept {
        ++rang;
        rang_at = clock;
        order.push_back(this);
    }
    const time_point& clock;
    std::vector<bell*>& order;
    int rang = 0;
    time_point rang_at;
};

// A wheel beside a plain list of what is armed.
class pair {
public:
    explicit pair(std::uint64_t seed, time_point begin) : now(begin), random_(seed) {
        wheel.advance(now);
        order.reserve(4096);
    }

    void arm(time_point due) {
        bell& b = bells_.emplace_back(now, order);
        wheel.arm(b, due);
        armed.push_back(&b);
    }
    void disarm_one() {
        if (armed.empty()) return;
        const std::size_t which = draw() % armed.size();
        bell* const b = armed[which];
        wheel.disarm(*b);
        gone.push_back(b);
        armed[which] = armed.back();
        armed.pop_back();
    }
    // True if exactly those fired that were due, none of them twice.
    bool advance(time_point t) {
        now = t;
        order.clear();
        wheel.advance(t);
        std::vector<bell*> due;
        const auto is_due = [t](const bell* b) { return b->due <= t; };
        std::copy_if(armed.begin(), armed.end(), std::back_inserter(due), is_due);
        armed.erase(std::remove_if(armed.begin(), armed.end(), is_due), armed.end());
        bool right = due.size() == order.size();
        for (const bell* b : due) right = right && b->rang == 1 && b->rang_at == t && !b->armed;
        for (const bell* b : armed) right = right && b->rang == 0 && b->armed;
        return right;
    }
    time_point next() const {
        time_point n = never;
        for (const bell* b : armed) n = std::min(n, b->due);
        return n;
    }
    // From nanoseconds to centuries, and now and then into the past.
    duration any_span() {
        const int bits = static_cast<int>(draw() % 63);
        const auto ns = static_cast<std::int64_t>(draw() >> (63 - bits)) >> 1;
        return duration(draw() % 8 == 0 ? -ns : ns);
    }
    std::uint64_t draw() { return random_(); }

    timer_wheel wheel;
    time_point now;
    std::vector<bell*> armed, order, gone;

private:
    std::mt19937_64 random_;
    std::deque<bell> bells_;
};

void compare(std::uint64_t seed, time_point begin) {
    pair p(seed, begin);
    const duration scale(std::int64_t{1} << (seed % 50));
    for (int step = 0; step != 400; ++step) {
        INFO("seed " << seed << ", step " << step);
        switch (p.draw() % 8) {
            case 0:
            case 1:
            case 2: p.arm(std::min(saturating_add(p.now, p.any_span()), never - 1ns)); break;
            case 3: {  // many close together
                const time_point about = saturating_add(p.now, scale);
                for (int i = 0; i != 5; ++i) {
                    const duration d(static_cast<std::int64_t>(p.draw() % 200'000));
                    p.arm(std::min(saturating_add(about, d), never - 1ns));
                }
                break;
            }
            case 4: p.disarm_one(); break;
            case 5: {  // as a clock would that sleeps until the next one
                const time_point next = p.wheel.next_due();
                if (next == never) break;
                if (next > p.now && next - 1ns > p.now) REQUIRE(p.advance(next - 1ns));
                REQUIRE(p.advance(std::max(p.now, next)));
                break;
            }
            case 6: REQUIRE(p.advance(std::min(saturating_add(p.now, scale), never - 1ns))); break;
            case 7:
                if (p.draw() % 16 != 0) break;
                REQUIRE(p.advance(
                    std::max(p.now, std::min(saturating_add(p.now, p.any_span()), never - 1ns))));
        }
        REQUIRE(p.wheel.next_due() == p.next());
        REQUIRE(p.wheel.empty() == p.armed.empty());
    }
    REQUIRE(p.advance(never - 1ns));
    REQUIRE(p.armed.empty());
    REQUIRE(p.wheel.empty());
    for (const bell* b : p.gone) REQUIRE(b->rang == 0);
}

}  // namespace

TEST_CASE("timer_wheel: fires what a sorted list would, at the same times") {
    for (std::uint64_t seed = 0; seed != 400; ++seed) compare(seed, time_point());
}

TEST_CASE("timer_wheel: does so wherever time begins, also before the epoch and near the end") {
    for (std::uint64_t seed = 0; seed != 50; ++seed) {
        compare(seed, time_point(-1s));
        compare(seed, time_point::min());
        compare(seed, time_point(1'234'567'890'123'456'789ns));
        compare(seed, never - 1h);
        compare(seed, time_point(duration(std::int64_t{1} << 58) -
                                 1ns));  // before a carry through all levels
    }
}

TEST_CASE("timer_wheel: those of one tick fire each in its time, in the order of their arming") {
    time_point now;
    std::vector<bell*> order;
    std::deque<bell> b;
    timer_wheel wheel;
    for (const int us : {30, 10, 20, 10}) {
        wheel.arm(b.emplace_back(now, order), time_point(us * 1us));
    }
    CHECK(wheel.next_due() == time_point(10us));
    wheel.advance(time_point(9us));
    CHECK(order.empty());
    wheel.advance(time_point(10us));
    CHECK(order == std::vector{&b[1], &b[3]});
    CHECK(wheel.next_due() == time_point(20us));
    wheel.arm(b.emplace_back(now, order), time_point(20us));
    wheel.advance(time_point(30us));
    CHECK(order == std::vector{&b[1], &b[3], &b[0], &b[2], &b[4]});
    CHECK(wheel.empty());
}

TEST_CASE("timer_wheel: many that come together, of which some go, fire in the order of arming") {
    time_point now;
    std::vector<bell*> order;
    std::deque<bell> b;
    timer_wheel wheel;
    for (int i = 0; i != 200; ++i) wheel.arm(b.emplace_back(now, order), time_point(1ms));
    std::vector<bell*> left;
    for (std::size_t i = 0; i != 200; ++i) {
        if (i % 3 == 0 || i > 190) wheel.disarm(b[i]);
        else left.push_back(&b[i]);
    }
    CHECK(wheel.next_due() == time_point(1ms));
    wheel.advance(time_point(1ms));
    CHECK(order == left);
    CHECK(wheel.empty());
}

TEST_CASE("timer_wheel: gives slots to some at a time, to none that goes before") {
    time_point now;
    std::vector<bell*> order;
    std::deque<bell> b;
    timer_wheel wheel;
    const auto arm = [&](duration d) { wheel.arm(b.emplace_back(now, order), time_point(d)); };
    const auto alike = [&] { return b.front().level == b.back().level; };
    for (int i = 0; i != 1000; ++i) {
        arm(1ms);
        arm(1h);
        CHECK(alike());
        wheel.disarm(b.back());
        wheel.disarm(b.front());
        CHECK(wheel.empty());
        b.clear();
    }
    for (int i = 0; i != 31; ++i) arm(1ms), arm(1h);
    CHECK(alike());
    arm(1ms), arm(1h);
    CHECK_FALSE(alike());
    for (bell& each : b) wheel.disarm(each);
    CHECK(wheel.empty());
    CHECK(wheel.next_due() == never);
}

TEST_CASE("timer_wheel: those of different ticks fire in the order of time") {
    time_point now;
    std::vector<bell*> order;
    std::deque<bell> b;
    timer_wheel wheel;
    for (const int ms : {500, 3, 70'000, 20, 1, 4'000}) {
        wheel.arm(b.emplace_back(now, order), time_point(ms * 1ms));
    }
    wheel.advance(time_point(1h));
    CHECK(order == std::vector{&b[4], &b[1], &b[3], &b[0], &b[5], &b[2]});
}

TEST_CASE("timer_wheel: one that is armed for the past fires at the next advance") {
    time_point now;
    std::vector<bell*> order;
    timer_wheel wheel;
    wheel.advance(time_point(1h));
    bell a(now, order), b(now, order);
    wheel.arm(a, time_point::min());
    wheel.arm(b, time_point(1h - 1ns));
    CHECK(wheel.next_due() == time_point::min());
    wheel.advance(time_point(1h));
    CHECK(order.size() == 2);
}

TEST_CASE("timer_wheel: one that fires may go away, and be armed anew") {
    struct fleeting : timer {
        explicit fleeting(int& n) noexcept
            : timer([](timer& t) noexcept {
                  auto* const self = static_cast<fleeting*>(&t);
                  ++self->count;
                  delete self;
              }),
              count(n) {}
        int& count;
    };
    int count = 0;
    timer_wheel wheel;
    for (int i = 0; i != 100; ++i) wheel.arm(*new fleeting(count), time_point(i * 1us));
    wheel.advance(time_point(1ms));
    CHECK(count == 100);

    time_point now;
    std::vector<bell*> order;
    bell b(now, order);
    for (int i = 1; i != 5; ++i) {
        wheel.arm(b, time_point(i * 1s));
        wheel.disarm(b);
        wheel.disarm(b);
        wheel.arm(b, time_point(i * 1min));
        wheel.advance(time_point(i * 1min));
        CHECK(b.rang == i);
    }
}
