// A subscriber that is ended while its lane goes to rest, under every schedule: its handler goes
// once, when nothing is left for it; then it goes itself, when nobody uses it any more.
#include "../support/explorer_endpoint.hpp"

#include <posthaste/serve/switchboard.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

namespace {

using namespace posthaste::testing::explore;
using posthaste::endpoint_core, posthaste::envelope, posthaste::handler, posthaste::lane,
    posthaste::subscriber;

struct state;

struct listens final : handler {
    explicit listens(state& s) noexcept : handler(all.data(), 1), of(s) {}
    ~listens() override;
    state& of;

    static constexpr std::array<entry, 1> all{{{&posthaste::detail::type_of<job>, nullptr, false}}};
};

/// Two queues, each with a lane, as keyed_endpoint; mostly one of them is used, as in
/// serial_endpoint. It handles a message in one step.
class queue final : public endpoint_core {
public:
    explicit queue(state& s);
    ~queue() override;
    // At the same address in each run, as the state.
    static void* operator new(std::size_t) {
        alignas(queue) static std::byte memory[sizeof(queue)];
        return memory;
    }
    static void operator delete(void*) noexcept {}

    struct lane_of : lane {
        using lane::lane;
        posthaste::mailbox box;
    };
    lane* claim(envelope&) noexcept override { return one_.box.claim() ? &one_ : nullptr; }
    bool enqueue(envelope& e) noexcept override;
    bool enqueue(envelope& e, lane_of& to) noexcept;
    // As lane::read_on().
    void read(lane_of& by) noexcept {
        for (;;) {
            if (take(by)) continue;
            const resting held(*this);
            if (release(by)) return;
        }
    }
    void for_each_lane(void* with, void (*f)(void*, lane&)) override {
        f(with, one_);
        f(with, other_);
    }
    bool rests() const noexcept override { return one_.box.idle() && other_.box.idle(); }
    lane_of& one() noexcept { return one_; }
    lane_of& other() noexcept { return other_; }

private:
    envelope* take(lane&) noexcept override;
    bool release(lane&) noexcept override;
    envelope* take_oldest() noexcept override { return static_cast<envelope*>(one_.box.take()); }
    void shut() noexcept override {
        one_.box.shut();
        other_.box.shut();
    }

    state& of_;
    lane_of one_{*this}, other_{*this};
};

struct plan final : posthaste::endpoint_plan {
    explicit plan(state& s) noexcept : of(s) {}
    posthaste::detail::owned<endpoint_core> carry_out(std::string_view) override {
        return std::make_unique<queue>(of);
    }
    const posthaste::handler_entry& only() const noexcept override { return listens::all.front(); }
    state& of;
};

struct state {
    told a, b;
    desk at{false};
    posthaste::dead_letters dead;
    posthaste::switchboard board;
    plain handled;  // what the handler has: the lane's, then that of who destroys it
    bool shared = false;  // two lanes have the handler: they read what it has
    plain used;  // the endpoint: those who use it read it, who destroys it writes
    int accepted = 0, heard = 0, handlers = 1, endpoints = 1;
    bool sent = false;  // a lane, by publish()
    bool over = false;  // what is left goes, and nobody looks
    subscriber* const who = new subscriber(board, "t", "", std::make_unique<plan>(*this));
    queue* to = nullptr;

    // A message is in its queue, and its lane on its way.
    state() {
        const atomic<bool> draining = false;
        world::demand(board.add(*who, draining, [] {}), "it is not added");
        to = static_cast<queue*>(who->needed());
        to->claim(a);
        accepted += to->enqueue(a);
    }
    void publish_to_other() {
        to->other().box.claim();
        accepted += to->enqueue(b, to->other());
        shared = true;
    }
    ~state() {
        over = true;
        subscriber* left = nullptr;
        board.for_each([&](subscriber& s) { left = &s; });
        if (!left) return;
        left->leave();
        delete left;
    }

    void read() { to->read(to->one()); }
    void read_other() { to->read(to->other()); }
    void publish() { accepted += to->enqueue(b); }
    void read_if_sent() {
        if (std::exchange(sent, false)) read();
    }
    // One who knows it as listening.
    void let_go() {
        used.read();
        who->let_go();
    }
    void finish() {
        world::demand(who->end(true), "it had ended before");
        let_go();
    }
    // As a bus does, twice: the lane may hold it between the looks at its two parts.
    void go_once_idle() {
        if (board.busy() || board.busy()) return;
        handled.write();
    }
    void check() {
        world::demand(heard == accepted, "a message is lost");
        world::demand(handlers == 0, "its handler is left");
        world::demand(endpoints == 0, "it is left");
    }
};

listens::~listens() {
    if (of.over) return;
    --of.handlers;
    of.handled.write();
}
queue::queue(state& s)
    : endpoint_core("queue", s.at, s.dead, std::make_unique<listens>(s), 8,
                    posthaste::when_full::reject),
      of_(s) {}
queue::~queue() {
    if (of_.over) return;
    --of_.endpoints;
    of_.used.write();
}
bool queue::enqueue(envelope& e) noexcept { return enqueue(e, one_); }
bool queue::enqueue(envelope& e, lane_of& to) noexcept {
    const auto put = to.box.put(e);
    if (put == posthaste::mailbox::put_result::claimed) of_.sent = true;
    return put != posthaste::mailbox::put_result::refused;
}
envelope* queue::take(lane& by) noexcept {
    auto* const e = static_cast<envelope*>(static_cast<lane_of&>(by).box.take());
    if (!e) return nullptr;
    of_.shared ? of_.handled.read() : of_.handled.write();
    world::demand(of_.handlers == 1, "its handler has gone");
    ++of_.heard;
    return e;
}
bool queue::release(lane& by) noexcept {
    const bool rests = static_cast<lane_of&>(by).box.release();
    of_.used.read();
    return rests;
}

std::shared_ptr<state> fresh() {
    auto s = world::fresh<state>();
    world::name(*s->who, "subscriber");
    world::name(s->board, "board");
    world::name(*s->to, "endpoint");
    return s;
}

world::script ends_at_rest() {
    auto s = fresh();
    world::script script;
    script.names = {"lane", "owner"};
    script.threads.push_back([s] { s->read(); });
    script.threads.push_back([s] { s->finish(); });
    script.at_end = [s] { s->check(); };
    return script;
}

// One more message comes as the lane rests; it is handled elsewhere, when all has been shut.
world::script ends_after_another() {
    auto s = fresh();
    world::script script;
    script.names = {"lane", "owner"};
    script.threads.push_back([s] { s->read(); });
    script.threads.push_back([s] {
        s->publish();
        s->finish();
        s->read_if_sent();
    });
    script.at_end = [s] { s->check(); };
    return script;
}

world::script ends_while_told() {
    auto s = fresh();
    s->read();
    s->who->hold_once();
    world::script script;
    script.names = {"publisher", "owner"};
    script.threads.push_back([s] {
        s->publish();
        s->read_if_sent();
        s->let_go();
    });
    script.threads.push_back([s] { s->finish(); });
    script.at_end = [s] { s->check(); };
    return script;
}

// It has ended; a bus goes once nobody is busy.
world::script bus_goes() {
    auto s = fresh();
    s->who->end(true);
    world::script script;
    script.names = {"lane", "bus"};
    script.threads.push_back([s] { s->read(); });
    script.threads.push_back([s] { s->go_once_idle(); });
    script.at_end = [s] {
        s->let_go();
        s->check();
    };
    return script;
}

// Each may be the last to rest, or find that the other one is.
world::script two_lanes_rest() {
    auto s = fresh();
    s->publish_to_other();
    s->who->end(true);
    world::script script;
    script.names = {"one", "other"};
    script.threads.push_back([s] { s->read(); });
    script.threads.push_back([s] { s->read_other(); });
    script.at_end = [s] {
        s->let_go();
        s->check();
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("it ends as its lane rests", ends_at_rest);
    r.add("it ends after another message", ends_after_another);
    r.add("it ends while it is told", ends_while_told);
    r.add("it has ended, and the bus goes", bus_goes);
    r.add("it has ended, and two lanes rest", two_lanes_rest);
    return r.end();
}
