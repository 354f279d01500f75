// A worker's inline calls, and a watcher who ends some of them, under every schedule.
#include "../support/explorer_std.hpp"

// Explored by itself; here a lock is a lock, and a fence what is asked of it.
#define spin_lock spin_lock_as_it_is
#define asymmetric_fence asymmetric_fence_as_it_is
#include <posthaste/detail/asymmetric_fence.hpp>
#include <posthaste/detail/spin_lock.hpp>
#undef spin_lock
#undef asymmetric_fence
namespace posthaste::detail {
using spin_lock = std::mutex;
using asymmetric_fence = testing::explore::asymmetric_fence;
}  // namespace posthaste::detail

#include <posthaste/run/inline_calls.hpp>

#include <array>
#include <cstddef>
#include <cstdio>
#include <memory>

namespace {

using namespace posthaste::testing::explore;

struct call : posthaste::inline_call {
    plain place;  // on the worker's stack
    bool may_end = true;
    bool ended = false;
    call() noexcept {
        deadline = posthaste::time_point::min();
        expire = [](inline_call& c) noexcept {
            call& self = static_cast<call&>(c);
            self.place.write();
            world::demand(!self.ended, "ended twice");
            return self.ended = self.may_end;
        };
    }
};
struct state {
    posthaste::inline_calls calls{{}};
    posthaste::detail::asymmetric_fence fence;
    atomic<bool> watched{true};
    std::array<call, 2> places;

    void begin(std::size_t i) {
        places[i].place.write();
        places[i].ended = places[i].taken = false;
        calls.begin(places[i]);
    }
    bool end(std::size_t i) {
        const bool stayed = calls.end(places[i]);
        world::learn(stayed);
        places[i].place.write();
        world::demand(stayed == !places[i].ended, "it does not know that it was ended");
        return stayed;
    }
    bool look() {
        calls.announce();
        fence.heavy();
        return calls.look({});
    }
};
std::shared_ptr<state> fresh() {
    auto s = world::fresh<state>();
    world::name(s->calls, "calls");
    world::name(s->watched, "watched");
    return s;
}
struct {
    int stayed = 0, ended = 0;
} outcomes;
void count(bool stayed) { ++(stayed ? outcomes.stayed : outcomes.ended); }

// One call after the other, all in the same place.
world::script in_a_row(int calls, int looks) {
    auto s = fresh();
    world::script script;
    script.names = {"worker", "watcher"};
    script.threads.push_back([=] {
        for (int i = 0; i != calls; ++i) {
            s->begin(0);
            count(s->end(0));
        }
    });
    script.threads.push_back([=] {
        for (int i = 0; i != looks; ++i) s->look();
    });
    script.at_end = [s] { world::demand(!s->look(), "something is left"); };
    return script;
}

// One within another, of which the watcher can end one, or both; and then one more within.
world::script nested(bool outer_may_end, bool inner_may_end, int looks) {
    auto s = fresh();
    s->places[0].may_end = outer_may_end;
    s->places[1].may_end = inner_may_end;
    world::script script;
    script.names = {"worker", "watcher"};
    script.threads.push_back([s] {
        s->begin(0);
        for (int i = 0; i != 2; ++i) {
            s->begin(1);
            count(s->end(1));
        }
        count(s->end(0));
    });
    script.threads.push_back([=] {
        for (int i = 0; i != looks; ++i) s->look();
    });
    script.at_end = [s] { world::demand(!s->look(), "something is left"); };
    return script;
}

// Who begins a call, then looks whether it is watched, and blocks; who stops watching, then looks
// a last time: one sees the other.
world::script two_looks() {
    auto s = fresh();
    auto worker_saw = std::make_shared<bool>(false), watcher_saw = std::make_shared<bool>(false);
    world::script script;
    script.names = {"worker", "watcher"};
    script.threads.push_back([=] {
        s->begin(0);
        *worker_saw = !s->watched.load(std::memory_order_seq_cst);
    });
    script.threads.push_back([=] {
        s->watched.store(false, std::memory_order_seq_cst);
        *watcher_saw = s->look();
    });
    script.at_end = [=] {
        world::demand(*worker_saw || *watcher_saw, "neither sees the other: nobody watches it");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("two looks", [] { return two_looks(); });
    r.add("1 call, 1 look", [] { return in_a_row(1, 1); });
    r.add("3 calls, 2 looks", [] { return in_a_row(3, 2); });
    r.add("2 calls, 3 looks", [] { return in_a_row(2, 3); });
    r.add("nested, the outer may end", [] { return nested(true, false, 2); });
    r.add("nested, the inner may end", [] { return nested(false, true, 2); });
    r.add("nested, both may end", [] { return nested(true, true, 2); });
    const bool both = outcomes.stayed != 0 && outcomes.ended != 0;
    if (!both) std::puts("not seen: a call that stays, and one that is ended");
    return r.end() == 0 && both ? 0 : 1;
}
