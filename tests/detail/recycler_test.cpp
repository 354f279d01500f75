// What an address tells of recycling; race/recycler_race.cpp counts operator new.
#include "../support/catch.hpp"

#include <posthaste/detail/recycler.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

using namespace posthaste::detail;

namespace {
/// Runs `body` on a thread of its own, which begins with an empty cache.
template <typename Body>
void on_new_thread(Body body) {
    std::thread(body).join();
}
std::vector<void*> allocate_many(std::size_t count, std::size_t size) {
    std::vector<void*> all(count);
    for (void*& memory : all) {
        memory = allocate(size);
        std::memset(memory, 0x5a, size);
    }
    return all;
}
void deallocate_all(const std::vector<void*>& all) {
    for (void* memory : all) deallocate(memory);
}
/// Takes what operator new has at hand of that size: what was given back to it has another address
/// from then on.
class decoys {
public:
    explicit decoys(std::size_t size) {
        for (void*& memory : all_)
            memory = ::operator new(block_cache::bytes_of(block_cache::class_of(size)));
    }
    decoys(const decoys&) = delete;
    ~decoys() {
        for (void* memory : all_) ::operator delete(memory);
    }

private:
    std::array<void*, 200> all_;
};
/// Has the cache of this thread take what came back from others.
void run_out() { deallocate(allocate(block_cache::largest / 4)); }
bool same_blocks(std::vector<void*> a, std::vector<void*> b) {
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    return a == b;
}
}  // namespace

TEST_CASE("recycler: each size has the smallest class that holds it") {
    std::size_t wrong = 0;
    for (std::size_t size = 0; size <= block_cache::largest; ++size) {
        const std::size_t c = block_cache::class_of(size);
        wrong += c >= block_cache::classes;
        wrong += block_cache::bytes_of(c) < sizeof(block) + size;
        wrong += c != 0 && block_cache::bytes_of(c - 1) >= sizeof(block) + size;
    }
    CHECK(wrong == 0);
    CHECK(block_cache::bytes_of(block_cache::classes - 1) == sizeof(block) + block_cache::largest);
}

TEST_CASE("recycler: memory of any size is aligned, writable and nobody else's") {
    std::vector<std::pair<unsigned char*, std::size_t>> all;
    const std::size_t sizes[] = {0,    1,    15,   16,   48,   49,     112,    113,    127,
                                 1008, 1009, 2032, 2033, 4096, 65'519, 65'520, 65'521, 1'000'000};
    for (int round = 0; round != 3; ++round) {
        for (const std::size_t size : sizes) {
            auto* const memory = static_cast<unsigned char*>(allocate(size));
            REQUIRE(memory);
            CHECK(reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t) == 0);
            std::memset(memory, static_cast<int>(all.size()), size);
            all.emplace_back(memory, size);
        }
    }
    std::size_t wrong = 0;
    for (std::size_t i = 0; i != all.size(); ++i) {
        const auto [memory, size] = all[i];
        for (std::size_t b = 0; b != size; ++b) wrong += memory[b] != static_cast<unsigned char>(i);
    }
    CHECK(wrong == 0);
    for (const auto& [memory, size] : all) deallocate(memory);
    deallocate(nullptr);
}

TEST_CASE("recycler: what cannot be had is nullptr, or bad_alloc from the allocator") {
    constexpr std::size_t all_there_is = std::numeric_limits<std::size_t>::max();
    CHECK(allocate(all_there_is) == nullptr);
    CHECK(allocate(all_there_is - 8) == nullptr);
    CHECK_THROWS_AS(recycling_allocator<long>().allocate(all_there_is / 4), std::bad_alloc);
    CHECK_THROWS_AS(recycling_allocator<long>().allocate(all_there_is), std::bad_alloc);
}

TEST_CASE("recycler: a block that was freed is the next one of its class") {
    if (address_sanitizer) return;  // which sees each block for itself
    bool again = false, other_class = true;
    on_new_thread([&] {
        void* const first = allocate(100);
        deallocate(first);
        void* const larger = allocate(129);
        other_class = larger == first;
        void* const second = allocate(65);
        again = second == first;
        deallocate(second);
        deallocate(larger);
    });
    CHECK(again);
    CHECK_FALSE(other_class);
}

TEST_CASE("recycler: small blocks of the packed class lie side by side, and stay of that class") {
    if (address_sanitizer) return;
    constexpr std::size_t c = block_cache::packed_class_of(48);
    static_assert(c == block_cache::packed && block_cache::packed_class_of(1) == c);
    static_assert(block_cache::packed_class_of(49) == block_cache::class_of(49));
    static_assert(block_cache::bytes_of(c) == block_cache::bytes_of(block_cache::class_of(48)));
    std::size_t beside = 0;
    bool again = true, mixed = false, came_back = false;
    on_new_thread([&] {
        std::vector<void*> blocks(1000);
        for (void*& memory : blocks) {
            memory = allocate(48, c);
            std::memset(memory, 0x5a, 48);
        }
        const std::set<void*> all(blocks.begin(), blocks.end());
        for (void* memory : all) beside += all.count(static_cast<std::byte*>(memory) + 64);
        for (std::size_t i = 0; i != 500; ++i) {
            deallocate(blocks[i], 48, c);
            again = again && allocate(40, c) == blocks[i];
            deallocate(blocks[i]);
            void* const other = allocate(48);
            mixed = mixed || all.count(other) != 0;
            deallocate(other);
            again = again && allocate(48, c) == blocks[i];
        }
        on_new_thread([&] {
            deallocate(allocate(1));
            for (void* memory : blocks) deallocate(memory, 48, c);
        });
        run_out();
        std::vector<void*> later(1000);
        for (void*& memory : later) memory = allocate(48, c);
        came_back = same_blocks(blocks, later);
        deallocate_all(later);
    });
    CHECK(beside > 900);
    CHECK(again);
    CHECK_FALSE(mixed);
    CHECK(came_back);
}

TEST_CASE("recycler: of several that were freed the last comes first, by whichever function") {
    if (address_sanitizer) return;  // which sees each block for itself
    std::vector<void*> freed, again;
    on_new_thread([&] {
        for (int i = 0; i != 4; ++i) freed.push_back(allocate(100));
        for (std::size_t i = 0; i != 4; ++i) {
            if (i % 2 == 0) deallocate(freed[i], 100);
            else deallocate(freed[i]);
        }
        for (int i = 0; i != 4; ++i) again.push_back(allocate(112));
        for (void* memory : again) deallocate(memory, 112);
        void* const large = allocate(5000);
        freed.insert(freed.begin(), large);
        deallocate(large, 5000);
        again.push_back(allocate(5000));
        deallocate(again.back());
    });
    std::reverse(again.begin(), again.end());
    CHECK(freed == again);
}

TEST_CASE("recycler: the last comes first of however many, whether they are counted or not") {
    if (address_sanitizer) return;
    for (const std::size_t others : {std::size_t{0}, block_cache::max_bytes_kept / 65'000}) {
        bool reversed = false;
        on_new_thread([&] {
            const auto large = allocate_many(others, 65'000);
            auto freed = allocate_many(1000, 100);
            deallocate_all(freed);
            const auto again = allocate_many(1000, 100);
            deallocate_all(again);
            std::reverse(freed.begin(), freed.end());
            reversed = freed == again;
            deallocate_all(large);
        });
        CHECK(reversed);
    }
}

TEST_CASE("recycler: blocks freed on another thread come back") {
    if (address_sanitizer) return;
    for (const std::size_t size :
         {std::size_t{48}, std::size_t{1000}, std::size_t{5000}, block_cache::largest}) {
        bool came_back = false, kept_there = true;
        on_new_thread([&] {
            const auto blocks = allocate_many(50, size);
            on_new_thread([&] {
                deallocate(allocate(1));  // it has a cache as well
                deallocate_all(blocks);
                const auto own = allocate_many(50, size);
                kept_there = std::any_of(own.begin(), own.end(), [&](void* memory) {
                    return std::find(blocks.begin(), blocks.end(), memory) != blocks.end();
                });
                deallocate_all(own);
            });
            run_out();
            const decoys others(size);
            const auto again = allocate_many(50, size);
            came_back = same_blocks(blocks, again);
            deallocate_all(again);
        });
        CHECK(came_back);
        CHECK_FALSE(kept_there);  // they belong to who allocated them
    }
}

TEST_CASE("recycler: a thread gives others' blocks back in chains, and the rest when it rests") {
    if (address_sanitizer) return;
    std::size_t back_at_once = 0, back_in_the_end = 0;
    on_new_thread([&] {
        const auto blocks = allocate_many(40, 48);
        const auto came_back = [&](std::size_t more) {  // of `blocks`, now
            run_out();
            const decoys others(48);
            const auto now = allocate_many(more, 48);
            deallocate_all(now);
            return static_cast<std::size_t>(
                std::count_if(blocks.begin(), blocks.end(), [&](void* memory) {
                    return std::find(now.begin(), now.end(), memory) != now.end();
                }));
        };
        std::atomic<int> step = 0;
        std::thread other([&] {
            deallocate_all(blocks);
            step = 1;
            while (step != 2) std::this_thread::yield();
            give_all_back();
            step = 3;
            while (step != 4) std::this_thread::yield();
        });
        while (step != 1) std::this_thread::yield();
        back_at_once = came_back(100);
        step = 2;
        while (step != 3) std::this_thread::yield();
        back_in_the_end = came_back(200);
        step = 4;
        other.join();
    });
    CHECK(back_at_once == 32);
    CHECK(back_in_the_end == 40);
}

TEST_CASE("recycler: blocks of two sizes that wait in one place go back by size") {
    if (address_sanitizer) return;
    constexpr std::size_t small = 40, large = small + 8 * 64;
    bool large_enough = true;
    on_new_thread([&] {
        const auto some = allocate_many(64, small), others = allocate_many(64, large);
        std::thread([&] {
            for (std::size_t i = 0; i != some.size(); ++i) {
                deallocate(some[i]);
                deallocate(others[i]);
            }
        }).join();
        run_out();
        const auto again = allocate_many(200, large);
        for (void* memory : again)
            large_enough = large_enough && (static_cast<block*>(memory) - 1)->bytes >= large;
        deallocate_all(again);
    });
    CHECK(large_enough);
}

TEST_CASE("recycler: large blocks go back one by one") {
    if (address_sanitizer) return;
    bool came_back = false;
    on_new_thread([&] {
        const auto blocks = allocate_many(1, block_cache::largest);
        std::atomic<int> step = 0;
        std::thread other([&] {
            deallocate_all(blocks);
            step = 1;
            while (step != 2) std::this_thread::yield();
        });
        while (step != 1) std::this_thread::yield();
        run_out();
        const auto again = allocate_many(1, block_cache::largest);
        came_back = again == blocks;
        deallocate_all(again);
        step = 2;
        other.join();
    });
    CHECK(came_back);
}

TEST_CASE("recycler: one that allocates and one that frees use the same few blocks for ever") {
    if (address_sanitizer) return;
    std::set<void*> seen;
    on_new_thread([&] {
        std::deque<decoys> others;
        for (int round = 0; round != 100; ++round) {
            const auto blocks = allocate_many(20, 200);
            seen.insert(blocks.begin(), blocks.end());
            on_new_thread([&] {
                deallocate(allocate(1));  // it has a cache as well
                deallocate_all(blocks);
            });
            run_out();
            if (round % 10 == 0) others.emplace_back(200);
        }
    });
    CHECK(seen.size() == 20);
}

TEST_CASE("recycler: a thread may end while its blocks are in use elsewhere") {
    for (const bool some_were_back : {false, true}) {
        std::vector<void*> blocks, others;
        on_new_thread([&] {
            blocks = allocate_many(100, 300);
            others = allocate_many(10, 70'000);
            if (some_were_back) {
                on_new_thread([&] {  // returned, but not collected before the thread ends
                    for (int i = 0; i != 50; ++i, blocks.pop_back()) deallocate(blocks.back());
                });
                for (int i = 0; i != 10; ++i, blocks.pop_back()) deallocate(blocks.back());
            }
        });
        std::size_t wrong = 0;
        for (void* memory : blocks) {
            const auto* const bytes = static_cast<const unsigned char*>(memory);
            wrong += std::count(bytes, bytes + 300, 0x5a) != 300;
            std::memset(memory, 0, 300);
        }
        CHECK(wrong == 0);
        CHECK(blocks.size() == (some_were_back ? 40u : 100u));
        on_new_thread([&] { deallocate_all(others); });
        deallocate_all(blocks);
    }
}

TEST_CASE("recycler: works after the end of a thread's cache") {
    // A thread_local made before the cache is destroyed after it.
    struct late {
        void* memory = nullptr;
        bool* worked = nullptr;
        ~late() {
            deallocate(memory);  // of the cache that has ended
            void* const again = allocate(128);
            if (worked) *worked = again != nullptr;
            deallocate(again);
        }
    };
    bool worked = false;
    on_new_thread([&] {
        static thread_local late last;
        last.worked = &worked;
        last.memory = allocate(128);
    });
    CHECK(worked);
}

TEST_CASE("recycling_allocator: serves the standard's containers") {
    std::unordered_map<int, std::string, std::hash<int>, std::equal_to<int>,
                       recycling_allocator<std::pair<const int, std::string>>>
        map;
    for (int i = 0; i != 1000; ++i) map[i] = std::to_string(i);
    for (int i = 0; i != 1000; i += 2) map.erase(i);
    CHECK(map.size() == 500);
    CHECK(map.at(999) == "999");
    const std::vector<int, recycling_allocator<int>> v(100'000, 7);  // more than is recycled
    CHECK(std::count(v.begin(), v.end(), 7) == 100'000);
    CHECK(recycling_allocator<int>() == recycling_allocator<int>(recycling_allocator<long>()));
}
