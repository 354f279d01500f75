// Two threads each write a word and then read the other's: at least one sees the other's write,
// though the fence of one of them costs it nothing. Without the other's, both may miss it.
#include "../support/race.hpp"
#include "watchdog.hpp"

#include <posthaste/detail/asymmetric_fence.hpp>
#include <posthaste/detail/cache_line.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <thread>
#include <vector>

using namespace posthaste;

namespace {

struct seen {
    long rounds = 0, by_frequent = 0, by_rare = 0, by_nobody = 0;
    void print(const char* how) const {
        std::printf(
            "%9ld rounds %s: seen by the frequent one %ld, by the rare one %ld, by nobody "
            "%ld\n",
            rounds, how, by_frequent, by_rare, by_nobody);
    }
};

// Both count in their own word, one more with each turn, and note what they read in the other's.
template <typename Light, typename Heavy>
void chunk(int turns, seen& sum, Light light, Heavy heavy) {
    constexpr int most = 200'000;
    alignas(detail::cache_line) std::atomic<int> frequent = 0;
    alignas(detail::cache_line) std::atomic<int> rare = 0;
    std::vector<int> by_frequent(most + 2), by_rare(static_cast<std::size_t>(turns) + 1);
    std::atomic<bool> begun = false, over = false;
    std::thread other([&] {
        begun.store(true, std::memory_order_relaxed);
        for (int i = 1; i <= most && !over.load(std::memory_order_relaxed); ++i) {
            frequent.store(i, std::memory_order_relaxed);
            light();
            by_frequent[static_cast<std::size_t>(i)] = rare.load(std::memory_order_relaxed);
            if (i % 1024 == 0) std::this_thread::yield();  // for machines with one processor
        }
        over.store(true, std::memory_order_relaxed);
    });
    while (!begun.load(std::memory_order_relaxed)) std::this_thread::yield();
    int done = 0;
    while (done != turns && !over.load(std::memory_order_relaxed)) {
        rare.store(++done, std::memory_order_relaxed);
        heavy();
        by_rare[static_cast<std::size_t>(done)] = frequent.load(std::memory_order_relaxed);
        if (done % 16 == 0) std::this_thread::yield();
    }
    over.store(true, std::memory_order_relaxed);
    other.join();
    const int last = frequent.load(std::memory_order_relaxed);
    for (int j = 1; j <= done; ++j) {
        const int i = by_rare[static_cast<std::size_t>(j)];
        if (i == last) break;  // what came after was not a turn of both
        ++sum.rounds;
        // of the turns that this one did not see, the first must have seen it, as those after it
        if (by_frequent[static_cast<std::size_t>(i) + 1] < j) ++sum.by_nobody;
        else if (i != 0 && by_frequent[static_cast<std::size_t>(i)] < j) ++sum.by_rare;
        else ++sum.by_frequent;
    }
}

template <typename Light, typename Heavy, typename Enough>
seen rounds(testing::watchdog& dog, const char* how, int turns, Light light, Heavy heavy,
            Enough enough) {
    seen sum;
    const auto least = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
    for (int part = 0; part < 2'000 && (!enough(sum) || std::chrono::steady_clock::now() < least);
         ++part) {
        dog.pat(how);
        chunk(turns, sum, light, heavy);
    }
    sum.print(how);
    return sum;
}

bool fences_both(testing::watchdog& dog, const char* how, const detail::asymmetric_fence& fence) {
    unsigned turn = 0;
    const seen s = rounds(
        dog, how, 2'000, [&] { fence.light(); },
        [&] {
            fence.heavy();
            testing::dawdle(testing::scatter(++turn, 0) % 256);
            if (turn % 64 == 0) std::this_thread::yield();
        },
        [](const seen& sum) { return sum.by_frequent && sum.by_rare; });
    return s.by_frequent && s.by_rare && !s.by_nobody;
}

}  // namespace

int main() {
    testing::watchdog dog("asymmetric_fence");
    const detail::asymmetric_fence offered, ordinary(false);
    bool right = fences_both(dog, "with the fence the system offers", offered);
    right = fences_both(dog, "with ordinary fences", ordinary) && right;
    // Whether that says anything of this machine, as it is just now: with one processor, or another
    // that is far or taken by somebody else, nothing may be missed.
    rounds(
        dog, "without the heavy side", 20'000, [&] { offered.light(); }, [] {},
        [](const seen&) { return true; });
    return right ? 0 : 1;
}
