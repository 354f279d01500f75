// A work queue under every schedule; its lock is the explorer's mutex.
#include "../support/explorer_lock.hpp"

#include <posthaste/carry/work_queue.hpp>

#include <memory>

namespace {

using namespace posthaste::testing::explore;
using posthaste::work_queue;

struct marked : posthaste::letter {
    plain content;  // the sender's until it is put, then that of who takes it
    plain handled;  // the reader's until the queue is idle, then the sender's
    int sent = 0, refused = 0;
    int read = 0;
};

template <int N>
struct state {
    work_queue queue{N};
    marked a, b;
    plain taken;  // that of whoever takes, one at a time
    plain alone;  // the reader's, where there is one at a time
    int readers = 0;
    bool stuck = false;  // one has not come back

    marked* checked(posthaste::letter* l) {
        auto* const m = static_cast<marked*>(l);
        if (!m) return nullptr;
        m->content.write();
        world::demand(++m->read == 1, "a letter was read twice");
        return m;
    }
    // One reader, and those that are to be sent meanwhile: they come to it later.
    void read() {
        for (int sent = 1; sent != 0; --sent) {
            do {
                world::demand(++readers <= N, "more than n readers");
                for (bool one_more = false;;) {
                    marked* const m = checked(queue.take(one_more, [this] { taken.write(); }));
                    if (one_more) world::demand(++sent <= N, "more than n readers, some to come");
                    if (!m) break;
                    m->handled.write();
                }
                if (N == 1) alone.write();
                --readers;
            } while (!queue.release());
        }
    }
    // One reader that takes one letter only, and is busy with that until all others have gone.
    void read_one() {
        bool one_more = false;
        marked* const m = checked(queue.take(one_more, [this] { taken.write(); }));
        if (one_more) read();
        if (m) m->handled.write();
        stuck = true;
    }
    void send(marked& m) {
        ++m.sent;
        m.content.write();
        const auto put = queue.put(m);
        m.refused = put == work_queue::put_result::refused;
        if (put == work_queue::put_result::claimed) read();
        else if (!m.refused && queue.idle()) m.handled.read();
    }
    void send_a() { send(a); }
    void send_b() { send(b); }
    // It was taken before, and handled in vain.
    void put_back_a() {
        ++a.sent;
        a.content.write();
        if (queue.put_back(a) == work_queue::put_result::claimed) read();
    }
    void send_to_one_stuck() {
        ++a.sent;
        a.content.write();
        if (queue.put(a) == work_queue::put_result::claimed) read_one();
    }
    void claim() {
        if (queue.claim()) read();
    }
    void take_beside() { static_cast<void>(checked(queue.take_beside())); }
    void shut() { queue.shut(); }
    void check() {
        world::demand(queue.idle() == !stuck, "it is not idle in the end");
        world::demand(!queue.take_beside(), "something is left");
        world::demand(a.read + a.refused == a.sent, "a letter is lost");
        world::demand(b.read + b.refused == b.sent, "another letter is lost");
    }
};

template <int N, auto... Threads>
world::script beside() {
    auto s = world::fresh<state<N>>();
    world::name(s->queue, "queue");
    world::script script;
    (script.threads.push_back([s] { ((*s).*Threads)(); }), ...);
    script.at_end = [s] { s->check(); };
    return script;
}

}  // namespace

int main() {
    using one = state<1>;
    using two = state<2>;
    reports r;
    r.add("two senders", beside<1, &one::send_a, &one::send_b>);
    r.add("a sender, and a reader without a letter", beside<1, &one::send_a, &one::claim>);
    r.add("two senders, two readers", beside<2, &two::send_a, &two::send_b>);
    r.add("two senders, two readers, one of which does not come back",
          beside<2, &two::send_to_one_stuck, &two::send_b>);
    r.add("two senders, and it is shut", beside<1, &one::send_a, &one::send_b, &one::shut>);
    r.add("two senders, and one who takes",
          beside<1, &one::send_a, &one::send_b, &one::take_beside>);
    r.add("a sender, and one letter put back, while it is shut",
          beside<1, &one::put_back_a, &one::send_b, &one::shut>);
    r.add("a sender, and one letter put back, two readers",
          beside<2, &two::put_back_a, &two::send_b>);
    return r.end();
}
