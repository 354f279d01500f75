#include "../support/catch.hpp"

#include <posthaste/detail/concurrentqueue.hpp>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

using posthaste::detail::shared_queue;

TEST_CASE("shared_queue: gives back what one thread put, in its order") {
    std::array<int, 3> items{};
    shared_queue<int> queue;
    CHECK(queue.take() == nullptr);
    for (auto& item : items) REQUIRE(queue.put(&item));
    CHECK(queue.size_hint() == 3);
    for (auto& item : items) CHECK(queue.take() == &item);
    CHECK(queue.take() == nullptr);
}

TEST_CASE("shared_queue: a reader takes one or many") {
    std::array<int, 100> items{};
    shared_queue<int> queue{items.size()};
    shared_queue<int>::reader reader{queue};
    CHECK(reader.take() == nullptr);
    for (auto& item : items) REQUIRE(queue.put(&item));

    CHECK(reader.take() == &items[0]);
    std::array<int*, 100> out{};
    CHECK(reader.take(out.data(), 9) == 9);
    CHECK(out[8] == &items[9]);
    std::size_t count = 0;
    while (const auto n = queue.take(out.data() + count, out.size() - count)) count += n;
    CHECK(count == 90);
    CHECK(out[89] == &items[99]);
}

TEST_CASE("shared_queue: every item put by several threads is taken once") {
    constexpr int producers = 3, each = 20'000;
    struct item {
        int plain = 0;  // unsynchronised: put() must have published it
        std::atomic<int> taken{0};
    };
    std::vector<item> items(producers * each);
    shared_queue<item> queue;
    std::atomic<int> left{producers * each}, refused{0}, unseen{0};
    std::vector<std::thread> threads;
    for (int p = 0; p != producers; ++p) {
        threads.emplace_back([&, p] {
            for (int i = p * each; i != (p + 1) * each; ++i) {
                auto& next = items[static_cast<std::size_t>(i)];
                next.plain = 1;
                if (!queue.put(&next)) refused.fetch_add(1), left.fetch_sub(1);
            }
        });
    }
    for (int c = 0; c != 2; ++c) {
        threads.emplace_back([&] {
            shared_queue<item>::reader reader{queue};
            while (left.load() > 0) {
                auto* next = reader.take();
                if (!next) {
                    std::this_thread::yield();
                    continue;
                }
                if (next->plain != 1) unseen.fetch_add(1);
                next->taken.fetch_add(1);
                left.fetch_sub(1);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(refused.load() == 0);
    CHECK(unseen.load() == 0);
    std::size_t once = 0;
    for (auto& i : items) once += i.taken.load() == 1;
    CHECK(once == items.size());
}
