// The ledger of a queue with room for one, under every schedule: what it shows at any time.
#include "../support/explorer_std.hpp"

#include <posthaste/carry/mailbox.hpp>
#include <posthaste/serve/ledger.hpp>

#include <cstdint>
#include <memory>

namespace {

using namespace posthaste::testing::explore;
using posthaste::ledger;

struct queue {
    ledger book{1};
    posthaste::mailbox box;
    posthaste::letter a, b, c;

    void put(posthaste::letter& l) noexcept {
        if (book.accept_if_room() != 0) box.put(l);
    }
    // By its one reader, who has the claim.
    void read(void (ledger::*leaves)() noexcept) noexcept {
        if (box.take()) (book.*leaves)();
    }
};

world::script counts(void (ledger::*leaves)() noexcept) {
    auto s = world::fresh<queue>();
    world::name(s->book, "ledger");
    world::name(s->box, "box");
    s->put(s->a);  // the reader is under way
    world::script script;
    script.names = {"sender", "another", "reader", "watcher"};
    script.threads.push_back([s] { s->put(s->b); });
    script.threads.push_back([s] { s->put(s->c); });
    script.threads.push_back([s, leaves] { s->read(leaves), s->read(leaves); });
    script.threads.push_back([s] {
        const auto left = static_cast<std::int64_t>(s->book.counts({}, 0).left);
        world::demand(left >= 0, "more have gone than were accepted");
        world::demand(left <= 1, "more are left than there is room for");
    });
    return script;
}

// The queue is full. A sender says that it waits and looks once more, as in waiting_room; a message
// leaves, and its reader looks who waits.
world::script waits_for_room(void (ledger::*leaves)() noexcept) {
    struct state : queue {
        atomic<bool> waiting = false;
        bool found_room = false, found_waiting = false;
    };
    auto s = world::fresh<state>();
    world::name(s->book, "ledger");
    world::name(s->waiting, "waiting");
    s->put(s->a);
    world::script script;
    script.names = {"sender", "reader"};
    script.threads.push_back([s] {
        s->waiting.exchange(true, std::memory_order_seq_cst);
        s->found_room = s->book.accept_if_room() != 0;
    });
    script.threads.push_back([s, leaves] {
        (s->book.*leaves)();
        s->found_waiting = s->waiting.load(std::memory_order_seq_cst);
    });
    script.at_end = [s] {
        world::demand(s->found_room || s->found_waiting, "it waits, and there is room");
    };
    return script;
}

// A place that is granted, and then used or given back.
world::script counts_places(bool used) {
    auto s = world::fresh<queue>();
    world::name(s->book, "ledger");
    world::name(s->box, "box");
    s->box.claim();  // the reader is there
    world::script script;
    script.names = {"handler", "reader", "watcher"};
    script.threads.push_back([s, used] {
        if (s->book.accept_if_room() == 0) return;
        s->book.grant_place();
        if (!used) return s->book.give_place_back();
        s->book.use_place();
        s->box.put(s->a);
    });
    script.threads.push_back([s] { s->read(&ledger::to_lane); });
    script.threads.push_back([s] {
        const auto a = s->book.counts({}, 0);
        world::demand(a.left <= 1, "more are left than there is room for, or less than none");
        world::demand(a.accepted <= 1, "more are accepted than were sent, or less than none");
    });
    script.at_end = [s, used] {
        s->read(&ledger::to_lane);
        const auto a = s->book.counts({}, 0);
        world::demand(a.left == 0 && a.accepted == (used ? 1u : 0u), "miscounted");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("counts", [] { return counts(&ledger::to_lane); });
    r.add("counts what its only lane counts alone", [] { return counts(&ledger::to_the_lane); });
    r.add("counts what is given up", [] { return counts(&ledger::drop); });
    r.add("waits for room", [] { return waits_for_room(&ledger::to_lane); });
    r.add("waits for a place", [] { return waits_for_room(&ledger::give_place_back); });
    r.add("counts a place that is used", [] { return counts_places(true); });
    r.add("counts a place that is given back", [] { return counts_places(false); });
    return r.end();
}
