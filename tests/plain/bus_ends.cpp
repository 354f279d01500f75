// What stands still ends with the bus, and leaves no frame; what has expired is not started.
#include "../support/stand_still.hpp"
#include "../support/started.hpp"

#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::stand_still;

namespace {

struct ask {
    using reply = int;
    int number = 0;
};
int bad = 0;
void check(bool right, const char* what) {
    if (right) return;
    std::printf("not so: %s\n", what);
    ++bad;
}

void left_standing() {
    simulation sim;
    {
        bus_options options;
        options.grace = 1ms;
        bus app(sim, options);
        app.handle<ask>("stands", [](ask a) -> task<int> {
            co_await stand_still();
            co_return a.number;
        });
        check(app.client<ask>("stands").send(1).has_value(), "it is accepted");
        sim.advance(1ms);
    }
    check(detail::live_frames.load(std::memory_order_relaxed) == 0, "no frame is left");
}

task<> ask_once(client<ask> c, int number) { static_cast<void>(co_await c.call(number)); }

void expired_in_the_queue() {
    simulation sim;
    simulation elsewhere;  // the second caller's, whose clock stands still: its timer does not fire
    bus app(sim);
    int ran = 0;
    app.handle<ask>("slow", [&ran](ask a) -> task<int> {
        co_await sleep_for(20ms);
        ++ran;
        co_return a.number;
    });
    testing::started first(sim, ask_once(app.client<ask>("slow"), 1));
    sim.advance(1ms);
    testing::started second(elsewhere, ask_once(app.client<ask>("slow", deadline(10ms)), 2));
    elsewhere.drive_ready();
    sim.advance(100ms);
    elsewhere.drive_ready();
    check(ran == 1, "what has expired is not started");
}

}  // namespace

int main() {
    left_standing();
    expired_in_the_queue();
    return bad == 0 ? 0 : 1;
}
