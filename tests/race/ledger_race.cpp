// Places taken ahead, on more threads than processors, so that who takes them is stopped in
// between: no account shows more than was sent, or less than the one before.
#include "../support/race.hpp"

#include <posthaste/serve/ledger.hpp>

#include <atomic>
#include <cstdint>

using namespace posthaste;
using namespace posthaste::testing;

int main() {
    constexpr unsigned bursts = 30'000, burst = 64;
    outcome some_left("an account with some left"), none_left("one with none");
    mistakes wrong;

    senders_counts senders;
    ledger book(1024);
    book.count_at(senders);
    std::atomic<std::uint64_t> tried = 0;
    std::atomic<bool> over = false;

    const auto watch = [&](unsigned) {
        std::uint64_t before = 0;
        while (!over.load(std::memory_order_relaxed)) {
            const account a = book.counts({}, 0);
            wrong.expect(a.accepted <= tried.load(std::memory_order_relaxed),
                         "more are accepted than were sent");
            wrong.expect(a.accepted >= before, "fewer are accepted than before");
            before = a.accepted;
            a.left != 0 ? some_left.seen() : none_left.seen();
        }
    };
    const auto load = [&](unsigned) {  // takes the processor from the others
        while (!over.load(std::memory_order_relaxed)) dawdle(64);
    };
    race(
        40, 400, [&](unsigned) { over.store(false, std::memory_order_relaxed); },
        [&](unsigned) {
            wrong.expect(book.counts({}, 0).accepted == tried.load(), "miscounted");
            return all_seen(some_left, none_left);
        },
        [&](unsigned) {
            std::uint64_t sent = tried.load(std::memory_order_relaxed);
            for (unsigned i = 0; i != bursts; ++i) {
                for (unsigned n = 0; n != burst; ++n) {
                    tried.store(++sent, std::memory_order_relaxed);
                    wrong.expect(book.accept_here() != 0, "there is room");
                }
                for (unsigned n = 0; n != burst; ++n) book.to_the_lane();
            }
            over.store(true, std::memory_order_relaxed);
        },
        watch, load, load);
    return summary(wrong, some_left, none_left);
}
