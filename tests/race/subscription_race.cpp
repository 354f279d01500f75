// Subscribers finish while somebody publishes to them, more than their queues hold: the account
// that each gives adds up, although a publisher may just be dropping a message.
// subscription_race [subscribers of each kind]
#include <posthaste/posthaste.hpp>

#include "../support/race.hpp"

#include <atomic>
#include <cstdlib>
#include <thread>

using namespace posthaste;
using posthaste::testing::outcome;

namespace {

struct note {
    int n;
};

testing::mistakes wrong;
outcome finished("subscribers that finished"), dropped("that had dropped something");

template <typename Mode>
void come_and_finish(bus& app, const Mode& mode, int times) {
    for (int i = 0; i != times; ++i) {
        std::atomic<int> heard = 0;
        auto s = app.subscribe<note>("topic", mode, [&](const note&) { ++heard; });
        while (heard < 3) std::this_thread::yield();
        const auto a = sync_wait(app.home(), s.finish());
        wrong.expect(a && a->adds_up(), "the account does not add up");
        wrong.expect(a && a->left == 0, "something is left");
        finished.seen();
        if (a && a->dropped != 0) dropped.seen();
    }
}

}  // namespace

int main(int argc, char** argv) {
    const int times = argc > 1 ? std::atoi(argv[1]) : 1'000;
    bus_options options;
    options.threads = 1;
    bus app(options);
    std::atomic<bool> over = false;
    std::thread publishing([&] {
        const auto to = app.publisher<note>("topic");
        for (int n = 0; !over; ++n) {
            to.publish(1);
            if (n % 2048 == 0) std::this_thread::yield();  // on one processor
        }
    });
    using enum when_full;
    come_and_finish(app, serial.capacity(1).full(drop_oldest), times);
    come_and_finish(app, parallel(2).capacity(1).full(drop_oldest), times);
    come_and_finish(app, keyed(&note::n).capacity(1).full(drop_oldest), times);
    come_and_finish(app, serial.capacity(1).full(drop_newest), times);
    over = true;
    publishing.join();
    return testing::summary(wrong, finished, dropped);
}
