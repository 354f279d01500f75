// Blocks allocated on one thread and freed on another, also while the first one ends; and what of
// it reaches operator new and delete.
#include "../support/race.hpp"

#include <posthaste/detail/recycler.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
std::atomic<long> news = 0, deletes = 0;  // relaxed: read when all is at rest
thread_local long deletes_here = 0;

void* counted(void* memory) noexcept {
    if (memory) news.fetch_add(1, std::memory_order_relaxed);
    return memory;
}
void* obtained(void* memory) noexcept {
    if (!memory) std::abort();
    return counted(memory);
}
void given_back(void* memory) noexcept {
    if (!memory) return;
    deletes.fetch_add(1, std::memory_order_relaxed);
    ++deletes_here;
    std::free(memory);
}
void* aligned(std::size_t size, std::align_val_t a) noexcept {
    const auto n = static_cast<std::size_t>(a);
    return std::aligned_alloc(n, (size + n - 1) / n * n);
}
}  // namespace

// Weak: clang's sanitizers link their own instead, and then nothing is counted.
[[gnu::weak]] void* operator new(std::size_t n) { return obtained(std::malloc(n)); }
[[gnu::weak]] void* operator new[](std::size_t n) { return obtained(std::malloc(n)); }
[[gnu::weak]] void* operator new(std::size_t n, std::align_val_t a) {
    return obtained(aligned(n, a));
}
[[gnu::weak]] void* operator new[](std::size_t n, std::align_val_t a) {
    return obtained(aligned(n, a));
}
[[gnu::weak]] void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
    return counted(std::malloc(n));
}
[[gnu::weak]] void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
    return counted(std::malloc(n));
}
[[gnu::weak]] void* operator new(std::size_t n, std::align_val_t a,
                                 const std::nothrow_t&) noexcept {
    return counted(aligned(n, a));
}
[[gnu::weak]] void* operator new[](std::size_t n, std::align_val_t a,
                                   const std::nothrow_t&) noexcept {
    return counted(aligned(n, a));
}
[[gnu::weak]] void operator delete(void* p) noexcept { given_back(p); }
[[gnu::weak]] void operator delete[](void* p) noexcept { given_back(p); }
[[gnu::weak]] void operator delete(void* p, std::size_t) noexcept { given_back(p); }
[[gnu::weak]] void operator delete[](void* p, std::size_t) noexcept { given_back(p); }
[[gnu::weak]] void operator delete(void* p, std::align_val_t) noexcept { given_back(p); }
[[gnu::weak]] void operator delete[](void* p, std::align_val_t) noexcept { given_back(p); }
[[gnu::weak]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
    given_back(p);
}
[[gnu::weak]] void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
    given_back(p);
}
[[gnu::weak]] void operator delete(void* p, const std::nothrow_t&) noexcept { given_back(p); }
[[gnu::weak]] void operator delete[](void* p, const std::nothrow_t&) noexcept { given_back(p); }
[[gnu::weak]] void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept {
    given_back(p);
}
[[gnu::weak]] void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept {
    given_back(p);
}

namespace {
mistakes wrong;
constexpr std::size_t size = 200;  // of a slab
constexpr std::size_t large = 2000;  // not of one

/// Hands blocks from one thread to another. The way back orders nothing: only the recycler does.
class belt {
public:
    static constexpr std::size_t length = 64;
    void put(void* block) noexcept {
        auto& slot = slots_[in_++ % length];
        while (slot.load(std::memory_order_relaxed)) std::this_thread::yield();
        slot.store(block, std::memory_order_release);
    }
    void* take() noexcept {
        auto& slot = slots_[out_++ % length];
        void* block = nullptr;
        while (!(block = slot.load(std::memory_order_acquire))) std::this_thread::yield();
        slot.store(nullptr, std::memory_order_relaxed);
        return block;
    }

private:
    std::array<std::atomic<void*>, length> slots_{};
    std::size_t in_ = 0, out_ = 0;  // each of one side
};

void* fresh(unsigned char mark, std::size_t bytes = size) noexcept {
    void* const block = detail::allocate(bytes);
    std::memset(block, mark, bytes);
    return block;
}
void read_and_free(void* block, std::size_t count = size) noexcept {
    auto* const bytes = static_cast<unsigned char*>(block);
    bool same = true;
    for (std::size_t i = 0; i != count; ++i) same = same && bytes[i] == bytes[0];
    wrong.expect(same, "somebody else has written into a block");
    std::memset(block, 0, count);
    detail::deallocate(block);
}

/// In the steady state nothing reaches operator new: both ways at once, cross-thread.
long steady_state(int blocks) {
    belt there, back;
    std::atomic<int> warm = 0;
    std::array<long, 2> used{};
    const auto side = [&](belt& out, belt& in, unsigned char mark) {
        std::array<void*, 2 * belt::length> some{};  // as many as can be under way
        for (void*& b : some) b = fresh(mark);
        for (void* b : some) detail::deallocate(b);
        warm.fetch_add(1);
        while (warm.load() < 2) std::this_thread::yield();
        const long before = news.load(std::memory_order_relaxed);
        for (int i = 0; i != blocks; ++i) {
            out.put(fresh(mark));
            read_and_free(in.take());
        }
        used[mark] = news.load(std::memory_order_relaxed) - before;
        warm.fetch_add(1);
        while (warm.load() < 4) std::this_thread::yield();  // nobody ends while the other counts
    };
    std::thread one([&] { side(there, back, 0); });
    std::thread other([&] { side(back, there, 1); });
    one.join();
    other.join();
    return used[0] + used[1];
}

bool counting_works() {
    const long before = news.load(std::memory_order_relaxed);
    ::operator delete(::operator new(1));
    return news.load(std::memory_order_relaxed) == before + 1;
}

/// What is freed and allocated after the end of a thread's cache is given back as well.
void outlives_its_cache(std::size_t in_use, std::size_t free) {
    struct late {
        void* memory = nullptr;
        std::vector<void*> more;
        ~late() {
            detail::deallocate(memory);
            for (void* b : more) detail::deallocate(b, size);
            for (int i = 0; i != 3; ++i) detail::deallocate(detail::allocate(size));
        }
    };
    static thread_local late last;  // made before the cache, so destroyed after it
    last.memory = detail::allocate(size);
    for (std::size_t i = 0; i != in_use; ++i) last.more.push_back(fresh(1));
    std::vector<void*> blocks(free);
    for (void*& b : blocks) b = fresh(2);
    for (void* b : blocks) read_and_free(b);
}

/// What one thread keeps has a bound.
void keeps_no_more_than_it_should() {
    std::vector<void*> blocks(1024);
    for (void*& b : blocks) b = detail::allocate(detail::block_cache::largest);
    const long before = deletes_here;
    for (void* b : blocks) detail::deallocate(b);
    wrong.expect(deletes_here - before == 512, "it does not keep 32 MiB of 64");
}
/// So has what it keeps of slabs: what a burst needed once is given back, slab by slab.
void gives_slabs_back() {
    constexpr std::size_t bytes = 1008, count = 64 * 1024;  // 64 MiB
    std::vector<void*> blocks(count);
    for (int burst = 0; burst != 3; ++burst) {
        const long before = news.load(std::memory_order_relaxed), freed = deletes_here;
        for (void*& b : blocks) b = fresh(0, bytes);
        const long needed = news.load(std::memory_order_relaxed) - before;
        for (void* b : blocks) read_and_free(b, bytes);
        const long given_back = deletes_here - freed;
        // slabs hold 63 of these; the first ones hold fewer
        constexpr long all = count / 63, half = all / 2;
        if (burst == 0) wrong.expect(needed >= all && needed < all + 10, "slabs are too small");
        else wrong.expect(needed >= half - 2 && needed < half + 10, "it kept less than 32 MiB");
        wrong.expect(given_back >= half - 2 && given_back < half + 10,
                     "what a burst needed is not given back");
    }
}
/// What was freed when there were few is counted when there are many.
void counts_what_it_kept_before() {
    constexpr std::size_t few = 896, more = 1008, mib = 1024 * 1024;
    std::vector<void*> before(20 * mib / (few + 64)), later(30 * mib / (more + 16));
    for (int round = 0; round != 2; ++round) {
        for (void*& b : before) b = fresh(1, few);
        const long freed = deletes_here;
        for (void* b : before) read_and_free(b, few);
        wrong.expect(round != 0 || deletes_here == freed, "it does not keep 20 MiB");
        for (void*& b : later) b = fresh(2, more);
        for (void* b : later) read_and_free(b, more);
        const long given_back = (deletes_here - freed) / 16;  // slabs have 64 KiB
        wrong.expect(given_back >= 17 && given_back <= 19, "it does not keep 32 MiB of 50");
    }
}
/// A slab whose blocks are freed by two threads after its owner has ended.
void slab_outlives_its_owner(unsigned rounds) {
    for (unsigned round = 0; round != rounds; ++round) {
        std::array<void*, 6> blocks{};
        std::thread([&] {
            for (void*& b : blocks) b = fresh(1);
        }).join();
        const auto free_some = [&](std::size_t begin, std::size_t end, unsigned when) {
            for (std::size_t i = begin; i != end; ++i) {
                stumble(scatter(round, when));
                read_and_free(blocks[i]);
                detail::give_all_back();
            }
        };
        const std::size_t share = 1 + round % 5;
        std::thread other([&] { free_some(0, share, 1); });
        free_some(share, blocks.size(), 2);
        other.join();
    }
}
}  // namespace

int main() {
    outcome returned("returned to a thread that lived"),
        orphaned("freed for a thread that had ended"),
        outlived("a cache whose last block came back after its thread"),
        slab_outlived("a slab whose last block did"),
        recycled("blocks handed over without operator new");
    const bool counts = counting_works();
    const bool recycles = counts && !detail::address_sanitizer;  // which wants to see each block

    detail::deallocate(detail::allocate(size));  // this thread has a cache, which outlasts main()
    const long leaked = news.load() - deletes.load();
    std::thread([&] {
        if (recycles) keeps_no_more_than_it_should();
    }).join();
    std::thread([&] {
        if (recycles) gives_slabs_back();
    }).join();
    std::thread([&] {
        if (recycles) counts_what_it_kept_before();
    }).join();
    slab_outlives_its_owner(1'000);
    std::thread(outlives_its_cache, 0, 0).join();
    constexpr std::size_t bytes_each = 20 * 1024 * 1024, each = bytes_each / size;
    std::thread(outlives_its_cache, each, each).join();  // with them it had more than it keeps

    constexpr int blocks = 30'000;
    const long used = steady_state(blocks);
    if (recycles) {
        wrong.expect(used == 0, "operator new was called in the steady state");
        recycled.count.store(2 * blocks - used);
    }

    // Threads that end while their blocks come back.
    const auto seen = [&] {
        return !recycles || all_seen(returned, orphaned, outlived, slab_outlived);
    };
    for (unsigned round = 0; round < 1'000 || (!seen() && round < 100'000); ++round) {
        belt out;
        const unsigned count = 1 + scatter(round, 3) % 40;
        const bool of_slab = round % 4 > 1;
        const std::size_t bytes = of_slab ? size : large;
        std::thread owner([&] {
            for (unsigned i = 0; i != count; ++i) {
                out.put(fresh(static_cast<unsigned char>(i), bytes));
                stumble(scatter(round, i + 50));
            }
        });
        for (unsigned i = 0; i != count; ++i) {
            const long so_far = deletes_here;
            read_and_free(out.take(), bytes);
            if (round % 2 == 0) detail::give_all_back();
            stumble(scatter(round, i));
            const long freed = deletes_here - so_far;
            if (freed == 0 && !of_slab) returned.seen();
            if (freed != 0 && !of_slab) orphaned.seen();
            // the block, or its slab, and with it the cache
            if (freed == 2) (of_slab ? slab_outlived : outlived).seen();
        }
        owner.join();
    }
    detail::give_all_back();

    wrong.expect(!counts || news.load() - deletes.load() == leaked,
                 "not all that was taken was given back");
    if (!recycles) return wrong.any() ? 1 : 0;
    return summary(wrong, returned, orphaned, outlived, slab_outlived, recycled);
}
