// A worker's next-up slot, a thief and a watcher, under every schedule.
#include "../support/explorer_std.hpp"

#include <posthaste/run/next_slot.hpp>

#include <array>
#include <cstddef>
#include <memory>

namespace {

using namespace posthaste::testing::explore;

struct job : posthaste::work {
    plain content;  // what was done before put()
    int taken = 0;
};
struct state {
    posthaste::next_slot slot;
    atomic<bool> watched{true};
    std::array<job, 2> jobs;

    void put(std::size_t i) {
        jobs[i].content.write();
        run(slot.put(jobs[i]));
    }
    static void run(posthaste::work* w) {
        if (!w) return;
        job& j = static_cast<job&>(*w);
        world::demand(++j.taken == 1, "taken twice");
        j.content.write();
    }
};
std::shared_ptr<state> fresh() {
    auto s = world::fresh<state>();
    world::name(s->slot, "slot");
    world::name(s->watched, "watched");
    for (std::size_t i = 0; i != s->jobs.size(); ++i)
        world::name(s->jobs[i], "job", static_cast<int>(i));
    return s;
}

// The owner puts two, of which the second takes the first one's place, and takes what is left;
// others steal meanwhile, each `steals` times.
world::script thieves(int count, int steals) {
    auto s = fresh();
    world::script script;
    script.names = {"owner", "watcher", "1st thief", "2nd thief"};
    script.threads.push_back([s] {
        s->slot.begin();
        s->put(0);
        s->put(1);
        state::run(s->slot.take());
    });
    script.threads.push_back([s] { s->slot.hold_up(); });
    for (int t = 0; t != count; ++t) {
        script.threads.push_back([=] {
            for (int i = 0; i != steals; ++i) state::run(s->slot.steal());
        });
    }
    script.at_end = [s] {
        world::demand(s->slot.empty(), "not empty at the end");
        for (const job& j : s->jobs) world::demand(j.taken == 1, "lost");
    };
    return script;
}

// Who fills the slot, then looks whether it is watched; who stops watching, then looks at the slot:
// one sees the other.
world::script two_looks() {
    auto s = fresh();
    auto owner_saw = std::make_shared<bool>(false);
    world::script script;
    script.names = {"owner", "watcher"};
    script.threads.push_back([=] {
        s->slot.put(s->jobs[0]);
        *owner_saw = !s->watched.load(std::memory_order_seq_cst);
    });
    script.threads.push_back([=] {
        s->watched.store(false, std::memory_order_seq_cst);
        if (s->slot.watch()) s->watched.store(true, std::memory_order_relaxed);
    });
    script.at_end = [=] {
        world::demand(*owner_saw || s->watched.load(std::memory_order_relaxed),
                      "neither sees the other: it lies there");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("two looks", [] { return two_looks(); });
    r.add("1 thief", [] { return thieves(1, 2); });
    r.add("2 thieves", [] { return thieves(2, 1); });
    return r.end();
}
