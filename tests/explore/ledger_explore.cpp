// The ledger of a queue with room for one, under every schedule: what it shows at any time.
#include "../support/explorer_std.hpp"

#include <posthaste/carry/mailbox.hpp>
#include <posthaste/serve/ledger.hpp>

#include <algorithm>
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

// One who takes places ahead, 2 at a time, and may read what he put; perhaps another who sends.
// There is room for so many.
world::script counts_ahead(unsigned room, unsigned here, bool reads, unsigned elsewhere) {
    struct state {
        ledger book{128};
        posthaste::senders_counts senders;
        std::uint64_t before = 0, tried = 0, here = 0, elsewhere = 0;
    };
    auto s = world::fresh<state>();
    world::name(s->book, "ledger");
    s->book.count_at(s->senders);
    s->before = 128 - room, s->tried = here + elsewhere;
    s->senders.accepted.store(s->before, std::memory_order_relaxed);
    world::script script;
    script.names = {"home", "watcher", "elsewhere"};
    script.threads.push_back([s, here, reads] {
        for (unsigned i = 0; i != here; ++i) {
            if (s->book.accept_here() == 0) continue;
            ++s->here;
            if (reads) s->book.to_the_lane();
        }
    });
    script.threads.push_back([s] {
        const auto a = s->book.counts({}, 0);
        world::demand(a.left <= 128, "more are left than there is room for");
        world::demand(a.left >= s->before, "more have gone than were accepted");
        world::demand(a.accepted <= s->before + s->tried, "more are accepted than were sent");
    });
    if (elsewhere != 0)
        script.threads.push_back([s] { s->elsewhere += s->book.accept_if_room() != 0; });
    script.at_end = [s, room, reads] {
        const auto a = s->book.counts({}, 0);
        const std::uint64_t sent = s->here + s->elsewhere;
        world::demand(a.accepted == s->before + sent, "miscounted");
        world::demand(a.left == s->before + sent - (reads ? s->here : 0), "miscounted");
        const std::uint64_t fit = reads ? s->tried : std::min<std::uint64_t>(room, s->tried);
        world::demand(sent == fit || (sent + 1 == fit && s->elsewhere == 0), "there was room");
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
    r.add("counts what is taken ahead", [] { return counts_ahead(3, 2, false, 1); });
    r.add("counts it while there is room for no other", [] { return counts_ahead(2, 1, true, 1); });
    r.add("counts it time and again", [] { return counts_ahead(5, 3, false, 0); });
    r.add("counts it as it is read", [] { return counts_ahead(2, 3, true, 0); });
    return r.end();
}
