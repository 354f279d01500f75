// Buses end while two threads send more than the queue holds: whatever was accepted was handled or
// is a dead letter that its hook has heard of, also what a sender is giving up just then.
// drop_race [buses of each kind]
#include <posthaste/posthaste.hpp>

#include "../support/race.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

struct job {
    int key;
};

testing::mistakes wrong;
outcome handled("messages handled"), dropped("messages dropped"), refused("messages refused");

template <typename Mode>
void end_buses(const Mode& mode, int buses) {
    for (int i = 0; i != buses; ++i) {
        bus_options options;
        options.threads = 1;
        options.grace = 100us;
        auto app = std::make_unique<bus>(options);
        std::atomic<long> accepted = 0, done = 0, dead = 0;
        app->dead_letters().on_letter([&](const dead_letter&) { ++dead; });
        app->handle<job>("jobs", mode, [&](const job&) { ++done; });
        const auto send = [&accepted, to = app->client<job>("jobs")] {
            for (;;) {
                const auto sent = to.send(1);
                if (sent) ++accepted;
                else if (refused.seen(); sent.error().code() == code::closed) return;
            }
        };
        std::array<std::thread, 2> senders{std::thread(send), std::thread(send)};
        while (dead < 3) std::this_thread::yield();
        app.reset();
        for (auto& t : senders) t.join();
        wrong.expect(accepted == done + dead, "a send was handled, or is a dead letter");
        handled.count += done;
        dropped.count += dead;
    }
}

}  // namespace

int main(int argc, char** argv) {
    const int buses = argc > 1 ? std::atoi(argv[1]) : 300;
    using enum when_full;
    end_buses(serial.capacity(1).full(drop_oldest), buses);
    end_buses(parallel(1).capacity(1).full(drop_oldest), buses);
    end_buses(keyed(&job::key).capacity(1).full(drop_oldest), buses);
    end_buses(serial.capacity(1).full(drop_newest), buses);
    return testing::summary(wrong, handled, dropped, refused);
}
