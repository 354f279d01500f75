// Callbacks come and go while two threads request a stop: one request is the first, a callback runs
// at most once, and never after its destructor has returned.
#include "../support/race.hpp"

#include <posthaste/wait/stop.hpp>

#include <atomic>
#include <memory>

using namespace posthaste;
using namespace posthaste::testing;

int main() {
    outcome in_constructor("called by its constructor"), by_request("called by the request"),
        not_called("gone before the request"), waited("its destructor came while it ran"),
        first("the first thread was first"), second("the second thread was first");
    mistakes wrong;

    std::unique_ptr<stop_source> source;
    int before_stop = 0;  // plain: request_stop() must publish it
    bool first_won = false, second_won = false;
    std::atomic<long> total = 0;

    const auto come_and_go = [&](unsigned round, unsigned who) {
        for (unsigned i = 0; i != 4; ++i) {
            std::atomic<int> calls = 0;  // relaxed: the destructor must order it
            std::atomic<int> ended = 0;  // relaxed
            int finished = 0;  // plain
            bool constructed = false;  // written before anything could be called
            stumble(scatter(round, who + i));
            if (round % 2 != 0 && source->token().stop_requested())  // before any lock is taken
                wrong.expect(before_stop == 1, "what was done before the stop is not seen");
            {
                const auto on_stop = [&, chance = scatter(round, who + i + 30)] {
                    calls.fetch_add(1, std::memory_order_relaxed);
                    stumble(chance);
                    ++finished;
                    ended.fetch_add(1, std::memory_order_relaxed);
                };
                const stop_callback callback(source->token(), on_stop);
                constructed = calls.load(std::memory_order_relaxed) == 0;
                stumble(scatter(round, who + i + 60));
                if (calls.load(std::memory_order_relaxed) != ended.load(std::memory_order_relaxed))
                    waited.seen();
            }
            const int called = calls.load(std::memory_order_relaxed);
            wrong.expect(called <= 1, "called more than once");
            wrong.expect(finished == called, "its destructor did not wait for it");
            if (called == 0) not_called.seen();
            else if (constructed) by_request.seen();
            else in_constructor.seen();
            total.fetch_add(called, std::memory_order_relaxed);
        }
    };

    race(
        3'000, 400'000,
        [&](unsigned) {
            source = std::make_unique<stop_source>();
            before_stop = 0;
            first_won = second_won = false;
        },
        [&](unsigned round) {
            wrong.expect(first_won != second_won, "not exactly one request was the first");
            if (round % 2 == 0) (first_won ? first : second).seen();
            return all_seen(in_constructor, by_request, not_called, waited, first, second);
        },
        [&](unsigned round) { come_and_go(round, 0); },
        [&](unsigned round) { come_and_go(round, 10); },
        [&](unsigned round) {
            if (round % 2 != 0) before_stop = 1;
            stumble(scatter(round, 40));
            first_won = source->request_stop();
        },
        [&](unsigned round) {
            stumble(scatter(round, 41));
            if (round % 2 == 0) second_won = source->request_stop();
        });
    return summary(wrong, in_constructor, by_request, not_called, waited, first, second);
}
