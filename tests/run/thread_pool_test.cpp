// The pool with its own threads: what is waited for is that something happens, not that time goes.
#include "../support/catch.hpp"
#include "../support/frames.hpp"

#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/sleep.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
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

// Lets a thread wait for a count.
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

task<int> recursion(int depth) {
    if (depth == 0) co_return 0;
    const int below = co_await recursion(depth - 1);
    co_return below + 1;
}

}  // namespace

TEST_CASE("thread_pool: a number of threads that cannot be is refused") {
    CHECK_THROWS_AS(thread_pool(0), std::invalid_argument);
    CHECK_THROWS_AS(thread_pool(4097), std::invalid_argument);
    CHECK_THROWS_AS(thread_pool(std::numeric_limits<unsigned>::max()), std::invalid_argument);
    CHECK_THROWS_WITH(thread_pool(0), Catch::Matchers::ContainsSubstring("1 to 4096"));
    CHECK(thread_pool(1).size() == 1);
    CHECK(thread_pool(5).size() == 5);
    CHECK(thread_pool().size() >= 1);
}

TEST_CASE("thread_pool: all that is posted runs, once, on its threads, whatever their number") {
    for (const unsigned threads : {1u, 2u, 8u}) {
        constexpr int n = 5000;
        thread_pool pool(threads);
        tally done;
        std::atomic<int> ran = 0, abroad = 0;
        std::deque<job> jobs;
        for (int i = 0; i != n; ++i) {
            jobs.emplace_back([&] {
                if (!pool.here()) ++abroad;
                if (++ran == n) done.add();
            });
        }
        for (job& j : jobs) pool.post(j);
        done.wait_for(1);
        CHECK(ran == n);
        CHECK(abroad == 0);
    }
}

TEST_CASE("thread_pool: more work from within than a ring has room for runs") {
    constexpr int n = 3000;
    thread_pool pool(2);
    tally done;
    std::atomic<int> ran = 0;
    std::deque<job> jobs;
    for (int i = 0; i != n; ++i) {
        jobs.emplace_back([&] {
            if (++ran == n) done.add();
        });
    }
    job all([&] {
        for (job& j : jobs) pool.post(j);
    });
    pool.post(all);
    done.wait_for(1);
    CHECK(ran == n);
}

TEST_CASE("thread_pool: a storm of posts from four other threads loses none") {
    constexpr int threads = 4, each = 5000;
    thread_pool pool(2);
    tally done;
    std::atomic<int> ran = 0;
    std::vector<std::deque<job>> jobs(threads);
    for (auto& some : jobs) {
        for (int i = 0; i != each; ++i) {
            some.emplace_back([&] {
                if (++ran == threads * each) done.add();
            });
        }
    }
    std::vector<std::thread> posters;
    for (auto& some : jobs) {
        posters.emplace_back([&pool, &some] {
            for (job& j : some) pool.post(j);
        });
    }
    done.wait_for(1);
    for (auto& p : posters) p.join();
    CHECK(ran == threads * each);
}

TEST_CASE("thread_pool: what is ready when it is destroyed still runs, wherever it lies") {
    constexpr int n = 3;
    for (int round = 0; round != 20; ++round) {
        std::atomic<int> ran = 0;
        std::deque<job> blocking, in_slot, in_ring, shared;
        detail::flag go;
        std::thread opener;
        {
            thread_pool pool(n);
            tally blocked;
            for (int i = 0; i != n; ++i) {
                job& slot = in_slot.emplace_back([&] { ++ran; });
                job& ring = in_ring.emplace_back([&] { ++ran; });
                shared.emplace_back([&] { ++ran; });
                blocking.emplace_back([&] {
                    pool.post(ring);
                    pool.transfer(slot);
                    blocked.add();
                    go.wait();
                });
            }
            for (job& j : blocking) pool.post(j);
            blocked.wait_for(n);
            for (job& j : shared) pool.post(j);
            opener = std::thread([&] {  // mostly when the pool is about to end already
                for (int i = 0; i != 100; ++i) std::this_thread::yield();
                go.set();
            });
        }
        opener.join();
        REQUIRE(ran == 3 * n);
    }
}

TEST_CASE("thread_pool: what runs while it is destroyed may post more, which runs too") {
    int ran = 0;
    std::unique_ptr<thread_pool> pool = std::make_unique<thread_pool>(1);
    pool->stop();
    thread_pool* const at = pool.get();
    job last([&] { ++ran; });
    job next([&] {
        ++ran;
        at->post(last);
    });
    job first([&] {
        CHECK(at->here());
        CHECK_FALSE(at->idle_here());
        ++ran;
        at->transfer(next);
    });
    at->post(first);
    CHECK(ran == 0);
    CHECK(at->idle_here());
    at->stop();  // a second time
    pool.reset();
    CHECK(ran == 3);
}

TEST_CASE("thread_pool: coroutines that are ready when it is destroyed come to their end") {
    testing::no_frames_left frames;
    for (int round = 0; round != 20; ++round) {
        std::atomic<int> ended = 0;
        const auto body = [&ended](int n) -> task<> {
            for (int i = 0; i != n; ++i) co_await yield();
            ++ended;
        };
        std::deque<task<>> tasks;
        for (int i = 0; i != 20; ++i) tasks.push_back(body(i * 20));
        {
            thread_pool pool(2);
            const context under(pool, never, {});
            for (task<>& t : tasks) {
                t.promise().place(pool, &under);
                t.promise().start_by_post([](detail::promise_base&) noexcept {}, nullptr);
            }
        }
        CHECK(ended == 20);
    }
}

TEST_CASE("thread_pool: timers fire while all its threads are blocked") {
    for (const unsigned threads : {1u, 3u}) {
        thread_pool pool(threads);
        struct gate : timer {
            gate() noexcept : timer([](timer& t) noexcept { static_cast<gate&>(t).open.set(); }) {}
            detail::flag open;
        } g;
        tally blocked, through;
        std::deque<job> jobs;
        for (unsigned i = 0; i != threads; ++i) {
            jobs.emplace_back([&] {
                blocked.add();
                g.open.wait();
                through.add();
            });
        }
        for (job& j : jobs) pool.post(j);
        blocked.wait_for(static_cast<int>(threads));
        CHECK(through.count() == 0);
        pool.arm(g, pool.now() + 1ms);
        through.wait_for(static_cast<int>(threads));
        pool.disarm(g);
    }
}

TEST_CASE("thread_pool: tasks sleep, each at least as long as it wants") {
    testing::no_frames_left frames;
    thread_pool pool(2);
    const auto nap = [&](duration d) -> task<bool> {
        const time_point begin = pool.now();
        const result<void> slept = co_await sleep_for(d);
        co_return slept&& pool.now() - begin >= d&& pool.here();
    };
    const auto body = [&]() -> task<int> {
        std::vector<task<bool>> naps;
        for (int i = 0; i != 100; ++i) naps.push_back(nap(i % 10 * 300us));
        int well = 0;
        for (const bool slept : co_await when_all(std::move(naps))) well += slept;
        co_return well;
    };
    CHECK(sync_wait(pool, body()) == 100);
}

TEST_CASE("thread_pool: a worker that blocks keeps nothing that it holds from the others") {
    thread_pool pool(2);
    for (int round = 0; round != 5; ++round) {
        detail::flag slot_ran, ring_ran, done;
        job in_slot([&] { slot_ran.set(); }), in_ring([&] { ring_ran.set(); });
        job blocks([&] {
            pool.post(in_ring);
            pool.transfer(in_slot);
            ring_ran.wait();
            slot_ran.wait();
            done.set();
        });
        pool.post(blocks);
        done.wait();
        CHECK(slot_ran.is_set());
    }
}

TEST_CASE("thread_pool: what is left in a slot is taken, also when its worker was busy for long") {
    // For more than a second nobody can take it; then its worker comes back, and blocks with it.
    thread_pool pool(2);
    detail::flag other_blocked, other_may_go, nobody_sets, slot_ran, done;
    bool in_time = false;
    job other([&] {
        other_blocked.set();
        other_may_go.wait();
    });
    job in_slot([&] { slot_ran.set(); });
    job blocks([&] {
        other_may_go.set();
        slot_ran.wait_for(10s);
        in_time = slot_ran.is_set();
        done.set();
    });
    // after 31 from the slot it is the turn of the ring, in which `blocks` lies
    int left = 32;
    std::deque<job> chain;
    const std::function<void()> step = [&] {
        if (left == 32) pool.post(blocks);
        if (--left != 0) return pool.transfer(chain.emplace_back(step));
        pool.transfer(in_slot);
        nobody_sets.wait_for(1300ms);
    };
    pool.post(other);
    other_blocked.wait();
    pool.post(chain.emplace_back(step));
    done.wait();
    slot_ran.wait();
    pool.stop();
    CHECK(in_time);
}

TEST_CASE(
    "thread_pool: what comes from outside takes turns with its worker's long pieces of work") {
    thread_pool pool(1);
    std::atomic<int> turns = 0;
    std::atomic<bool> enough = false;
    detail::flag ended;
    job busy([&] {
        const time_point until = pool.now() + 2ms;
        while (pool.now() < until) {}
        ++turns;
        enough ? ended.set() : pool.post(busy);
    });
    pool.post(busy);
    while (turns < 62) std::this_thread::yield();  // it does not know yet how long they are
    for (int round = 0; round != 5; ++round) {
        constexpr int n = 4;
        std::array<int, n> ran_at{};
        tally ran;
        std::deque<job> from_outside;
        for (int& at : ran_at) {
            from_outside.emplace_back([&] {
                at = turns;
                ran.add();
            });
        }
        for (job& j : from_outside) pool.post(j);
        const int posted_at = turns;
        ran.wait_for(n);
        std::sort(ran_at.begin(), ran_at.end());
        CHECK(ran_at.front() <= posted_at + 3);
        CHECK(ran_at.back() <= posted_at + 3 + n);
        CHECK(ran_at.back() >= ran_at.front() + n - 1);  // nor does its own wait for all of them
    }
    enough = true;
    ended.wait();
}

TEST_CASE("thread_pool: what a worker stole does not wait for it while others sleep") {
    // Each of the first jobs blocks until all of them run: on as many threads.
    for (int round = 0; round != 200; ++round) {
        constexpr int n = 4;
        thread_pool pool(n);
        tally running, done;
        std::deque<job> jobs;
        for (int i = 0; i != n; ++i) {
            jobs.emplace_back([&] {
                running.add();
                running.wait_for(n);
                done.add();
            });
        }
        job all([&] {
            for (job& j : jobs) pool.post(j);
        });
        pool.post(all);
        done.wait_for(n);
        REQUIRE(done.count() == n);
    }
}

TEST_CASE("thread_pool: a blocked inline call is ended by its deadline, the innermost by itself") {
    thread_pool pool(1);
    struct call : inline_call {
        explicit call(time_point at) noexcept {
            deadline = at;
            expire = [](inline_call& c) noexcept {
                auto& self = static_cast<call&>(c);
                if (self.over) return false;  // it has ended by itself
                self.ended.set();
                return true;
            };
        }
        detail::flag ended;
        bool over = false;
    };
    detail::flag done;
    bool outer_stayed = false, inner_went = false, by_allowance_went = false, second_stayed = false;
    job j([&] {
        call outer(never), inner(pool.now() + 1ms);
        pool.watch(outer);
        pool.watch(inner);
        inner.ended.wait();  // the worker is blocked here
        inner_went = !pool.unwatch(inner);
        call by_allowance(never);
        by_allowance.allowance = 1ms;
        pool.watch(by_allowance);
        by_allowance.ended.wait();
        by_allowance_went = !pool.unwatch(by_allowance);
        call second(time_point::min());
        second.over = true;
        pool.watch(second);
        second_stayed = pool.unwatch(second);
        outer_stayed = pool.unwatch(outer);
        done.set();
    });
    pool.post(j);
    done.wait();
    CHECK(inner_went);
    CHECK(by_allowance_went);
    CHECK(second_stayed);
    CHECK(outer_stayed);
}

TEST_CASE("thread_pool: an outer inline call may be ended while an inner one runs on") {
    thread_pool pool(1);
    struct call : inline_call {
        explicit call(time_point at) noexcept {
            deadline = at;
            expire = [](inline_call& c) noexcept {
                static_cast<call&>(c).ended.set();
                return true;
            };
        }
        detail::flag ended;
    };
    detail::flag done;
    bool outer_went = false, inner_stayed = false, next_stayed = false;
    job j([&] {
        call outer(pool.now()), inner(never), next(never);
        pool.watch(outer);
        pool.watch(inner);
        outer.ended.wait();
        inner_stayed = pool.unwatch(inner);
        outer_went = !pool.unwatch(outer);
        pool.watch(next);
        next_stayed = pool.unwatch(next);
        done.set();
    });
    pool.post(j);
    done.wait();
    CHECK(outer_went);
    CHECK(inner_stayed);
    CHECK(next_stayed);
}

TEST_CASE("thread_pool: an idle one uses no processor time") {
    testing::no_frames_left frames;
    thread_pool pool(4);
    const auto body = []() -> task<> {
        for (int i = 0; i != 1000; ++i) co_await yield();
    };
    sync_wait(pool, body());
    std::mutex mutex;
    std::condition_variable nobody;
    std::unique_lock guard(mutex);
    nobody.wait_for(guard, 20ms, [] { return false; });  // spinning comes to an end
    const std::clock_t before = std::clock();
    const time_point begin = pool.now();
    nobody.wait_for(guard, 300ms, [] { return false; });
    const auto used = std::chrono::duration<double>(double(std::clock() - before) / CLOCKS_PER_SEC);
    CHECK(used < (pool.now() - begin) / 4);
}

TEST_CASE("thread_pool: recursion of any depth, on one thread and on several") {
    testing::no_frames_left frames;
    for (const unsigned threads : {1u, 4u}) {
        thread_pool pool(threads);
        CHECK(sync_wait(pool, recursion(20'000)) == 20'000);
    }
}

TEST_CASE("thread_pool: two pools do not know each other") {
    testing::no_frames_left frames;
    thread_pool a(2);
    const auto inside = [](thread_pool& mine, thread_pool& other) -> task<bool> {
        for (int i = 0; i != 100; ++i) co_await yield();
        co_return mine.here() && !other.here();
    };
    for (int round = 0; round != 20; ++round) {
        thread_pool b(2);
        const auto body = [&]() -> task<bool> {
            const bool there = sync_wait(b, inside(b, a));  // blocks a's worker
            co_return there&& a.here();
        };
        CHECK(sync_wait(a, body()));
    }
}
