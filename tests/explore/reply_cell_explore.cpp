// One call and those who may end it, under every schedule.
#include "../support/explorer_std.hpp"

#include <posthaste/wait/reply_cell.hpp>

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
    plain bus;  // goes once the handler's side has left, unless somebody has kept it before
    plain kept;  // of who keeps it, then the caller's
    bool is_kept = false;

    posthaste::std::mutex home;  // who has it has its turn there
    atomic<int> queued{0};
    atomic<int> posted{0};  // the caller was sent home
    atomic<int> timer_gone{0};  // disarm() has returned
    int went_on = 0, destroyed = 0, started = 0, cut_short = 0;
    int suspended = 0, woken = 0;
    bool told_not_begun = false;
};

void destroy(envelope& e) {
    e.question.write();
    e.answer.write();
    e.all.write();
    world::demand(++e.destroyed == 1, "destroyed twice");
}

enum class caller {
    anywhere,
    at_home,  // one thread, which goes on with it later, if it is woken
    stopped,  // the same; it finds then that its stop was requested before
    as_all,   // as at_home, and all others have their turns there
};

// `shots`: how many others try to cut the call short (deadline, stop). `late`: so does the side of
// the handler, which finds that the deadline has passed.
world::script call(int shots, bool late = false, caller is = caller::anywhere) {
    auto e = world::fresh<envelope>();
    world::name(e->c, "cell");
    world::name(e->queued, "queued");
    world::name(e->posted, "posted");
    world::name(e->timer_gone, "timer_gone");
    world::script script;
    script.names = {"caller", "handler", "deadline", "stop"};
    const auto end_short = [e](ending how) {
        const auto verdict = e->c.cut_short(how);
        if (!verdict.won) return verdict;
        ++e->cut_short;
        e->bus.read();
        e->kept.write();
        e->is_kept = true;
        e->c.has_kept();
        return verdict;
    };
    const auto turn = [=] {
        using guard = posthaste::std::unique_lock<posthaste::std::mutex>;
        return is == caller::as_all ? guard(e->home) : guard();
    };
    script.threads.push_back([=] {  // the caller
        auto here = turn();
        e->question.write();
        if (is != caller::anywhere) {
            e->continuation.write();
            e->c.wait_alone(is == caller::as_all);
        }
        e->queued.store(1, std::memory_order_release);
        if (is == caller::anywhere) e->continuation.write();
        const bool stopped = is == caller::stopped && end_short(ending::cancelled).won;
        if (!stopped && e->c.wait()) {
            e->suspended = 1;
            here = {};
            e->posted.wait_until(1);
        }
        world::demand(++e->went_on == 1, "the caller went on twice");
        e->timer_gone.wait_until(shots);
        here = turn();
        if (e->c.how_in_the_end() == ending::replied) {
            e->answer.read();
        } else {
            e->kept.read();
            world::demand(e->is_kept, "it was cut short, and the bus may be gone");
            if (e->c.was_begun()) e->where.read();  // to ask the handler to stop
            else e->told_not_begun = true;
        }
        e->all.read();
        if (e->c.caller_leaves()) destroy(*e);
    });
    const auto wake = [e] {
        e->continuation.read();
        ++e->woken;
        e->posted.store(1, std::memory_order_release);
    };
    const auto cut_short = [=](ending how) {
        const auto verdict = end_short(how);
        if (verdict.won && verdict.waiting) wake();
    };
    script.threads.push_back([=] {  // the handler's side
        e->queued.wait_until(1);
        auto here = turn();
        e->all.read();
        e->where.write();
        const auto end_bus = [e] { e->bus.write(); };
        if (late) cut_short(ending::expired);
        if (!e->c.begin()) {
            const bool last = e->c.handler_leaves();
            end_bus();
            if (last) destroy(*e);
            return;
        }
        here = {};  // it stands still
        here = turn();
        e->question.read();
        e->started = 1;
        e->answer.write();
        if (e->c.how() == ending::expired) e->deadline.read();
        bool last = false;
        const auto verdict = e->c.settle_and_leave(ending::replied, last);
        if (verdict.won && verdict.waiting) wake();
        end_bus();
        if (last) destroy(*e);
    });
    for (int i = 0; i != shots; ++i) {
        script.threads.push_back([=] {  // its deadline, its stop
            if (is != caller::anywhere) e->queued.wait_until(1);  // armed behind that
            const auto here = turn();
            if (i == 0) e->deadline.write();
            cut_short(i == 0 ? ending::expired : ending::cancelled);
            e->timer_gone.fetch_add(1, std::memory_order_acq_rel);
        });
    }
    script.at_end = [e] {
        world::demand(e->went_on == 1, "the caller is parked for ever");
        world::demand(e->woken == e->suspended, "it was woken, and had gone on already");
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
    r.add("reply, late", [] { return call(0, true); });
    r.add("reply, deadline", [] { return call(1); });
    r.add("reply, late, deadline", [] { return call(1, true); });
    r.add("reply, deadline, stop", [] { return call(2); });
    r.add("at home: reply", [] { return call(0, false, caller::at_home); });
    r.add("at home: reply, late", [] { return call(0, true, caller::at_home); });
    r.add("at home: reply, deadline, stop", [] { return call(2, false, caller::at_home); });
    r.add("at home: reply, stopped", [] { return call(0, true, caller::stopped); });
    r.add("all at home: reply, deadline", [] { return call(1, false, caller::as_all); });
    r.add("all at home: reply, late, deadline", [] { return call(1, true, caller::as_all); });
    return r.end();
}
