// A scope and its task on two threads, in each order in which they may end: only the scope's count
// comes between them.
#include "../support/by_hand.hpp"
#include "../support/race.hpp"
#include "../support/started.hpp"

#include <posthaste/run/scope.hpp>
#include <posthaste/run/task.hpp>

#include <functional>
#include <memory>
#include <thread>

using namespace posthaste;
using namespace posthaste::testing;

namespace {

constexpr int rounds = 50;
mistakes wrong;

// Another thread, which runs what is given to it.
struct helper {
    milestone at;  // 1: it has its work; 2: it may run it; 3: it has run it
    std::thread thread;
    int made = 0;  // plain: what the task did

    void give(work_list list) {
        thread = std::thread([this, list] {
            at.reach(1);
            at.wait_for(2);
            by_hand::run(list);
            at.reach(3);
        });
        at.wait_for(1);
    }
};

task<> makes(helper& h) {
    h.made = 1;
    co_return;
}

// Joined before its task ends, or after.
task<> joins(helper& h, bool ends_first, bool& joined) {
    scope s(co_await this_context);
    s.spawn(&makes, std::ref(h));
    h.give(by_hand::posted());
    if (ends_first) {
        h.at.reach(2);
        h.at.wait_for(3);
    }
    int written = 0;  // after the helper's thread has begun: join() must publish it
    for (int i = 0; i != 3; ++i) written += i;
    co_await s.join();
    wrong.expect(h.made == 1 && written == 3, "join() came before the end");
    joined = true;
}

void join(bool ends_first, outcome& joined_then) {
    by_hand home;
    helper h;
    bool joined = false;
    started opener(home, joins(h, ends_first, joined));
    by_hand::run(by_hand::posted());
    if (!ends_first) h.at.reach(2);
    h.thread.join();
    wrong.expect(opener.ended() && joined, "nobody went on after join()");
    joined_then.seen();
}

// Not joined: it may go all the same, as its task has ended.
void leave(outcome& left) {
    by_hand home;
    const context ctx(home, never, {});
    helper h;
    auto s = std::make_unique<scope>(ctx);
    s->spawn(&makes, std::ref(h));
    h.give(by_hand::posted());
    h.at.reach(2);
    h.at.wait_for(3);
    dawdle(1000);
    s.reset();
    wrong.expect(h.made == 1, "it went before its task's end");
    h.thread.join();
    left.seen();
}

}  // namespace

int main() {
    outcome before("joined before the task's end"), after("joined after it"), not_at_all("left");
    for (int i = 0; i != rounds; ++i) {
        join(false, before);
        join(true, after);
        leave(not_at_all);
    }
    return summary(wrong, before, after, not_at_all);
}
