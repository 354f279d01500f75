// Several senders and up to n readers: never more than n at a time, and every letter that was
// accepted is read once, also where it is shut in the middle and somebody takes beside the readers.
#include "../support/race.hpp"

#include <posthaste/carry/work_queue.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <thread>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
constexpr unsigned senders = 3, each = 40;
constexpr unsigned n_of(unsigned round) { return 1 + round % 2; }
struct marked : letter {
    int sent = 0;  // plain: put() must publish it, and take() hand it over
    int read = 0;
};
}  // namespace

int main() {
    outcome queued("queued behind n readers"), claimed("claimed by a letter"),
        refused("refused, since it was shut"), claimed_alone("claimed without a letter"),
        not_claimed("not claimed"), read_on("more came while a reader was leaving"),
        two_readers("two readers at a time"), one_more("another reader sent by a reader"),
        taken_beside("taken by one who is no reader");
    mistakes wrong;

    std::unique_ptr<work_queue> queue;
    std::array<std::array<marked, each>, senders> letters;
    std::array<unsigned, senders> accepted{};
    unsigned max_readers = 0;
    long counted = 0;  // plain: that of whoever takes, one at a time
    long alone = 0;  // plain: the reader's, where there is one at a time
    std::atomic<unsigned> readers = 0;  // relaxed: no order but the queue's
    std::atomic<unsigned> taken = 0;
    std::atomic<unsigned> to_come = 0;  // readers that were sent by readers

    const auto take_one = [&](letter* l) {
        if (!l) return false;
        auto& m = static_cast<marked&>(*l);
        wrong.expect(m.sent == 1, "a letter whose content is not there");
        wrong.expect(m.read++ == 0, "a letter was read twice");
        stumble(scatter(taken.fetch_add(1, std::memory_order_relaxed), 5));
        return true;
    };
    const auto read = [&] {
        for (;;) {
            const unsigned others = readers.fetch_add(1, std::memory_order_relaxed);
            wrong.expect(others < max_readers, "more than n readers");
            if (others != 0) two_readers.seen();
            for (bool send_one = false; take_one(queue->take(send_one, [&] { ++counted; }));) {
                if (!send_one) continue;
                one_more.seen();
                to_come.fetch_add(1, std::memory_order_relaxed);
            }
            if (max_readers == 1) ++alone;
            stumble(scatter(taken.load(std::memory_order_relaxed), 6));
            readers.fetch_sub(1, std::memory_order_relaxed);
            if (!queue->release()) {
                read_on.seen();
            } else {  // and now as another one, if there is one to come
                unsigned n = to_come.load(std::memory_order_relaxed);
                while (n != 0 &&
                       !to_come.compare_exchange_weak(n, n - 1, std::memory_order_relaxed)) {}
                if (n == 0) return;
            }
        }
    };
    const auto send = [&](unsigned sender, unsigned round) {
        for (unsigned i = 0; i != each; ++i) {
            marked& m = letters[sender][i];
            m.sent = 1;
            stumble(scatter(round * each + i, sender));
            switch (queue->put(m)) {
                case work_queue::put_result::queued: queued.seen(); break;
                case work_queue::put_result::claimed:
                    claimed.seen();
                    if (i % 4 == 0) std::this_thread::yield();  // more come before it is read
                    read();
                    break;
                case work_queue::put_result::refused: refused.seen(); return;
            }
            ++accepted[sender];
        }
    };

    race(
        300, 40'000,
        [&](unsigned round) {
            max_readers = n_of(round);
            queue = std::make_unique<work_queue>(max_readers);
            letters = {};
            accepted = {};
            taken.store(0, std::memory_order_relaxed);
        },
        [&](unsigned) {
            wrong.expect(queue->idle(), "all have gone, but it is not idle");
            wrong.expect(queue->take_beside() == nullptr, "something is left");
            unsigned sum = 0, read_once = 0;
            for (const unsigned a : accepted) sum += a;
            for (const auto& of_one : letters) {
                for (const marked& m : of_one) read_once += m.read == 1;
            }
            wrong.expect(taken.load(std::memory_order_relaxed) == sum, "lost, or read twice");
            wrong.expect(read_once == sum, "not every letter was read once");
            return all_seen(queued, claimed, refused, claimed_alone, not_claimed, read_on,
                            two_readers, one_more, taken_beside);
        },
        [&](unsigned round) { send(0, round); }, [&](unsigned round) { send(1, round); },
        [&](unsigned round) { send(2, round); },
        [&](unsigned round) {
            for (unsigned i = 0; i != 20; ++i) {
                stumble(scatter(round, 100 + i));
                if (i % 2 == 0) {
                    if (take_one(queue->take_beside())) taken_beside.seen();
                } else if (queue->claim()) {
                    claimed_alone.seen();
                    read();
                } else {
                    not_claimed.seen();
                }
            }
            if (round % 4 != 0) queue->shut();
        });
    return summary(wrong, queued, claimed, refused, claimed_alone, not_claimed, read_on,
                   two_readers, one_more, taken_beside);
}
