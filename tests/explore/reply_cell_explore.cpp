// One call and those who may end it, under every schedule.
#include <posthaste/wait/reply_cell.hpp>

#include "../support/explorer.hpp"

#include <memory>

namespace {

using namespace posthaste::testing::explore;
using cell = posthaste::basic_reply_cell<atomics>;
using posthaste::ending;

struct envelope {
    cell c;
    plain question;      // the caller's until it is queued, then the handler's
    plain answer;        // the handler's until it has settled, then the caller's
    plain continuation;  // the caller's until it waits, then that of whoever wakes it
    plain where;         // the handler's until it has begun, then that of who cuts it short
    plain deadline;  // the timer's until it has cut it short, then the handler's: how late it is
    plain all;  // destroying touches everything

    atomic<int> queued{0};
    atomic<int> posted{0};  // the caller was sent home
    atomic<int> timer_gone{0};  // disarm() has returned
    int went_on = 0, destroyed = 0, started = 0, cut_short = 0;
    bool told_not_begun = false;
};

void destroy(envelope& e) {
    e.question.write();
    e.answer.write();
    e.all.write();
    world::demand(++e.destroyed == 1, "destroyed twice");
}

// `shots`: how many others try to cut the call short (deadline, stop).
world::script call(int shots) {
    auto e = world::fresh<envelope>();
    world::name(e->c, "cell");
    world::name(e->queued, "queued");
    world::name(e->posted, "posted");
    world::name(e->timer_gone, "timer_gone");
    world::script script;
    script.names = {"caller", "handler", "deadline", "stop"};
    script.threads.push_back([e, shots] {  // the caller
        e->question.write();
        e->queued.store(1, std::memory_order_release);
        e->continuation.write();
        if (e->c.wait()) e->posted.wait_until(1);
        world::demand(++e->went_on == 1, "the caller went on twice");
        e->timer_gone.wait_until(shots);
        if (e->c.how() == ending::replied) e->answer.read();
        else if (e->c.was_begun()) e->where.read();  // to ask the handler to stop
        else e->told_not_begun = true;
        e->all.read();
        if (e->c.caller_leaves()) destroy(*e);
    });
    const auto wake = [e] {
        e->continuation.read();
        e->posted.store(1, std::memory_order_release);
    };
    script.threads.push_back([e, wake] {  // the handler's side
        e->queued.wait_until(1);
        e->all.read();
        e->where.write();
        if (!e->c.begin()) {
            if (e->c.handler_leaves()) destroy(*e);
            return;
        }
        e->question.read();
        e->started = 1;
        e->answer.write();
        if (e->c.how() == ending::expired) e->deadline.read();
        bool last = false;
        const auto verdict = e->c.settle_and_leave(ending::replied, last);
        if (verdict.won && verdict.waiting) wake();
        if (last) destroy(*e);
    });
    for (int i = 0; i != shots; ++i) {
        script.threads.push_back([e, wake, i] {  // its deadline, its stop
            if (i == 0) e->deadline.write();
            const auto verdict = e->c.settle(i == 0 ? ending::expired : ending::cancelled);
            if (verdict.won) ++e->cut_short;
            if (verdict.won && verdict.waiting) wake();
            e->timer_gone.fetch_add(1, std::memory_order_acq_rel);
        });
    }
    script.at_end = [e] {
        world::demand(e->went_on == 1, "the caller is parked for ever");
        world::demand(e->destroyed == 1, "the envelope was left");
        world::demand(e->cut_short <= 1, "cut short twice");
        world::demand(!e->told_not_begun || e->started == 0,
                      "it was started, and said to have no effect");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("reply", [] { return call(0); });
    r.add("reply, deadline", [] { return call(1); });
    r.add("reply, deadline, stop", [] { return call(2); });
    return r.end();
}
