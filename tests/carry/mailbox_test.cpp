#include "../support/catch.hpp"

#include <posthaste/carry/mailbox.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

using namespace posthaste;
using put_result = mailbox::put_result;

TEST_CASE("mailbox: the first letter claims, those behind it are queued") {
    mailbox box;
    std::array<letter, 3> letters;
    CHECK(box.idle());
    CHECK(box.put(letters[0]) == put_result::claimed);
    CHECK_FALSE(box.idle());
    CHECK(box.put(letters[1]) == put_result::queued);
    CHECK(box.put(letters[2]) == put_result::queued);
}

TEST_CASE("mailbox: letters come out in the order they were put in") {
    mailbox box;
    std::array<letter, 100> letters;
    for (auto& l : letters) CHECK(box.put(l) != put_result::refused);
    for (auto& l : letters) CHECK(box.take() == &l);
    CHECK(box.take() == nullptr);
}

TEST_CASE("mailbox: several are put in one step, behind those that are there") {
    mailbox box;
    std::array<letter, 7> letters;
    const auto put = [&](std::size_t oldest, std::size_t newest) {
        for (std::size_t i = newest; i != oldest; --i) letters[i].next = &letters[i - 1];
        return box.put(letters[newest], letters[oldest]);
    };
    CHECK(put(0, 2) == put_result::claimed);
    CHECK(box.put(letters[3]) == put_result::queued);
    CHECK(put(4, 5) == put_result::queued);
    for (std::size_t i = 0; i != 6; ++i) CHECK(box.take() == &letters[i]);
    CHECK(box.take() == nullptr);
    CHECK(put(6, 6) == put_result::queued);
    CHECK(box.take() == &letters[6]);
    CHECK(box.release());
    box.shut();
    CHECK(put(0, 1) == put_result::refused);
}

TEST_CASE("mailbox: a letter that was taken leads to one that is read some steps later") {
    mailbox box;
    struct alignas(16) note : letter {};
    std::array<note, 20> letters;
    for (note& l : letters) box.put(l);
    for (std::size_t i = 0; i != letters.size(); ++i) {
        const letter* const l = box.take();
        REQUIRE(l == &letters[i]);
        const std::size_t later = i + 4 < letters.size() ? i + 4 : i;
        CHECK(detail::end_of_trail(l, l->trail) == &letters[later]);
    }
}

TEST_CASE("mailbox: the order holds across several takings") {
    mailbox box;
    std::array<letter, 6> letters;
    CHECK(box.put(letters[0]) == put_result::claimed);
    CHECK(box.put(letters[1]) == put_result::queued);
    CHECK(box.take() == &letters[0]);
    CHECK(box.put(letters[2]) == put_result::queued);  // while letters[1] is taken out already
    CHECK(box.put(letters[3]) == put_result::queued);
    CHECK(box.take() == &letters[1]);
    CHECK(box.take() == &letters[2]);
    CHECK(box.put(letters[4]) == put_result::queued);
    CHECK(box.take() == &letters[3]);
    CHECK(box.take() == &letters[4]);
    CHECK(box.take() == nullptr);
    CHECK(box.put(letters[5]) == put_result::queued);  // the claim is held still
    CHECK(box.take() == &letters[5]);
}

TEST_CASE("mailbox: what is put where it is read lies behind what was taken, or put elsewhere") {
    mailbox box;
    std::array<letter, 8> letters;
    CHECK(box.put_here(letters[0]) == put_result::claimed);
    CHECK_FALSE(box.queued());  // it counts as taken
    CHECK_FALSE(box.is_free());
    CHECK(box.put_here(letters[1]) == put_result::queued);
    CHECK_FALSE(box.release());
    CHECK(box.put(letters[2]) == put_result::queued);
    CHECK(box.put_here(letters[3]) == put_result::queued);
    CHECK(box.queued());
    for (std::size_t i = 0; i != 3; ++i) CHECK(box.take() == &letters[i]);
    CHECK(box.put_here(letters[4]) == put_result::queued);
    CHECK(box.put(letters[5]) == put_result::queued);
    for (std::size_t i = 3; i != 6; ++i) CHECK(box.take() == &letters[i]);
    CHECK(box.take() == nullptr);
    CHECK(box.put_here(letters[6]) == put_result::queued);  // the claim is held still
    box.shut();
    CHECK(box.put_here(letters[7]) == put_result::refused);
    CHECK(box.take() == &letters[6]);
    CHECK(box.take() == nullptr);
    CHECK(box.release());
    CHECK(box.put_here(letters[7]) == put_result::refused);
}

TEST_CASE("mailbox: the claim is given up only where nothing is left") {
    mailbox box;
    std::array<letter, 3> letters;
    CHECK(box.put(letters[0]) == put_result::claimed);
    CHECK_FALSE(box.release());
    CHECK(box.put(letters[1]) == put_result::queued);
    CHECK(box.take() == &letters[0]);
    CHECK_FALSE(box.release());  // one is taken out of the word, but not yet read
    CHECK(box.take() == &letters[1]);
    CHECK(box.put(letters[2]) == put_result::queued);
    CHECK_FALSE(box.release());  // one is in the word
    CHECK(box.take() == &letters[2]);
    CHECK(box.release());
    CHECK(box.idle());
    CHECK(box.put(letters[0]) == put_result::claimed);
}

TEST_CASE("mailbox: claim() is for one, while it is idle") {
    mailbox box;
    letter l;
    CHECK(box.is_free());
    CHECK(box.claim());
    CHECK_FALSE(box.is_free());
    CHECK_FALSE(box.claim());
    CHECK_FALSE(box.idle());
    CHECK(box.put(l) == put_result::queued);
    CHECK_FALSE(box.claim());
    CHECK(box.take() == &l);
    CHECK(box.release());
    CHECK(box.claim());
    CHECK(box.release());
}

TEST_CASE("mailbox: shut it refuses, and gives what is there") {
    mailbox box;
    std::array<letter, 3> letters;
    CHECK(box.put(letters[0]) == put_result::claimed);
    CHECK(box.put(letters[1]) == put_result::queued);
    box.shut();
    CHECK(box.put(letters[2]) == put_result::refused);
    CHECK_FALSE(box.idle());
    CHECK(box.take() == &letters[0]);
    CHECK_FALSE(box.release());
    CHECK(box.take() == &letters[1]);
    CHECK(box.take() == nullptr);
    CHECK(box.put(letters[2]) == put_result::refused);
    CHECK(box.release());
    CHECK(box.idle());
    CHECK(box.put(letters[2]) == put_result::refused);
    CHECK_FALSE(box.claim());
}

TEST_CASE("mailbox: shut while idle, or twice, it stays shut") {
    mailbox box;
    letter l;
    box.shut();
    box.shut();
    CHECK(box.idle());
    CHECK_FALSE(box.claim());
    CHECK(box.put(l) == put_result::refused);
    CHECK(l.next == nullptr);
}

TEST_CASE("mailbox: behaves as a queue with a claim, whatever the order of steps") {
    std::uint64_t random = 1;
    const auto draw = [&](std::uint64_t n) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return (random >> 33) % n;
    };
    for (int run = 0; run != 200; ++run) {
        mailbox box;
        std::deque<letter> letters;
        std::deque<letter*> model;
        bool claimed = false, shut = false;
        int wrong = 0;
        for (int step = 0; step != 200; ++step) {
            const auto what = draw(step == 150 ? 5 : 4);
            switch (what) {
                case 0:
                case 1: {
                    letter& l = letters.emplace_back();
                    const auto expected = shut      ? put_result::refused
                                          : claimed ? put_result::queued
                                                    : put_result::claimed;
                    wrong += (what == 0 ? box.put(l) : box.put_here(l)) != expected;
                    if (!shut) model.push_back(&l), claimed = true;
                    break;
                }
                case 2:
                    if (claimed) {
                        letter* const expected = model.empty() ? nullptr : model.front();
                        if (expected) model.pop_front();
                        wrong += box.take() != expected;
                    } else if (!shut) {
                        wrong += !box.claim();
                        claimed = true;
                    }
                    break;
                case 3:
                    if (claimed) {
                        wrong += box.release() != model.empty();
                        claimed = !model.empty();
                    }
                    break;
                default: box.shut(), shut = true;
            }
            wrong += box.idle() == claimed;
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE(
    "mailbox: claim_soon() waits for a reader who has nothing queued, and no longer than said") {
    mailbox box;
    letter l;
    CHECK(box.claim_soon(1));
    CHECK_FALSE(box.claim_soon(0));
    CHECK_FALSE(box.claim_soon(3));  // nobody goes
    std::atomic<bool> waits = false;
    bool released = false;
    std::thread reader([&] {
        while (!waits.load(std::memory_order_relaxed)) std::this_thread::yield();
        released = box.release();
    });
    waits.store(true, std::memory_order_relaxed);
    while (!box.claim_soon(100)) {}
    reader.join();
    CHECK(released);
    CHECK_FALSE(box.queued());
    CHECK(box.put(l) == mailbox::put_result::queued);
    CHECK(box.queued());
    CHECK_FALSE(box.claim_soon(1'000'000'000));  // at once: a letter would be passed by
    CHECK(box.take() == &l);
    CHECK_FALSE(box.queued());
    CHECK(box.release());
    box.shut();
    CHECK_FALSE(box.queued());
    CHECK_FALSE(box.claim_soon(1'000'000'000));
}

TEST_CASE("mailbox: what senders count takes no line more than the word they write to") {
    mailbox queue;
    const auto at = reinterpret_cast<std::uintptr_t>(&queue.counts()) % detail::cache_line;
    CHECK(at != 0);  // there is the word
    CHECK(at + sizeof(senders_counts) <= detail::cache_line);
}
