#include "../support/catch.hpp"

#include <posthaste/carry/work_queue.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

using namespace posthaste;
using put_result = work_queue::put_result;

static int taken = 0;
static void count() { ++taken; }

TEST_CASE("work_queue: sends a reader with a letter, and by that one up to n, then queues") {
    work_queue queue(3);
    std::array<letter, 5> letters;
    bool one_more = true;
    taken = 0;
    CHECK(queue.idle());
    CHECK(queue.put(letters[0]) == put_result::claimed);
    CHECK(queue.put(letters[1]) == put_result::queued);  // the first reader is on its way
    CHECK(queue.take(one_more, count) == &letters[0]);
    CHECK(one_more);
    CHECK(queue.take(one_more, count) == &letters[1]);
    CHECK_FALSE(one_more);
    CHECK(queue.put(letters[2]) == put_result::claimed);  // the third
    CHECK(queue.put(letters[3]) == put_result::queued);
    CHECK(queue.take(one_more, count) == &letters[2]);
    CHECK_FALSE(one_more);  // all are there
    CHECK(queue.put(letters[4]) == put_result::queued);
    CHECK_FALSE(queue.idle());
    CHECK(taken == 3);
}

TEST_CASE("work_queue: gives every letter once, the oldest first") {
    work_queue queue(4);
    std::array<letter, 100> letters;
    for (auto& l : letters) CHECK(queue.put(l) != put_result::refused);
    for (auto& l : letters) CHECK(queue.take_beside() == &l);
    CHECK(queue.take_beside() == nullptr);
}

TEST_CASE("work_queue: a reader leaves only where nothing is left") {
    work_queue queue(1);
    std::array<letter, 2> letters;
    CHECK(queue.put(letters[0]) == put_result::claimed);
    CHECK_FALSE(queue.release());
    CHECK(queue.take_beside());
    CHECK(queue.put(letters[1]) == put_result::queued);
    CHECK_FALSE(queue.release());
    CHECK(queue.take_beside());
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
    CHECK(queue.take_beside() == &l);
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
    bool one_more = false;
    CHECK(queue.put(letters[0]) == put_result::claimed);
    CHECK(queue.put(letters[1]) == put_result::queued);
    queue.shut();
    queue.shut();
    CHECK(queue.put(letters[2]) == put_result::refused);
    CHECK_FALSE(queue.claim());
    CHECK_FALSE(queue.idle());
    CHECK(queue.take(one_more, count));
    CHECK(one_more);
    CHECK(queue.take(one_more, count));
    taken = 0;
    CHECK(queue.take(one_more, count) == nullptr);
    CHECK(taken == 0);
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
    CHECK(queue.take_beside());
    CHECK(queue.take_beside());
    CHECK(queue.take_beside() == nullptr);
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
    CHECK(queue.take_beside() == &l);
    queue.shut();
    for (std::uint32_t i = 0; i != many; ++i) {
        if (!queue.release()) break;
        --claimed;
    }
    CHECK(claimed == 0);
    CHECK(queue.idle());
}

TEST_CASE("work_queue: no letter waits while a place is free, whatever the order of steps") {
    std::uint64_t random = 1;
    const auto draw = [&](std::uint64_t n) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return (random >> 33) % n;
    };
    for (std::uint32_t max = 1; max != 20; ++max) {
        work_queue queue(max);
        std::deque<letter> letters;
        std::deque<letter*> waiting;
        std::uint32_t coming = 0, busy = 0;  // readers about to look; at a letter, or a call
        int wrong = 0;
        for (int step = 0; step != 4000; ++step) {
            switch (draw(6)) {
                case 0: {
                    letter& l = letters.emplace_back();
                    coming += queue.put(l) == put_result::claimed;
                    waiting.push_back(&l);
                    break;
                }
                case 1:
                case 2: {  // a reader looks
                    if (coming == 0) break;
                    bool one_more = false;
                    letter* const l = queue.take(one_more, count);
                    wrong += l != (waiting.empty() ? nullptr : waiting.front());
                    --coming;
                    if (l) {
                        waiting.pop_front();
                        ++busy;
                        coming += one_more;
                    } else {
                        wrong += one_more || !queue.release();
                    }
                    break;
                }
                case 3:  // a reader is done with a letter
                    if (busy == 0) break;
                    --busy;
                    coming += !queue.release();
                    break;
                case 4:
                    if (queue.claim()) {
                        wrong += !waiting.empty();
                        ++busy;
                    } else {
                        wrong += waiting.empty() && coming == 0 && busy < max;
                    }
                    break;
                default: {
                    letter* const l = queue.take_beside();
                    wrong += l != (waiting.empty() ? nullptr : waiting.front());
                    if (l) waiting.pop_front();
                }
            }
            wrong += coming + busy > max;
            wrong += !waiting.empty() && coming == 0 && busy != max;
            wrong += queue.idle() != (waiting.empty() && coming + busy == 0);
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("work_queue: what senders count takes no line more than the word they write to") {
    work_queue queue(1);
    const auto at = reinterpret_cast<std::uintptr_t>(&queue.counts()) % detail::cache_line;
    CHECK(at != 0);  // there is the word
    CHECK(at + sizeof(senders_counts) <= detail::cache_line);
}
