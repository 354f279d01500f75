// A pool goes as soon as it has run what a thread from outside posted, be that thread still in it.
#include <posthaste/run/thread_pool.hpp>

#include <atomic>
#include <cstdio>
#include <memory>
#include <thread>

using namespace posthaste;

namespace {

struct job : work {
    job() noexcept {
        run = [](work& w) noexcept {
            static_cast<job&>(w).ran.store(true, std::memory_order_relaxed);
        };
    }
    std::atomic<bool> ran = false;  // relaxed: orders nothing
};

}  // namespace

int main() {
    constexpr int rounds = 200;
    for (int i = 0; i != rounds; ++i) {
        auto pool = std::make_unique<thread_pool>(1);
        job j;
        std::thread visitor([&j, &to = *pool] { to.post(j); });
        while (!j.ran.load(std::memory_order_relaxed)) std::this_thread::yield();
        pool.reset();
        visitor.join();
    }
    std::printf("%d pools\n", rounds);
    return 0;
}
