// Reply, deadline and stop end one call: exactly one wins, and whoever leaves second destroys the
// envelope. Weakening an order that reply_cell.hpp numbers must make it fail under TSan.
#include "../support/race.hpp"

#include <posthaste/wait/reply_cell.hpp>

#include <atomic>
#include <string>
#include <thread>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
/// What caller and handler share; whoever leaves second deletes it.
struct shared_by_two {
    basic_reply_cell<stumbling_atomics> cell;
    std::string reply;       // the handler's until `replied`, then the caller's
    int where = 0;           // the handler's, before it begins; then of whoever cuts it short
    int used_by_caller = 0;  // plain: only leaving orders them
    int used_by_handler = 0;
};
const std::string sent = "a reply long enough to live on the heap, surely";
}  // namespace

int main() {
    outcome replied_at_once("replied before the caller waited"),
        replied_later("replied to a waiting caller"),
        expired_at_once("expired before the caller waited"), expired_later("expired while waiting"),
        cancelled_at_once("cancelled before the caller waited"),
        cancelled_later("cancelled while waiting"), not_begun("the handler was not begun"),
        late("the reply came too late"), caller_last("the caller left last"),
        handler_last("the handler left last");
    mistakes wrong;

    shared_by_two* shared = nullptr;
    int frame = 0;  // the caller's, plain: written before it waits, read by whoever wakes it
    std::atomic<bool> woken = false;  // release, as of an executor's queue
    std::atomic<int> settled = 0;     // timer and stop; release: the caller disarms them
    std::atomic<int> won = 0;

    const auto settle = [&](ending how) {
        const auto v = shared->cell.settle(how);
        if (!v.won) return;
        if (v.begun) wrong.expect(shared->where == 1, "the winner does not see who handles it");
        won.fetch_add(1, std::memory_order_relaxed);
        if (!v.waiting) return;
        wrong.expect(frame == 1, "the winner does not see the caller's frame");
        woken.store(true, std::memory_order_release);
    };
    const auto caller = [&](unsigned round) {
        shared_by_two& e = *shared;
        frame = 1;
        stumble(scatter(round, 11));
        const bool suspended = e.cell.wait();
        if (suspended) {
            while (!woken.load(std::memory_order_acquire)) std::this_thread::yield();
        }
        const ending how = e.cell.how();
        if (e.cell.was_begun())
            wrong.expect(e.where == 1, "the caller does not see who handles it");
        if (how == ending::replied) {
            wrong.expect(e.reply == sent, "the reply is not there");
            e.reply += "!";
            (suspended ? replied_later : replied_at_once).seen();
        } else if (how == ending::expired) {
            (suspended ? expired_later : expired_at_once).seen();
        } else {
            wrong.expect(how == ending::cancelled, "the caller goes on, but nothing has ended");
            (suspended ? cancelled_later : cancelled_at_once).seen();
        }
        while (settled.load(std::memory_order_acquire) < 2) std::this_thread::yield();
        e.used_by_caller = 1;
        stumble(scatter(round, 12));
        if (!e.cell.caller_leaves()) return;
        caller_last.seen();
        e.used_by_handler += 1;
        delete &e;
    };
    const auto handler = [&](unsigned round) {
        shared_by_two& e = *shared;
        bool last = false;
        e.where = 1;
        if (e.cell.begin()) {
            e.reply = sent;
            e.used_by_handler = 1;
            stumble(scatter(round, 13));
            const auto v = e.cell.settle_and_leave(ending::replied, last);
            wrong.expect(v.begun, "it was begun, but the verdict says it was not");
            if (v.won) {
                won.fetch_add(1, std::memory_order_relaxed);
                if (v.waiting) {
                    wrong.expect(frame == 1, "the handler does not see the caller's frame");
                    woken.store(true, std::memory_order_release);
                }
            } else {
                late.seen();
            }
        } else {
            not_begun.seen();
            e.used_by_handler = 1;
            stumble(scatter(round, 13));
            last = e.cell.handler_leaves();
        }
        if (!last) return;
        handler_last.seen();
        e.used_by_caller += 1;
        delete &e;
    };

    race(
        4'000, 400'000,
        [&](unsigned) {
            shared = new shared_by_two;
            frame = 0;
            woken.store(false, std::memory_order_relaxed);
            settled.store(0, std::memory_order_relaxed);
            won.store(0, std::memory_order_relaxed);
        },
        [&](unsigned) {
            wrong.expect(won.load(std::memory_order_relaxed) == 1, "not exactly one has won");
            return all_seen(replied_at_once, replied_later, expired_at_once, expired_later,
                            cancelled_at_once, cancelled_later, not_begun, late, caller_last,
                            handler_last);
        },
        caller, handler,
        [&](unsigned round) {
            stumble(scatter(round, 14));
            settle(ending::expired);
            settled.fetch_add(1, std::memory_order_release);
        },
        [&](unsigned round) {
            stumble(scatter(round, 15));
            settle(ending::cancelled);
            settled.fetch_add(1, std::memory_order_release);
        });
    return summary(wrong, replied_at_once, replied_later, expired_at_once, expired_later,
                   cancelled_at_once, cancelled_later, not_begun, late, caller_last, handler_last);
}
