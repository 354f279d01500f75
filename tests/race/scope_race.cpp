// A scope and its task on two threads, in each order in which they may end: only the scope's count
// comes between them. And a scope of one thread, into which another one spawns.
#include "../support/by_hand.hpp"
#include "../support/race.hpp"
#include "../support/started.hpp"

#include <posthaste/run/scope.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/wait/event.hpp>

#include <atomic>
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

task<> opens(std::atomic<scope*>& open, event& all_spawned) {
    scope s(co_await this_context);
    open.store(&s, std::memory_order_release);
    static_cast<void>(co_await all_spawned.wait());
    co_await s.join();
}
task<> adds(int n, int& to) {
    to += n;
    co_return;
}

// While tasks from before end.
void spawn_from_outside(outcome& spawned) {
    thread_pool pool(1);
    std::atomic<scope*> open = nullptr;
    event all_spawned;
    int sum = 0;  // plain: of the pool's one thread, and joined after it
    started opener(pool, opens(open, all_spawned));
    while (!open.load(std::memory_order_acquire)) std::this_thread::yield();
    scope& s = *open.load(std::memory_order_relaxed);
    for (int i = 0; i != 20; ++i) {
        s.spawn([&sum] { return adds(1, sum); });
        s.spawn(&adds, 1, std::ref(sum));
        s.spawn([&s, &sum]() -> task<> {
            s.spawn([&sum] { return adds(1, sum); });
            co_return;
        });
        if (i % 4 == 0) dawdle(100);
    }
    all_spawned.set();
    pool.drive(opener.end());
    wrong.expect(sum == 60, "join() came before the end of what was spawned from outside");
    spawned.seen();
}

}  // namespace

int main() {
    outcome before("joined before the task's end"), after("joined after it"), not_at_all("left"),
        outside("spawned from outside");
    for (int i = 0; i != rounds; ++i) {
        join(false, before);
        join(true, after);
        leave(not_at_all);
        spawn_from_outside(outside);
    }
    return summary(wrong, before, after, not_at_all, outside);
}
