// One waits, one sets, one stops; and the event is destroyed as soon as the wait has returned.
#include "../support/race.hpp"
#include "../support/started.hpp"

#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/wait/event.hpp>

#include <memory>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
mistakes wrong;
int note = 0;  // plain: set() must publish it

struct seen_by_waiter {
    bool was_set = false;
    bool through = false;
};
task<> wait_for(event& e, seen_by_waiter& out, unsigned chance) {
    out.was_set = e.is_set();
    if (out.was_set) wrong.expect(note == 1, "what was done before set() is not seen");
    stumble(chance);
    const auto ok = co_await e.wait();
    out.through = ok.has_value();
}
}  // namespace

int main() {
    outcome at_once("it was set before"), woken("woken by set()"),
        cancelled("cancelled, then waited again");

    std::unique_ptr<event> e;
    std::unique_ptr<stop_source> stop;

    race(
        4'000, 400'000,
        [&](unsigned) {
            e = std::make_unique<event>();
            stop = std::make_unique<stop_source>();
            note = 0;
        },
        [&](unsigned) { return all_seen(at_once, woken, cancelled); },
        [&](unsigned round) {
            seen_by_waiter out;
            run_loop loop;
            {
                started waiter(loop, wait_for(*e, out, scatter(round, 5)), stop->token());
                loop.drive(waiter.end());
            }
            if (out.through) {
                (out.was_set ? at_once : woken).seen();
            } else {
                cancelled.seen();
                sync_wait(loop, wait_for(*e, out, scatter(round, 5)));  // not cancelled by anyone
                wrong.expect(out.through, "a wait without a stop was cancelled");
            }
            e.reset();  // set() must be out of it
            wrong.expect(note == 1, "what was done before set() is not seen");
        },
        [&](unsigned round) {
            event& mine = *e;
            note = 1;
            for (unsigned i = 0; i != 3; ++i) stumble(scatter(round, 20 + i));
            mine.set();
        },
        [&](unsigned round) {
            for (unsigned i = 0; i != 3; ++i) stumble(scatter(round, 30 + i));
            stop->request_stop();
        });
    return summary(wrong, at_once, woken, cancelled);
}
