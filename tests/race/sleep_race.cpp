// A sleeper, and who ends its sleep on another thread: just before it falls asleep, or just after.
#include "../support/by_hand.hpp"
#include "../support/race.hpp"
#include "../support/started.hpp"

#include <posthaste/run/task.hpp>
#include <posthaste/wait/sleep.hpp>

#include <atomic>
#include <chrono>
#include <thread>

using namespace posthaste;
using namespace posthaste::testing;

namespace {

constexpr int rounds = 50;
mistakes wrong;

// Has the timer fired by another thread, while it is being armed.
struct hasty : by_hand {
    std::atomic<timer*> to_fire = nullptr;
    milestone fired;

    void arm(timer& t, time_point due) noexcept override {
        by_hand::arm(t, due);
        to_fire.store(&t, std::memory_order_release);
        fired.wait_for(1);
    }
};

task<> sleeps(int& out) {
    const result<void> r = co_await sleep_for(std::chrono::hours(1));
    out = r ? 1 : 2;
}

// The sleep is over before the sleeper has fallen asleep: it goes on itself.
void over_at_once(outcome& seen) {
    hasty home;
    int slept = 0, message = 0;  // plain: what was done before the timer fired
    std::thread clock([&] {
        timer* t = nullptr;
        while (!(t = home.to_fire.load(std::memory_order_acquire))) std::this_thread::yield();
        message = 1;
        t->fire(*t);
        home.fired.reach(1);
    });
    {
        started sleeper(home, sleeps(slept));
        by_hand::run(by_hand::posted());
        wrong.expect(sleeper.ended() && slept == 1, "it did not go on");
        wrong.expect(message == 1, "what was done before the timer fired is not seen");
    }
    clock.join();
    seen.seen();
}

// It sleeps, and is stopped: it goes on where the stopping thread runs it.
void stopped_asleep(outcome& seen) {
    by_hand home;
    stop_source stop;
    milestone asleep;
    int slept = 0;
    std::thread stopper([&] {
        asleep.wait_for(1);
        stop.request_stop();
        by_hand::run(by_hand::posted());
    });
    started sleeper(home, sleeps(slept), stop.token());
    by_hand::run(by_hand::posted());
    asleep.reach(1);
    stopper.join();
    wrong.expect(sleeper.ended() && slept == 2, "it was not stopped");
    seen.seen();
}

}  // namespace

int main() {
    outcome at_once("over before it slept"), asleep("stopped asleep");
    for (int i = 0; i != rounds; ++i) {
        over_at_once(at_once);
        stopped_asleep(asleep);
    }
    return summary(wrong, at_once, asleep);
}
