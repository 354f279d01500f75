// A pool's timers are armed, and its workers held up, just as its clock goes to sleep: under every
// schedule it wakes for them.
#include "../support/explorer_std.hpp"

// Explored by itself; here a lock is a lock.
#define spin_lock spin_lock_as_it_is
#include <posthaste/detail/spin_lock.hpp>
#undef spin_lock
namespace posthaste::detail {
using spin_lock = std::mutex;
}

#include <posthaste/run/next_slot.hpp>
#include <posthaste/run/pool_clock.hpp>

#include <array>
#include <chrono>
#include <memory>

namespace {

using namespace posthaste::testing::explore;
using namespace std::chrono_literals;

constexpr posthaste::time_point begin{1h};

struct bell : posthaste::timer {
    bell() noexcept : timer([](timer& t) noexcept { ++static_cast<bell&>(t).rang; }) {}
    int rang = 0;
};

// `armers` threads arm a timer each that is due at once; the clock, if it sleeps at all, sleeps for
// good, or for something far away.
world::script timers(int armers, bool one_far_away, bool same_wheel) {
    struct state {
        posthaste::pool_clock clock{2};
        bell far_away;
        std::array<bell, 2> bells;
    };
    auto s = world::fresh<state>();
    world::name(s->clock, "clock");
    steady_clock::set(begin, begin);
    if (one_far_away) s->clock.arm(s->far_away, begin + 24h, 0);
    world::script script;
    script.may_rest = true;
    script.names = {"clock", "1st armer", "2nd armer"};
    script.threads.push_back([s] { s->clock.run([](posthaste::time_point) { return false; }); });
    for (int i = 0; i != armers; ++i) {
        script.threads.push_back([=] {
            const auto n = static_cast<std::size_t>(i);
            s->clock.arm(s->bells[n], begin - n * 1h, same_wheel ? 0 : n);
        });
    }
    script.at_end = [=] {
        for (int i = 0; i != armers; ++i)
            world::demand(s->bells[static_cast<std::size_t>(i)].rang == 1,
                          "the clock sleeps, and a timer is due");
        world::demand(s->far_away.rang == 0, "too early");
    };
    return script;
}

// Workers that put something into their slots, ask for somebody to watch, and do not come back. The
// clock looks once in vain, then it sleeps.
enum class first { nothing, what_ends, what_is_left };
world::script held_up(unsigned workers, first before) {
    struct state {
        posthaste::pool_clock clock{1, 1};
        std::array<posthaste::next_slot, 2> slots;
        std::array<posthaste::work, 2> left;
    };
    auto s = world::fresh<state>();
    world::name(s->clock, "clock");
    world::name(s->slots[0], "slot", 0);
    world::name(s->slots[1], "slot", 1);
    steady_clock::set(begin, begin + posthaste::pool_clock::watch_period);
    world::script script;
    script.may_rest = true;
    script.names = {"clock", "1st worker", "2nd worker"};
    script.threads.push_back([=] {
        s->clock.run([=](posthaste::time_point) {
            bool busy = false;
            for (std::size_t i = 0; i != workers; ++i) busy |= s->slots[i].watch();
            return busy;
        });
    });
    for (std::size_t i = 0; i != workers; ++i) {
        script.threads.push_back([=] {
            const auto put = [=] {
                s->slots[i].put(s->left[i]);
                s->clock.start_watching();
            };
            if (before != first::nothing) {
                s->slots[i].begin();
                put();
            }
            if (before == first::what_ends) s->slots[i].take();
            s->slots[i].begin();
            if (before != first::what_is_left) put();
        });
    }
    script.at_end = [=] {
        for (std::size_t i = 0; i != workers; ++i)
            world::demand(s->slots[i].to_steal() || steady_clock::awaited(),
                          "a worker is held up, and nobody watches");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("1 timer", [] { return timers(1, false, false); });
    r.add("1 timer, 1 far away", [] { return timers(1, true, false); });
    r.add("2 timers", [] { return timers(2, false, false); });
    r.add("2 timers of one wheel", [] { return timers(2, false, true); });
    r.add("held up", [] { return held_up(1, first::nothing); });
    r.add("held up the second time", [] { return held_up(1, first::what_ends); });
    r.add("held up, while something is left", [] { return held_up(1, first::what_is_left); });
    r.add("2 workers held up", [] { return held_up(2, first::nothing); });
    return r.end();
}
