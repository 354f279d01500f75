#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/sleep.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct job : work {
    explicit job(std::function<void()> f) : body(std::move(f)) {
        run = [](work& w) noexcept { static_cast<job&>(w).body(); };
    }
    std::function<void()> body;
};

struct ring : timer {
    explicit ring(std::function<void()> f)
        : timer([](timer& t) noexcept { static_cast<ring&>(t).body(); }), body(std::move(f)) {}
    std::function<void()> body;
};

struct patience : allowance_timer {
    explicit patience(duration d)
        : allowance_timer([](timer& t) noexcept { static_cast<patience&>(t).over = true; }) {
        allowance = d;
        counted = &when;
    }
    bool counts() const { return when.settled() != never; }
    detail::due_time when;
    bool over = false;
};

}  // namespace

TEST_CASE("run_loop: runs work in order of arrival, from here and from elsewhere") {
    run_loop loop;
    std::vector<int> order;
    std::deque<job> jobs;
    for (int i = 0; i != 10; ++i) jobs.emplace_back([&order, i] { order.push_back(i); });
    job first([&] {
        for (int i = 5; i != 10; ++i) loop.post(jobs[static_cast<std::size_t>(i)]);
    });
    loop.post(first);
    for (int i = 0; i != 5; ++i) loop.post(jobs[static_cast<std::size_t>(i)]);
    loop.drive_ready();
    CHECK(order == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("run_loop: runs nothing until it is driven, and what is left when it goes") {
    int ran = 0;
    run_loop* at = nullptr;
    job a([&] { ++ran; });
    job b([&] {
        ++ran;
        at->post(a);
    });
    {
        run_loop loop;
        at = &loop;
        loop.post(b);
        CHECK(ran == 0);
        loop.drive_ready();
        CHECK(ran == 2);
        loop.post(b);
    }
    CHECK(ran == 4);
}

TEST_CASE("run_loop: other threads' posts wake it, and each is run once") {
    constexpr int threads = 3, each = 2000;
    run_loop loop;
    detail::flag done;
    int ran = 0;  // only the loop's thread counts
    std::deque<job> jobs;
    for (int i = 0; i != threads * each; ++i) {
        jobs.emplace_back([&] {
            if (++ran == threads * each) done.set();
        });
    }
    std::vector<std::thread> posters;
    for (int t = 0; t != threads; ++t) {
        posters.emplace_back([&, t] {
            for (int i = 0; i != each; ++i) loop.post(jobs[static_cast<std::size_t>(t * each + i)]);
        });
    }
    loop.drive(done);
    for (auto& p : posters) p.join();
    loop.drive_ready();
    CHECK(ran == threads * each);
}

TEST_CASE("run_loop: a post from elsewhere has its turn though work here never ends") {
    testing::no_frames_left frames;
    run_loop loop;
    std::atomic<bool> enough = false;
    job stop([&] { enough = true; });
    std::thread poster;
    const auto body = [&]() -> task<int> {
        poster = std::thread([&] { loop.post(stop); });
        int turns = 0;
        while (!enough) {
            co_await yield();
            ++turns;
        }
        co_return turns;
    };
    CHECK(sync_wait(loop, body()) > 0);
    poster.join();
}

TEST_CASE("run_loop: timers fire in order, none early, and wake it from its sleep") {
    run_loop loop;
    detail::flag done;
    std::vector<int> order;
    const time_point begin = loop.now();
    int early = 0;
    std::deque<ring> rings;
    for (int i = 0; i != 5; ++i) {
        rings.emplace_back([&, i] {
            if (loop.now() < rings[static_cast<std::size_t>(i)].due) ++early;
            order.push_back(i);
            if (order.size() == 5) done.set();
        });
    }
    for (int i = 4; i >= 0; --i) {
        loop.arm(rings[static_cast<std::size_t>(i)], begin + (i + 1) * 2ms);
    }
    loop.drive(done);
    CHECK(order == std::vector{0, 1, 2, 3, 4});
    CHECK(early == 0);
    CHECK(loop.now() >= begin + 10ms);
}

TEST_CASE("run_loop: a timer that is due waits for one piece of work at most, and none is early") {
    run_loop loop;
    bool on = true, early = false;
    int meanwhile = 0, waited = -1;
    time_point due;
    const bool looks = GENERATE(false, true);
    job next([&] {  // always ready
        if (looks) static_cast<void>(loop.coarse_now());
        ++meanwhile, on ? loop.post(next) : void();
    });
    job first([&] {
        due = loop.now() + 100us;  // the clock is read, and then not for long
        meanwhile = 0;
        while (std::chrono::steady_clock::now() < due) {}
    });
    const auto drive = [&] {
        detail::flag done;
        ring bell([&] { early = early || loop.now() < due, waited = meanwhile, done.set(); });
        job arm([&] { loop.arm(bell, due); });
        loop.post(first);
        loop.post(arm);
        loop.drive(done);
    };
    loop.post(next);
    drive();
    CHECK(waited <= 2);  // `arm`, and perhaps `next`
    drive();
    CHECK(waited <= 2);

    detail::flag done;
    ring bell([&] { early = early || loop.now() < due, done.set(); });
    due = loop.now() + 1ms;  // nothing that runs until then reads the exact clock
    loop.arm(bell, due);
    loop.drive(done);
    CHECK_FALSE(early);
    on = false;
    loop.drive_ready();
}

TEST_CASE("run_loop: a timer that came due in a long piece of work waits for one more at most") {
    run_loop loop;
    const bool exactly = GENERATE(false, true), coarsely = GENERATE(false, true);
    int more = 0, waited = -1;
    detail::flag done;
    ring bell([&] { waited = more, done.set(); });
    job next([&] { ++more, done.is_set() ? void() : loop.post(next); });
    job first([&] {
        const time_point due = std::chrono::steady_clock::now() + 30ms;
        loop.arm(bell, due);
        if (exactly) static_cast<void>(loop.now());
        if (coarsely) static_cast<void>(loop.coarse_now());
        while (std::chrono::steady_clock::now() < due) {}
    });
    loop.post(first);
    loop.post(next);
    loop.drive(done);
    CHECK(waited <= 1);
    loop.drive_ready();
}

TEST_CASE("run_loop: is driven while something is busy, and no less than that or until the end") {
    run_loop loop;
    int looks = 0;
    const auto busy_but_at_first = [](void* n) { return ++*static_cast<int*>(n) != 1; };
    CHECK(loop.drive_while(busy_but_at_first, &looks, loop.now() + 1h));
    CHECK(looks == 1);
    looks = 1;
    const time_point end = loop.now() + 2ms;
    CHECK_FALSE(loop.drive_while(busy_but_at_first, &looks, end));
    CHECK(loop.now() >= end);
}

TEST_CASE("run_loop: an allowance begins to count with the next tick, or when there is no work") {
    run_loop loop;
    std::optional<patience> p;
    time_point armed, last;  // by the coarse clock
    int pieces = 0, early = 0, late = 0;
    bool on = true;
    const auto arm_anew = [&] {
        p.emplace(1h);
        pieces = 0;
        armed = last = loop.coarse_now();
        loop.arm_allowance(*p);
    };
    job next([&] {
        const bool counts = p->counts();
        const time_point t = loop.coarse_now();
        if (++pieces <= 3 && t != armed) {  // before the loop knew which tick it is: once more
            loop.disarm(*p);
            arm_anew();
            return loop.post(next);
        }
        if (counts && t == armed) ++early;
        if (!counts && last != armed) ++late;  // here it has seen the next one
        last = t;
        on = !counts && late < 3;
        if (on) loop.post(next);
    });
    job first([&] { arm_anew(), loop.post(next); });
    const auto is_on = [](void* b) { return *static_cast<bool*>(b); };
    loop.post(first);
    CHECK(loop.drive_while(is_on, &on, never));
    CHECK(early == 0);
    CHECK(late == 0);
    loop.disarm(*p);

    patience soon(80ms), at_the_end(1h), bounded(1h), forgotten(1h), middle(1h), brief(79ms);
    job arm([&] {
        loop.arm_allowance(brief);
        CHECK(brief.counts());  // a tick would be too much of that
        loop.arm_allowance(soon);
        loop.arm_allowance(forgotten);
        loop.arm_allowance(middle);
        loop.disarm(middle);
        loop.disarm(forgotten);
        bounded.due = loop.now() + 1ms;
        loop.arm_allowance(bounded);
        CHECK(bounded.counts());  // a timer whose time is known is not held back
    });
    const auto not_over = [](void* it) { return !static_cast<patience*>(it)->over; };
    loop.post(arm);
    CHECK(loop.drive_while(not_over, &soon, never));  // asleep meanwhile
    CHECK(loop.drive_while(not_over, &bounded, never));
    CHECK(loop.now() >= soon.when.settled());
    CHECK_FALSE(forgotten.counts());
    CHECK_FALSE(middle.counts());
    loop.disarm(brief);

    job at_last([&] { loop.arm_allowance(at_the_end); });
    loop.post(at_last);
    loop.drive_ready();
    CHECK(at_the_end.counts());
    loop.disarm(at_the_end);

    patience elsewhere(1h);
    loop.arm_allowance(elsewhere);  // not from its own thread
    CHECK(elsewhere.counts());
    loop.disarm(elsewhere);
}

TEST_CASE("run_loop: an allowance that was taken back does not begin to count") {
    run_loop loop;
    const int count = GENERATE(1, 3), which = GENERATE_COPY(range(0, count));
    const int after = GENERATE(range(0, 4));
    std::deque<patience> all;
    for (int i = 0; i != count; ++i) all.emplace_back(1h);
    patience& p = all[static_cast<std::size_t>(which)];
    int pieces = 0;
    bool on = true, counted = false;
    job next([&] {
        if (pieces < count) loop.arm_allowance(all[static_cast<std::size_t>(pieces)]);
        if (pieces == which + after) loop.disarm(p), counted = p.counts();
        if (++pieces < 40) loop.post(next);
        else on = false;
    });
    const auto is_on = [](void* b) { return *static_cast<bool*>(b); };
    loop.post(next);
    CHECK(loop.drive_while(is_on, &on, never));
    for (patience& each : all) {
        CHECK(each.counts() == (&each != &p || counted));
        loop.disarm(each);
    }
}

TEST_CASE("run_loop: an allowance is taken back from elsewhere, counted or not") {
    run_loop loop;
    std::deque<patience> all;
    for (int i = 0; i != 2000; ++i) all.emplace_back(i % 4 == 0 ? duration(10us) : duration(1h));
    std::atomic<std::size_t> armed = 0;
    std::atomic<bool> busy = true;
    std::size_t n = 0;
    job next([&] {
        if (n < all.size()) {
            loop.arm_allowance(all[n]);
            armed.store(++n, std::memory_order_release);
        }
        if (busy) loop.post(next);
    });
    std::thread other([&] {
        for (std::size_t i = 0; i != all.size(); ++i) {
            while (armed.load(std::memory_order_acquire) <= i) std::this_thread::yield();
            loop.disarm(all[i]);
        }
        busy = false;
    });
    const auto is_busy = [](void* b) { return static_cast<std::atomic<bool>*>(b)->load(); };
    loop.post(next);
    CHECK(loop.drive_while(is_busy, &busy, never));
    other.join();
    loop.drive_ready();
    for (const patience& p : all) CHECK((!p.over || p.counts()));
}

TEST_CASE("run_loop: an allowance begins to count though the one before it was taken back") {
    run_loop loop;
    const bool before_the_next_piece = GENERATE(true, false);
    patience first(1h), second(1h);
    bool on = true;
    int pieces = 0;
    const time_point begin = loop.now();
    job next([&] {
        if (pieces == 0) loop.arm_allowance(first), loop.arm_allowance(second);
        if (pieces == (before_the_next_piece ? 0 : 1)) loop.disarm(first);
        ++pieces;
        on = !second.counts() && loop.now() < begin + 10s;
        if (on) loop.post(next);
    });
    const auto is_on = [](void* b) { return *static_cast<bool*>(b); };
    loop.post(next);
    CHECK(loop.drive_while(is_on, &on, never));  // busy all the while
    CHECK(loop.now() < begin + 10s);
    CHECK_FALSE(first.counts());
    loop.disarm(second);
}

TEST_CASE("run_loop: of timers that were armed last each is disarmed, from here and elsewhere") {
    run_loop loop;
    constexpr std::size_t count = 2000;
    std::atomic<int> fired = 0;
    std::deque<std::optional<ring>> all;
    for (std::size_t i = 0; i != count; ++i) all.emplace_back(std::in_place, [&] { ++fired; });
    std::atomic<std::size_t> armed = 0;
    std::atomic<bool> busy = true;
    std::size_t n = 0;
    job next([&] {
        if (n < count) {
            loop.arm(*all[n], loop.now() + 1h);
            if (n % 3 == 0) loop.disarm(*all[n]), all[n].reset();
            armed.store(++n, std::memory_order_release);
        }
        if (busy) loop.post(next);
    });
    std::thread other([&] {
        for (std::size_t i = 0; i != count; ++i) {
            while (armed.load(std::memory_order_acquire) <= i) std::this_thread::yield();
            if (i % 3 != 0) loop.disarm(*all[i]), all[i].reset();
        }
        busy = false;
    });
    const auto is_busy = [](void* b) { return static_cast<std::atomic<bool>*>(b)->load(); };
    loop.post(next);
    CHECK(loop.drive_while(is_busy, &busy, never));
    other.join();
    loop.drive_ready();  // `next`, which it may have posted just before
    CHECK(fired == 0);
}

TEST_CASE("run_loop: timers of any time are taken, and disarmed") {
    run_loop loop;
    int fired = 0;
    detail::flag done;
    ring past([&] { ++fired; }), first([&] { ++fired; }), last([&] { done.set(); });
    ring far([&] { fired += 100; }), not_at_all([&] { fired += 100; });
    loop.arm(not_at_all, never);
    loop.arm(far, never - 1ns);
    loop.arm(past, time_point(-1h));
    loop.arm(first, time_point::min());
    loop.arm(last, loop.now());
    loop.drive(done);
    loop.disarm(far);
    loop.disarm(not_at_all);
    CHECK(fired == 2);
}

TEST_CASE("run_loop: a timer that another thread arms wakes it from its sleep") {
    run_loop loop;
    std::atomic<bool> busy = true;
    ring soon([&] { busy = false; }), far([] {});
    loop.arm(far, loop.now() + 1h);
    std::atomic<bool> driving = false;
    job begin([&] { driving = true; });
    loop.post(begin);
    std::thread armer([&] {
        while (!driving) std::this_thread::yield();
        for (int i = 0; i != 100; ++i) std::this_thread::yield();  // it may well sleep by now
        loop.arm(soon, loop.now());
    });
    const auto is_busy = [](void* b) { return static_cast<std::atomic<bool>*>(b)->load(); };
    CHECK(loop.drive_while(is_busy, &busy, loop.now() + 10min));
    armer.join();
    loop.disarm(far);
}

TEST_CASE("run_loop: drive_while() gives up when its time is over, though nothing wakes it") {
    run_loop loop;
    bool busy = true;
    const auto is_busy = [](void* b) { return *static_cast<bool*>(b); };
    const time_point end = loop.now() + 3ms;
    CHECK_FALSE(loop.drive_while(is_busy, &busy, end));
    CHECK(loop.now() >= end);
    job done([&] { busy = false; });
    loop.post(done);
    CHECK(loop.drive_while(is_busy, &busy, never));
}

TEST_CASE("run_loop: drive_ready() does not wait for timers or posts") {
    testing::no_frames_left frames;
    run_loop loop;
    bool went_on = false;
    const auto body = [&]() -> task<> {
        static_cast<void>(co_await sleep_for(1h));
        went_on = true;
    };
    testing::started t(loop, body());
    loop.drive_ready();
    CHECK(loop.idle_here());
    t.destroy();
    CHECK_FALSE(went_on);
}

TEST_CASE("run_loop: runs a whole program of tasks that wait for one another") {
    testing::no_frames_left frames;
    run_loop loop;
    event ready;
    std::vector<int> order;
    const auto waits = [&]() -> task<> {
        order.push_back(1);
        static_cast<void>(co_await ready.wait());
        order.push_back(3);
    };
    const auto sets = [&]() -> task<> {
        order.push_back(2);
        ready.set();
        co_return;
    };
    testing::started a(loop, waits()), b(loop, sets());
    loop.drive(a.end());
    CHECK(b.ended());
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE(
    "run_loop: threads that drive it at once all get what they are after, one runs the work") {
    testing::no_frames_left frames;
    constexpr int threads = 4, each = 300;
    run_loop loop;
    int inside = 0;  // no lock: one at a time runs the loop's work
    long sum = 0;
    const auto body = [&](int n) -> task<int> {
        ++inside;
        sum += n;
        CHECK(inside == 1);
        --inside;
        co_await yield();
        if (n % 16 == 0) co_await sleep_for(50us);
        co_return n;
    };
    std::atomic<int> right = 0;
    std::vector<std::thread> drivers;
    for (int t = 0; t != threads; ++t) {
        drivers.emplace_back([&] {
            for (int n = 0; n != each; ++n) right += sync_wait(loop, body(n)) == n;
        });
    }
    for (auto& d : drivers) d.join();
    CHECK(right == threads * each);
    CHECK(sum == threads * each * (each - 1) / 2);
    CHECK(loop.idle_here());
}

TEST_CASE("run_loop: whoever waits beside a drive that never ends gets what it is after") {
    testing::no_frames_left frames;
    run_loop loop;
    event stop, begun;
    const auto server = [&]() -> task<int> {
        begun.set();
        co_return (co_await stop.wait()).has_value();
    };
    const auto client = [&]() -> task<int> {
        co_await yield();
        co_return 5;
    };
    const auto last = [&]() -> task<int> {
        stop.set();
        co_return 6;
    };
    int served = 0;
    std::thread driver([&] { served = sync_wait(loop, server()); });
    sync_wait(begun.wait()).or_throw();  // on a loop of its own
    CHECK_FALSE(loop.idle_here());
    CHECK(sync_wait(loop, client()) == 5);
    const auto until_client = [](void* of) { return !static_cast<event*>(of)->is_set(); };
    CHECK_FALSE(loop.drive_while(until_client, &stop, loop.now() + 2ms));
    CHECK(sync_wait(loop, last()) == 6);
    driver.join();
    CHECK(served == 1);
}
