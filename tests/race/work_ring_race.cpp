// An owner and two thieves at one ring: each piece of work comes out once, and whole.
#include "watchdog.hpp"

#include <posthaste/run/work_ring.hpp>

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

using namespace posthaste;

namespace {

constexpr int rounds = 100, each = 20'000, thieves = 2;

struct item : work {
    int written = 0;  // by the owner, before it puts it
    std::atomic<int> taken = 0;
};

struct outcomes {
    std::atomic<long> by_owner = 0;    // taken by who put it
    std::atomic<long> stolen = 0;      // taken by a thief, at once
    std::atomic<long> with_more = 0;   // taken by a thief out of its own ring, where it was put
    std::atomic<long> stolen_back = 0;  // stolen from a thief by another
    std::atomic<long> full = 0;        // there was no room for it at first
    std::atomic<long> wrong = 0;
};

// Another thread at times, so that the others meet it anywhere.
void stumble(unsigned& random) {
    random = random * 1664525 + 1013904223;
    if (random >> 25 == 0) std::this_thread::yield();
}

void one_round(outcomes& seen, unsigned round) {
    std::vector<item> items(each);
    work_ring ring[1 + thieves];
    std::atomic<int> left = each;
    const auto take = [&](work* w, std::atomic<long>& how) {
        item& i = *static_cast<item*>(w);
        if (i.written != 7 || i.taken.fetch_add(1, std::memory_order_relaxed) != 0) ++seen.wrong;
        ++how;
        left.fetch_sub(1, std::memory_order_relaxed);
    };
    std::vector<std::thread> threads;
    for (std::size_t me = 1; me <= thieves; ++me) {
        threads.emplace_back([&, me] {
            unsigned random = round * 17 + static_cast<unsigned>(me);
            const std::size_t other = 3 - me;
            while (left.load(std::memory_order_relaxed) > 0) {
                stumble(random);
                // in some rounds the second thief knows only the first one
                const bool at_owner = me == 1 || round % 3 != 0;
                if (work* w = ring[me].take()) take(w, seen.with_more);
                else if (work* v = at_owner ? ring[me].steal_from(ring[0]) : nullptr)
                    take(v, seen.stolen);
                else if (work* u = ring[me].steal_from(ring[other])) take(u, seen.stolen_back);
                else if (random >> 28 == 0) std::this_thread::yield();
            }
        });
    }
    unsigned random = round;
    std::size_t next = 0;
    while (left.load(std::memory_order_relaxed) > 0) {
        stumble(random);
        // one by one, so that all want the same; or more than is taken; or as much as there is room
        const bool puts = round % 4 == 0   ? true
                          : round % 4 == 1 ? (random >> 16) % 3 != 0
                                           : ring[0].empty();
        if (next != items.size() && puts) {
            items[next].written = 7;
            if (ring[0].put(items[next])) {
                ++next;
                continue;
            }
            ++seen.full;
            std::this_thread::yield();
        }
        if (work* w = ring[0].take()) take(w, seen.by_owner);
    }
    for (auto& t : threads) t.join();
    for (auto& r : ring) seen.wrong += !r.empty();
    for (const item& i : items) seen.wrong += i.taken.load(std::memory_order_relaxed) != 1;
}

}  // namespace

int main() {
    testing::watchdog dog("work_ring");
    outcomes seen;
    const auto all_seen = [&] {
        return seen.by_owner > 0 && seen.stolen > 0 && seen.with_more > 0 && seen.stolen_back > 0 &&
               seen.full > 0;
    };
    for (unsigned round = 0; round < rounds || (round < 1000 && !all_seen()); ++round) {
        one_round(seen, round);
        dog.pat("work_ring, a later round");
    }
    std::printf("by owner %ld, stolen %ld, with more %ld, from a thief %ld, full %ld, wrong %ld\n",
                seen.by_owner.load(), seen.stolen.load(), seen.with_more.load(),
                seen.stolen_back.load(), seen.full.load(), seen.wrong.load());
    return all_seen() && seen.wrong == 0 ? 0 : 1;
}
