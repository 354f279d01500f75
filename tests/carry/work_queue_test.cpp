#include "../support/catch.hpp"

#include <posthaste/carry/work_queue.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <set>

using namespace posthaste;
using put_result = work_queue::put_result;

TEST_CASE("work_queue: sends a reader with each letter, up to n, then queues") {
    work_queue queue(2);
    std::array<letter, 4> letters;
    CHECK(queue.idle());
    CHECK(queue.put(letters[0]) == put_result::claimed);
    CHECK(queue.put(letters[1]) == put_result::claimed);
    CHECK(queue.put(letters[2]) == put_result::queued);
    CHECK(queue.put(letters[3]) == put_result::queued);
    CHECK_FALSE(queue.idle());
}

TEST_CASE("work_queue: gives every letter once, in whatever order") {
    work_queue queue(4);
    std::array<letter, 100> letters;
    for (auto& l : letters) CHECK(queue.put(l) != put_result::refused);
    std::set<letter*> taken;
    for (std::size_t i = 0; i != letters.size(); ++i) taken.insert(queue.take());
    CHECK(taken.size() == letters.size());
    CHECK(*taken.begin() == &letters.front());
    CHECK(*taken.rbegin() == &letters.back());
    CHECK(queue.take() == nullptr);
}

TEST_CASE("work_queue: a reader leaves only where nothing is left") {
    work_queue queue(1);
    std::array<letter, 2> letters;
    CHECK(queue.put(letters[0]) == put_result::claimed);
    CHECK_FALSE(queue.release());
    CHECK(queue.take());
    CHECK(queue.put(letters[1]) == put_result::queued);
    CHECK_FALSE(queue.release());
    CHECK(queue.take());
    CHECK_FALSE(queue.idle());
    CHECK(queue.release());
    CHECK(queue.idle());
    CHECK(queue.put(letters[0]) == put_result::claimed);
}

TEST_CASE("work_queue: claim() is for up to n, while nothing is queued") {
    work_queue queue(2);
    letter l;
    CHECK(queue.claim());
    CHECK(queue.claim());
    CHECK_FALSE(queue.claim());
    CHECK(queue.put(l) == put_result::queued);  // both readers are about
    CHECK_FALSE(queue.release());
    CHECK(queue.take() == &l);
    CHECK(queue.release());
    CHECK(queue.claim());
    CHECK(queue.release());
    CHECK(queue.release());
    CHECK(queue.idle());

    CHECK(queue.put(l) == put_result::claimed);
    CHECK_FALSE(queue.claim());  // room for a reader, but a letter would be passed by
}

TEST_CASE("work_queue: shut it refuses, and gives what is there") {
    work_queue queue(3);
    std::array<letter, 3> letters;
    CHECK(queue.put(letters[0]) == put_result::claimed);
    CHECK(queue.put(letters[1]) == put_result::claimed);
    queue.shut();
    queue.shut();
    CHECK(queue.put(letters[2]) == put_result::refused);
    CHECK_FALSE(queue.claim());
    CHECK_FALSE(queue.idle());
    CHECK(queue.take());
    CHECK(queue.take());
    CHECK(queue.take() == nullptr);
    CHECK(queue.release());
    CHECK_FALSE(queue.idle());
    CHECK(queue.release());
    CHECK(queue.idle());
    CHECK(queue.put(letters[2]) == put_result::refused);
    CHECK_FALSE(queue.claim());
}

TEST_CASE("work_queue: someone who is no reader may take as well") {
    work_queue queue(1);
    std::array<letter, 2> letters;
    CHECK(queue.put(letters[0]) == put_result::claimed);
    CHECK(queue.put(letters[1]) == put_result::queued);
    CHECK(queue.take());
    CHECK(queue.take());
    CHECK(queue.take() == nullptr);
    CHECK_FALSE(queue.idle());  // the reader that was counted is still to come, and finds nothing
    CHECK(queue.release());
    CHECK(queue.idle());
}

TEST_CASE("work_queue: counts as many readers as anybody could want") {
    constexpr std::uint32_t many = 65'536;
    work_queue queue(many);
    std::uint32_t claimed = 0;
    while (queue.claim()) ++claimed;
    CHECK(claimed == many);
    letter l;
    CHECK(queue.put(l) == put_result::queued);
    CHECK(queue.take() == &l);
    queue.shut();
    for (std::uint32_t i = 0; i != many; ++i) {
        if (!queue.release()) break;
        --claimed;
    }
    CHECK(claimed == 0);
    CHECK(queue.idle());
}

TEST_CASE("work_queue: behaves as a bag with up to n readers, whatever the order of steps") {
    std::uint64_t random = 1;
    const auto draw = [&](std::uint64_t n) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return (random >> 33) % n;
    };
    for (std::uint32_t max = 1; max != 20; ++max) {
        work_queue queue(max);
        std::deque<letter> letters;
        std::set<letter*> model;
        std::uint32_t readers = 0;
        int wrong = 0;
        for (int step = 0; step != 1000; ++step) {
            switch (draw(5)) {
                case 0:
                case 1: {
                    letter& l = letters.emplace_back();
                    const bool sends_one = readers < max;
                    wrong += queue.put(l) != (sends_one ? put_result::claimed : put_result::queued);
                    readers += sends_one;
                    model.insert(&l);
                    break;
                }
                case 2: {
                    letter* const l = queue.take();
                    wrong += l ? model.erase(l) != 1 : !model.empty();
                    break;
                }
                case 3:
                    if (readers != 0) {
                        wrong += queue.release() != model.empty();
                        readers -= model.empty();
                    }
                    break;
                default: {
                    const bool free = model.empty() && readers < max;
                    wrong += queue.claim() != free;
                    readers += free;
                }
            }
            wrong += queue.idle() != (model.empty() && readers == 0);
        }
        CHECK(wrong == 0);
    }
}
