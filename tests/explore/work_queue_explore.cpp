// The word of a work queue, under every schedule; the queue of the letters behind a mutex.
#define POSTHASTE_MUTEX_QUEUE 1
#include "../support/explorer_lock.hpp"

#include <posthaste/carry/work_queue.hpp>

#include <functional>
#include <memory>

namespace {

using namespace posthaste::testing::explore;
using posthaste::work_queue;

struct marked : posthaste::letter {
    plain content;  // the sender's until it is put, then that of who takes it
    plain handled;  // the reader's until the queue is idle, then the sender's
    bool refused = false;
    int read = 0;
};

template <int N>
struct state {
    work_queue queue{N};
    marked a, b;
    plain alone;  // the reader's, where there is one at a time
    int readers = 0;

    marked* take_one() {
        auto* const m = static_cast<marked*>(queue.take());
        if (!m) return nullptr;
        m->content.write();
        world::demand(++m->read == 1, "a letter was read twice");
        return m;
    }
    void read() {
        do {
            world::demand(++readers <= N, "more than n readers");
            if (N == 1) alone.write();
            while (marked* const m = take_one()) m->handled.write();
            --readers;
        } while (!queue.release());
    }
    void send(marked& m) {
        m.content.write();
        const auto put = queue.put(m);
        m.refused = put == work_queue::put_result::refused;
        if (put == work_queue::put_result::claimed) read();
        else if (!m.refused && queue.idle()) m.handled.read();
    }
    void check() {
        world::demand(queue.idle(), "it is not idle in the end");
        world::demand(!queue.take(), "something is left");
        world::demand(a.read + a.refused == 1 && b.read + b.refused == 1, "a letter is lost");
    }
};

// Two senders, and what others do.
template <int N>
world::script senders(std::function<void(state<N>&)> other) {
    auto s = world::fresh<state<N>>();
    world::name(s->queue, "queue");
    world::script script;
    script.names = {"sender", "another", "other"};
    script.threads.push_back([s] { s->send(s->a); });
    script.threads.push_back([s] { s->send(s->b); });
    if (other) script.threads.push_back([s, other] { other(*s); });
    script.at_end = [s] { s->check(); };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("one reader", [] { return senders<1>(nullptr); });
    r.add("one reader, claimed without a letter", [] {
        return senders<1>([](auto& s) {
            if (s.queue.claim()) s.read();
        });
    });
    r.add("one reader, and it is shut", [] { return senders<1>([](auto& s) { s.queue.shut(); }); });
    r.add("two readers", [] { return senders<2>(nullptr); });
    r.add("one reader, one taken beside",
          [] { return senders<1>([](auto& s) { static_cast<void>(s.take_one()); }); });
    return r.end();
}
