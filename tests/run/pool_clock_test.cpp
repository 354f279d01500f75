// The pool's clock on a thread of the test's own. What is waited for is that something happens.
#include "../support/catch.hpp"

#include <posthaste/run/pool_clock.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

time_point now() { return std::chrono::steady_clock::now(); }

// Counts, and lets a thread wait for a count.
class tally {
public:
    void add() {
        const std::lock_guard guard(mutex_);
        ++count_;
        changed_.notify_all();
    }
    void wait_for(int n) {
        std::unique_lock guard(mutex_);
        changed_.wait(guard, [&] { return count_ >= n; });
    }
    int count() {
        const std::lock_guard guard(mutex_);
        return count_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int count_ = 0;
};

struct bell : timer {
    explicit bell(tally& t) noexcept
        : timer([](timer& self) noexcept {
              auto& a = static_cast<bell&>(self);
              a.rang_at = now();
              ++a.rang;
              a.fired.add();
          }),
          fired(t) {}
    tally& fired;
    int rang = 0;
    time_point rang_at;
};

// Runs a clock for as long as it lives.
class running {
public:
    template <typename Watch>
    running(pool_clock& c, Watch watch) : clock_(c), thread_([&c, watch] { c.run(watch); }) {}
    explicit running(pool_clock& c) : running(c, [](time_point) { return false; }) {}
    ~running() {
        clock_.stop();
        thread_.join();
    }

private:
    pool_clock& clock_;
    std::thread thread_;
};

}  // namespace

TEST_CASE("pool_clock: fires what is due, in any wheel, and not before") {
    pool_clock clock(3);
    const running r(clock);
    tally fired;
    std::deque<bell> bells;
    const time_point begin = now();
    for (int i = 0; i != 30; ++i) {
        clock.arm(bells.emplace_back(fired), begin + (30 - i) * 1ms,
                  static_cast<std::size_t>(i % 3));
    }
    fired.wait_for(30);
    for (auto& a : bells) {
        clock.disarm(a);
        CHECK(a.rang == 1);
        CHECK(a.rang_at >= a.due);
    }
}

TEST_CASE("pool_clock: a timer that is due at once, or long ago, fires at once") {
    pool_clock clock(1);
    const running r(clock);
    tally fired;
    std::deque<bell> bells;
    int n = 0;
    for (const time_point due :
         {now(), time_point(), time_point(-1h), time_point::min(), time_point::min() + 1ns}) {
        clock.arm(bells.emplace_back(fired), due, 0);
        fired.wait_for(++n);
    }
    CHECK(fired.count() == 5);
    for (auto& a : bells) clock.disarm(a);
}

TEST_CASE("pool_clock: one that is due earlier than all others is not kept waiting by them") {
    pool_clock clock(2);
    const running r(clock);
    tally fired;
    bell far(fired), farther(fired), near(fired);
    clock.arm(far, now() + 24h, 0);
    clock.arm(farther, never - 1ns, 1);
    clock.arm(near, now() + 2ms, 0);
    fired.wait_for(1);
    clock.disarm(far);
    clock.disarm(farther);
    clock.disarm(near);
    CHECK(near.rang == 1);
    CHECK(far.rang + farther.rang == 0);
}

TEST_CASE("pool_clock: after disarm() a timer neither fires nor is firing") {
    pool_clock clock(1);
    const running r(clock);
    tally fired, never_armed;
    bell idle(never_armed);
    clock.disarm(idle);
    int rang = 0;
    for (int i = 0; i != 2000; ++i) {
        bell a(fired);  // goes away at once: were it firing still, that would be seen
        clock.arm(a, now() + (i % 3) * 20us, 0);
        clock.disarm(a);
        const int before = a.rang;
        clock.disarm(a);
        CHECK(before == a.rang);
        rang += before;
    }
    CHECK(fired.count() == rang);
}

TEST_CASE("pool_clock: of many timers from many threads each fires once, or was disarmed") {
    constexpr int threads = 3, each = 400;
    pool_clock clock(threads);
    const running r(clock);
    std::atomic<int> armed = 0, rang = 0, early = 0;
    std::vector<std::thread> users;
    for (int t = 0; t != threads; ++t) {
        users.emplace_back([&, t] {
            tally fired;
            std::minstd_rand random(static_cast<unsigned>(t) + 1);
            std::deque<bell> bells;
            int to_come = 0;
            for (int i = 0; i != each; ++i) {
                bell& a = bells.emplace_back(fired);
                const auto wheel = static_cast<std::size_t>(random() % threads);
                clock.arm(a, now() + std::chrono::microseconds(random() % 5000), wheel);
                if (random() % 4 == 0) {
                    clock.disarm(a);
                    to_come += a.rang;
                } else {
                    ++to_come;
                }
            }
            fired.wait_for(to_come);
            for (bell& a : bells) {
                clock.disarm(a);
                rang += a.rang;
                if (a.rang > 0 && a.rang_at < a.due) ++early;
            }
            armed += to_come;
        });
    }
    for (auto& u : users) u.join();
    CHECK(rang == armed);
    CHECK(early == 0);
    CHECK(armed > threads * each / 2);
}

TEST_CASE("pool_clock: watches once it is asked to, again and again") {
    pool_clock clock(1);
    tally watched;
    std::atomic<bool> asked = false;
    std::atomic<int> unasked = 0;
    const running r(clock, [&](time_point) {
        if (!asked) ++unasked;
        watched.add();
        return true;
    });
    tally fired;
    bell a(fired);
    clock.arm(a, now(), 0);
    fired.wait_for(1);  // it has been awake
    clock.disarm(a);
    CHECK(watched.count() == 0);
    asked = true;
    clock.start_watching();
    watched.wait_for(3);
    clock.start_watching();
    watched.wait_for(4);
    CHECK(unasked == 0);
}

TEST_CASE("pool_clock: sleeps for good once there was nothing to watch for a while, until asked") {
    pool_clock clock(1);
    std::atomic<int> looks = 0;
    tally asleep;
    const running r(clock, [&](time_point) {
        // after 100 looks in vain it says that it goes to sleep, and looks once more
        if (++looks % 101 == 0) asleep.add();
        return false;
    });
    clock.start_watching();
    asleep.wait_for(1);
    const int then = looks;
    CHECK(then == 101);
    while (looks == then) clock.start_watching();
    CHECK(looks > then);
}

TEST_CASE("pool_clock: goes on watching where the last look finds something after all") {
    pool_clock clock(1);
    std::atomic<int> looks = 0;
    tally later;
    const running r(clock, [&](time_point) {
        const int n = ++looks;
        if (n > 101) later.add();
        return n == 101;
    });
    clock.start_watching();
    later.wait_for(2);  // nobody asked again
    CHECK(looks >= 103);
}
