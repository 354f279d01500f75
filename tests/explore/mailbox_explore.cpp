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

// Senders elsewhere, who have the reader sent for, beside one where it reads, and a drain. Whoever
// puts a letter and knows of another's comes behind it.
world::script at_home(int elsewhere, int here, bool shuts) {
    struct state {
        box b;
        std::array<note, 2> from_elsewhere;
        std::array<note, 3> from_here;
        atomic<bool> sent_for = false;
        std::array<atomic<bool>, 2> sent{};
        atomic<bool> sent_here = false;
        std::array<bool, 2> knows{}, handled{};  // of what is from elsewhere
        std::array<int, 3> known{};  // of what is from here
        plain readers_own;
        int next_here = 0, done = 0, refused = 0;
        bool claimed = false;
    };
    auto s = world::fresh<state>();
    world::name(s->b, "box");
    world::name(s->from_elsewhere, "letters from elsewhere");
    world::name(s->from_here, "letters from here");
    const auto read = [s](int most) {
        if (s->sent_for.load(std::memory_order_acquire)) {
            s->sent_for.store(false, std::memory_order_relaxed);
            s->claimed = true;
        }
        while (s->claimed && most-- != 0) {
            auto* n = static_cast<note*>(s->b.take());
            if (!n) {
                s->claimed = !s->b.release();
                continue;
            }
            s->readers_own.write();
            n->content.read();
            ++s->done;
            if (n->from == 0) {
                world::demand(n->number == s->next_here++, "out of order, lost or twice");
                for (std::size_t i = 0; i != 2; ++i) {
                    const bool known = s->known[static_cast<std::size_t>(n->number)] & (1 << i);
                    world::demand(!known || s->handled[i], "it was put before, and is read later");
                }
            } else {
                const auto i = static_cast<std::size_t>(n->number);
                world::demand(!s->handled[i], "twice");
                s->handled[i] = true;
                world::demand(!s->knows[i] || s->next_here != 0, "the first is read later");
            }
        }
    };
    world::script script;
    script.names = {"home"};
    script.threads.push_back([=] {  // reads a little now and then
        for (int i = 0; i != here; ++i) {
            const auto at = static_cast<std::size_t>(i);
            note& n = s->from_here[at];
            n.number = i;
            n.content.write();
            for (std::size_t other = 0; other != 2; ++other)
                if (s->sent[other].load(std::memory_order_acquire)) s->known[at] |= 1 << other;
            const auto put = s->b.put_here(n);
            put == box::put_result::refused ? void(++s->refused) : s->readers_own.write();
            if (put == box::put_result::claimed) s->claimed = true;
            if (i == 0 && put != box::put_result::refused)
                s->sent_here.store(true, std::memory_order_release);
            if (i != 0) read(i);
        }
    });
    for (int t = 0; t != elsewhere; ++t) {
        script.names.push_back("elsewhere");
        script.threads.push_back([=] {
            const auto at = static_cast<std::size_t>(t);
            note& n = s->from_elsewhere[at];
            n.from = 1, n.number = t;
            n.content.write();
            s->knows[at] = s->sent_here.load(std::memory_order_acquire);
            const auto put = s->b.put(n);
            if (put == box::put_result::claimed) s->sent_for.store(true, std::memory_order_release);
            if (put == box::put_result::refused) n.from = 2;
            else s->sent[at].store(true, std::memory_order_release);
        });
    }
    if (shuts) {
        script.names.push_back("drain");
        script.threads.push_back([=] {
            s->b.shut();
            if (s->b.idle()) s->readers_own.read();
        });
    }
    script.at_end = [=] {
        read(100);
        int refused = s->refused;
        for (const note& n : s->from_elsewhere) refused += n.from == 2;
        world::demand(s->done + refused == elsewhere + here, "a letter lies where nobody reads it");
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
    r.add("at home and elsewhere", [] { return at_home(1, 3, false); });
    r.add("at home and elsewhere, and shut", [] { return at_home(1, 2, true); });
    r.add("at home and two elsewhere", [] { return at_home(2, 2, false); });
    r.add("3 senders, 1 letter each", [] { return senders(3, 1); });
    r.add("2 senders, 2 letters each", [] { return senders(2, 2); });
    if (count > 1) {
        r.add("2 senders, 3 letters each", [] { return senders(2, 3); }, 500'000'000);
    }
    return r.end();
}
