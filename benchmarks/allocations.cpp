// Every form of operator new and delete, counted.  SPDX-License-Identifier: BSL-1.0
#include "allocations.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

// Each thread has a counter of its own, so that contenders that allocate on several threads do not
// pay for being counted; were there more threads than counters, some would share one.
struct alignas(64) counter {
    std::atomic<std::uint64_t> n = 0;
};
constinit std::array<counter, 64> counters;
constinit std::atomic<std::size_t> threads = 0;

void count() noexcept {
    thread_local const std::size_t mine = threads.fetch_add(1, std::memory_order_relaxed);
    counters[mine % counters.size()].n.fetch_add(1, std::memory_order_relaxed);
}
void* counted(std::size_t size) noexcept {
    count();
    return std::malloc(size == 0 ? 1 : size);
}
void* counted(std::size_t size, std::align_val_t alignment) noexcept {
    count();
    const auto a = static_cast<std::size_t>(alignment);
    return std::aligned_alloc(a, (size + a - 1) / a * a);
}
template <typename... Alignment>
void* counted_or_throw(std::size_t size, Alignment... alignment) {
    if (void* memory = counted(size, alignment...)) return memory;
    throw std::bad_alloc();
}

}  // namespace

std::uint64_t allocations() noexcept {
    std::uint64_t sum = 0;
    for (const counter& c : counters) sum += c.n.load(std::memory_order_relaxed);
    return sum;
}

void* operator new(std::size_t n) { return counted_or_throw(n); }
void* operator new[](std::size_t n) { return counted_or_throw(n); }
void* operator new(std::size_t n, std::align_val_t a) { return counted_or_throw(n, a); }
void* operator new[](std::size_t n, std::align_val_t a) { return counted_or_throw(n, a); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return counted(n); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return counted(n); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
    return counted(n, a);
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
    return counted(n, a);
}

void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept { std::free(p); }
