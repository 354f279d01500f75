// Shows    how to test one's own handlers: in virtual time, on one thread, in an order that a seed
//          decides; the same seed gives the same run.
// Prints   what three tests found: a reminder that takes a week, a race that some seeds lose, and a
//          program in which everybody waits for ever.
// Next     README.md again, or the headers: each is about one thing, and says so on its first line.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

using namespace std::chrono_literals;
using posthaste::result;
using posthaste::simulation;
using posthaste::task;

// --- what is tested ------------------------------------------------------------------------------
struct remind {
    using reply = std::string;
    std::string of;
};
task<std::string> reminder(remind r) {
    static_cast<void>(co_await posthaste::sleep_for(7 * 24h));
    co_return "do not forget " + r.of;
}

struct add {
    int n;
};
struct counter {  // its author thought that yield() does no harm
    int& value;
    task<> operator()(add a) const {
        const int before = value;
        co_await posthaste::yield();
        value = before + a.n;
    }
};

// --- the tests -----------------------------------------------------------------------------------
bool a_reminder_comes_after_a_week() {
    simulation world;
    posthaste::bus bus(world);
    bus.handle<remind>("reminder", reminder);
    const auto client = bus.client<remind>("reminder", posthaste::deadline(posthaste::forever));
    const result<std::string> heard = bus.run(
        [&]() -> task<result<std::string>> { co_return co_await client.call("the bread"); });
    return heard && *heard == "do not forget the bread" && world.elapsed() == 7 * 24h;
}

int count_to_two(std::uint64_t seed) {
    simulation world(seed);
    posthaste::bus bus(world);
    int value = 0;
    bus.handle<add>("counter", posthaste::parallel(2), counter{value});  // ought to be serial
    const auto client = bus.client<add>("counter");
    for (int i = 0; i != 2; ++i) client.send(1);
    world.run_until_idle();
    return value;
}

std::string who_waits_for_ever() {
    simulation world;
    posthaste::event never_set;
    try {
        posthaste::sync_wait(world, [](posthaste::event& e) -> task<> {
            static_cast<void>(co_await e.wait());
        }(never_set));
    } catch (const simulation::stuck& report) {
        return report.what();
    }
    return "nobody";
}

int main() {
    std::printf("a reminder comes after a week: %s\n",
                a_reminder_comes_after_a_week() ? "yes" : "no");

    int wrong = 0, first_wrong = 0;
    for (int seed = 1; seed <= 100; ++seed) {
        if (count_to_two(static_cast<std::uint64_t>(seed)) == 2) continue;
        if (wrong++ == 0) first_wrong = seed;
    }
    std::printf("the counter loses count with %s of 100 seeds\n", wrong == 0     ? "none"
                                                                  : wrong == 100 ? "each"
                                                                                 : "some");
    const auto seed = static_cast<std::uint64_t>(first_wrong);
    std::printf(
        "the first of them, twice: %s\n",
        wrong != 0 && count_to_two(seed) == count_to_two(seed) ? "the same" : "not the same");

    std::puts(who_waits_for_ever().c_str());
    return 0;
}
