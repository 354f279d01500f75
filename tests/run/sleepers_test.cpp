#include "../support/catch.hpp"

#include <posthaste/run/sleepers.hpp>

#include <atomic>
#include <thread>

using namespace posthaste;

TEST_CASE("sleepers: where there is work after all, nobody falls asleep") {
    sleepers s;
    sleepers::berth mine;
    int asked = 0;
    s.sleep(mine, false, [&] { return ++asked != 0; });
    REQUIRE(asked == 1);
    REQUIRE_FALSE(s.wake_one());  // it has taken itself off the list
}

TEST_CASE("sleepers: who falls asleep is woken once") {
    sleepers s;
    sleepers::berth mine;
    std::atomic<int> woken = 0;
    std::thread worker([&] {
        for (int i = 0; i != 3; ++i) {
            s.sleep(mine, false, [] { return false; });
            ++woken;
            s.stop_search([] { return false; });
        }
    });
    for (int i = 1; i != 4; ++i) {
        while (!s.wake_one()) std::this_thread::yield();
        while (woken != i) std::this_thread::yield();
    }
    worker.join();
    REQUIRE_FALSE(s.wake_one());
}

TEST_CASE("sleepers: work wakes nobody while one searches, and one when it has found some") {
    sleepers s;
    sleepers::berth mine;
    std::atomic<bool> awake = false;
    std::atomic<bool> announced = false;
    std::thread worker([&] {
        s.sleep(mine, false, [&] { return announced = true, false; });
        awake = true;
    });
    while (!announced) std::this_thread::yield();
    REQUIRE(s.start_search(4));
    s.work_is_there();
    REQUIRE_FALSE(awake);  // it is still on the list, as the next step shows
    s.stop_search([] { return true; });
    worker.join();
    REQUIRE(awake);
    REQUIRE_FALSE(s.wake_one());
}
