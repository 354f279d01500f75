// With sleepers: tests/explore/injection_queue_explore.cpp; without memory: tests/plain/no_memory.
#include "../support/catch.hpp"

#include <posthaste/run/injection_queue.hpp>

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

using namespace posthaste;

TEST_CASE("injection_queue: gives back what one thread put, in order, and knows when it is empty") {
    injection_queue queue;
    injection_queue::reader reader(queue);
    std::vector<work> w(100);
    CHECK(queue.empty());
    CHECK_FALSE(queue.has_some());
    CHECK(queue.take(reader) == nullptr);
    for (work& each : w) queue.put(each);
    for (work& each : w) {
        CHECK_FALSE(queue.empty());
        CHECK(queue.has_some());
        REQUIRE(queue.take(reader) == &each);
    }
    CHECK(queue.empty());
    CHECK_FALSE(queue.has_some());
    CHECK(queue.take(reader) == nullptr);
}

TEST_CASE("injection_queue: what is queued waits for no more than one that came later") {
    injection_queue queue;
    injection_queue::reader reader(queue);
    std::vector<work> w(40);
    for (std::size_t i = 0; i != 20; ++i) queue.put(w[i]);  // all but one are queued
    std::size_t early = 0;
    for (std::size_t i = 20; i != w.size(); ++i) {
        const work* taken = queue.take(reader);
        REQUIRE(taken);
        early += taken < &w[20];
        queue.put(w[i]);  // finds room before them now and then
    }
    CHECK(early >= 10);
    for (std::size_t i = 0; i != 20; ++i) CHECK(queue.take(reader));
    CHECK(queue.empty());
}

TEST_CASE("injection_queue: what several threads put, several take, each piece once") {
    constexpr std::size_t threads = 2, each = 20'000;
    struct job : work {
        int content = 0;  // plain: put() must have published it
        int taken = 0;
    };
    std::vector<job> jobs(threads * each);
    injection_queue queue;
    std::atomic<std::size_t> left = jobs.size();
    std::atomic<int> unseen = 0;
    std::vector<std::thread> all;
    for (std::size_t t = 0; t != threads; ++t) {
        all.emplace_back([&, t] {
            for (std::size_t i = t * each; i != (t + 1) * each; ++i) {
                jobs[i].content = 1;
                queue.put(jobs[i]);
            }
        });
        all.emplace_back([&] {
            injection_queue::reader reader(queue);
            while (left != 0) {
                job* j = static_cast<job*>(queue.take(reader));
                if (!j) {
                    std::this_thread::yield();
                    continue;
                }
                ++j->taken;
                if (j->content != 1) ++unseen;
                --left;
            }
        });
    }
    for (auto& t : all) t.join();
    CHECK(queue.empty());
    CHECK(unseen == 0);
    std::size_t once = 0;
    for (const job& j : jobs) once += j.taken == 1;
    CHECK(once == jobs.size());
}
