// The mailbox and its idle transition, under every schedule.
// mailbox_explore [more]   with more letters: minutes
#include <posthaste/carry/mailbox.hpp>

#include "../support/explorer.hpp"

#include <array>
#include <memory>

namespace {

using namespace posthaste::testing::explore;
using box = posthaste::basic_mailbox<atomics>;

struct note : posthaste::letter {
    int from = 0, number = 0;
    plain content;
};

// Senders put `each` letters; who gets the claim reads, as a lane does, until it can give it up.
world::script senders(int count, int each) {
    struct state {
        box b;
        std::array<note, 9> notes;
        plain readers_own;  // what the handler of a serial endpoint touches without a lock
        int handled = 0;
        bool reading = false;
        std::array<int, 3> last{};
    };
    auto s = world::fresh<state>();
    world::name(s->b, "box");
    for (int i = 0; i != 9; ++i) world::name(s->notes[static_cast<std::size_t>(i)], "letter", i);
    const auto read = [s] {
        for (;;) {
            auto* n = static_cast<note*>(s->b.take());
            if (!n) {
                if (s->b.release()) return;
                continue;
            }
            world::demand(!s->reading, "two readers at once");
            s->reading = true;
            s->readers_own.write();
            n->content.read();
            world::demand(n->number == s->last[static_cast<std::size_t>(n->from)] + 1,
                          "out of order, lost or twice");
            s->last[static_cast<std::size_t>(n->from)] = n->number;
            ++s->handled;
            s->reading = false;
        }
    };
    world::script script;
    script.names = {"sender 0", "sender 1", "sender 2"};
    for (int t = 0; t != count; ++t) {
        script.threads.push_back([=] {
            for (int i = 0; i != each; ++i) {
                note& n = s->notes[static_cast<std::size_t>(t * each + i)];
                n.from = t;
                n.number = i + 1;
                n.content.write();
                if (s->b.put(n) == box::put_result::claimed) read();
            }
        });
    }
    script.at_end = [=] {
        world::demand(s->handled == count * each, "a letter lies where nobody reads it");
        world::demand(s->b.idle(), "not idle at the end");
    };
    return script;
}

// A sender, a caller who claims the idle box and works without a letter, and one who shuts it. The
// caller looks a few times, or once.
world::script claim_and_shut(unsigned looks) {
    struct state {
        box b;
        note n;
        plain readers_own;
        int handled = 0, refused = 0;
    };
    auto s = world::fresh<state>();
    world::name(s->b, "box");
    world::name(s->n, "letter");
    const auto read = [s] {
        for (;;) {
            auto* n = static_cast<note*>(s->b.take());
            if (n) {
                s->readers_own.write();
                n->content.read();
                ++s->handled;
            } else if (s->b.release()) {
                return;
            }
        }
    };
    world::script script;
    script.names = {"sender", "caller", "drain"};
    script.threads.push_back([=] {
        s->n.content.write();
        const auto put = s->b.put(s->n);
        if (put == box::put_result::claimed) read();
        if (put == box::put_result::refused) ++s->refused;
    });
    script.threads.push_back([=] {
        if (!(looks == 0 ? s->b.claim() : s->b.claim_soon(looks))) return;
        s->readers_own.write();
        if (!s->b.release()) read();
    });
    script.threads.push_back([=] {  // as a drain does
        s->b.shut();
        if (s->b.idle()) s->readers_own.read();
    });
    script.at_end = [=] {
        world::demand(s->handled + s->refused == 1, "neither handled nor refused");
        world::demand(s->b.idle(), "not idle at the end");
    };
    return script;
}

}  // namespace

int main(int count, char**) {
    reports r;
    r.add("2 senders, 1 letter each", [] { return senders(2, 1); });
    r.add("claim and shut", [] { return claim_and_shut(0); });
    r.add("claim with patience, and shut", [] { return claim_and_shut(2); });
    r.add("3 senders, 1 letter each", [] { return senders(3, 1); });
    r.add("2 senders, 2 letters each", [] { return senders(2, 2); });
    if (count > 1) {
        r.add("2 senders, 3 letters each", [] { return senders(2, 3); }, 500'000'000);
    }
    return r.end();
}
