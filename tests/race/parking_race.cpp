// No wake-up is lost: work comes just as a worker goes to sleep, thousands of times.
#include "watchdog.hpp"

#include <posthaste/detail/flag.hpp>
#include <posthaste/run/parking.hpp>
#include <posthaste/run/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

using namespace posthaste;

namespace {

void idle(unsigned turns) {
    for (unsigned i = 0; i != turns; ++i) detail::pause();
}
// Spins, so that both go on at the same moment; yields now and then, for machines with one core.
template <typename Condition>
void spin_until(Condition met) {
    for (unsigned i = 1; !met(); ++i) {
        if (i % 1024 == 0) std::this_thread::yield();
    }
}

// Rounds of one kind take seconds only on a machine that is very busy: then fewer will do.
class patience {
public:
    bool left() const noexcept { return std::chrono::steady_clock::now() < end_; }

private:
    const std::chrono::steady_clock::time_point end_ =
        std::chrono::steady_clock::now() + std::chrono::seconds(10);
};

// The two looks alone: of a poster and a worker at least one sees the other.
bool two_looks(testing::watchdog& dog) {
    constexpr int rounds = 50'000, chunk = 5'000;
    long by_poster = 0, by_worker = 0, by_both = 0, by_nobody = 0;
    const patience some;
    for (int part = 0;
         (part < rounds / chunk && some.left()) || (part < 200 && (!by_poster || !by_worker));
         ++part) {
        dog.pat("the two looks");
        std::vector<parking> parkings(chunk);
        std::vector<std::atomic<int>> work(chunk);
        std::vector<char> saw_sleeper(chunk), saw_work(chunk);
        std::atomic<int> at_poster = 0, at_worker = 0;
        std::thread worker([&] {
            for (int i = 0; i != chunk; ++i) {
                const auto n = static_cast<std::size_t>(i);
                at_worker.store(i + 1, std::memory_order_relaxed);
                spin_until([&] { return at_poster.load(std::memory_order_relaxed) > i; });
                idle(static_cast<unsigned>(i) / 7 % 16);
                parkings[n].sleep(false);
                saw_work[n] = work[n].load(std::memory_order_seq_cst) != 0;
            }
        });
        for (int i = 0; i != chunk; ++i) {
            const auto n = static_cast<std::size_t>(i);
            at_poster.store(i + 1, std::memory_order_relaxed);
            spin_until([&] { return at_worker.load(std::memory_order_relaxed) > i; });
            idle(static_cast<unsigned>(i) / 5 % 16);
            work[n].exchange(1, std::memory_order_seq_cst);
            saw_sleeper[n] = parkings[n].need_wake();
        }
        worker.join();
        for (std::size_t n = 0; n != chunk; ++n) {
            if (saw_sleeper[n] && saw_work[n]) ++by_both;
            else if (saw_sleeper[n]) ++by_poster;
            else if (saw_work[n]) ++by_worker;
            else ++by_nobody;
        }
    }
    std::printf("seen by the poster %ld, by the worker %ld, by both %ld, by nobody %ld\n",
                by_poster, by_worker, by_both, by_nobody);
    return by_poster > 0 && by_worker > 0 && by_nobody == 0;
}

struct job : work {
    job() noexcept {
        run = [](work& w) noexcept {
            static_cast<job&>(w).done.store(true, std::memory_order_release);
        };
    }
    void wait() const noexcept {
        spin_until([this] { return done.load(std::memory_order_acquire); });
    }
    std::atomic<bool> done = false;
};

// A whole pool: one piece of work at a time, after a pause in which it more or less falls asleep.
void posts_to_a_pool(testing::watchdog& dog, unsigned threads) {
    constexpr unsigned rounds = 60'000;
    thread_pool pool(threads);
    const patience some;
    for (unsigned i = 0; i != rounds && (i % 64 != 0 || some.left()); ++i) {
        if (i % 64 == 0) dog.pat("posts from outside");
        idle(i % 257);
        job j;
        pool.post(j);
        j.wait();
    }
}

// A worker posts, and blocks until another one has done it.
void posts_within_a_pool(testing::watchdog& dog) {
    constexpr int rounds = 3'000;
    thread_pool pool(3);
    struct blocking : work {
        explicit blocking(thread_pool& p) noexcept : pool(p) {
            run = [](work& w) noexcept {
                auto& self = static_cast<blocking&>(w);
                job inner[2];
                idle(self.pause);
                for (job& j : inner) self.pool.post(j);
                for (const job& j : inner) j.wait();
                self.done.set();
            };
        }
        thread_pool& pool;
        unsigned pause = 0;
        detail::flag done;
    };
    const patience some;
    for (int i = 0; i != rounds && (i % 64 != 0 || some.left()); ++i) {
        if (i % 64 == 0) dog.pat("posts from within");
        blocking b(pool);
        b.pause = static_cast<unsigned>(i) % 251 * 6;
        pool.post(b);
        b.done.wait();
    }
}

}  // namespace

int main() {
    testing::watchdog dog("parking");
    if (!two_looks(dog)) return 1;
    posts_to_a_pool(dog, 1);
    posts_to_a_pool(dog, 4);
    posts_within_a_pool(dog);
    return 0;
}
