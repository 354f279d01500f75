// A client that is there before its endpoint, on another thread, finds it as it was made; and one
// that outlives the bus is told so.
#include <posthaste/serve/bus.hpp>

#include "../support/race.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
struct job {
    int n;
};
// Not for want of memory.
bool is_full(const result<void>& sent) { return sent.error().detail() == "the queue is full"; }
}  // namespace

int main() {
    outcome before("sent before there was an endpoint"), handled("handled"),
        closed("refused, since the bus was gone");
    mistakes wrong;
    std::optional<thread_pool> pool(std::in_place, 1);
    std::unique_ptr<bus> app;
    std::optional<client<job>> jobs;
    race(
        50, 5000,
        [&](unsigned) {
            app = std::make_unique<bus>(*pool);
            jobs.emplace(app->client<job>("jobs"));
        },
        [&](unsigned) { return all_seen(before, handled, closed); },
        [&](unsigned) {  // who has the bus
            app->handle<job>("jobs", [&](job) { handled.seen(); });
            const client<job> first = app->client<job>("jobs");  // or the other one sends first
            const auto sent = first.send(0);
            wrong.expect(sent || is_full(sent), "refused to who made it");
            stumble(3);
            app.reset();
        },
        [&](unsigned) {  // who has a client
            const client<job> mine = *jobs;
            for (;;) {
                const auto sent = mine.send(1);
                if (sent) continue;
                if (sent.error().code() == code::closed) return closed.seen();
                if (sent.error().code() == code::no_handler) before.seen();
                else wrong.expect(is_full(sent), "refused otherwise");
            }
        });
    return testing::summary(wrong, before, handled, closed);
}
