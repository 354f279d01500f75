// A full queue, its waiting room and the stop of a handler, under every schedule.
#include "../support/explorer_endpoint.hpp"

#include <posthaste/serve/endpoint_core.hpp>
#include <posthaste/serve/serial_endpoint.hpp>

#include <coroutine>
#include <memory>

namespace {

using namespace posthaste::testing::explore;
using posthaste::endpoint_core, posthaste::envelope, posthaste::lane, posthaste::when_full;

/// A queue with one lane, as that of serial_endpoint, whose parts can be called one by one.
class parts final : public endpoint_core {
public:
    template <typename State>
    parts(State& s, desk& at, posthaste::dead_letters& dead, std::size_t capacity, when_full full)
        : endpoint_core("parts", at, dead, std::make_unique<handled_by<State>>(s), capacity, full) {
    }
    envelope* read() noexcept { return take(reader); }
    lane* claim(envelope&) noexcept override { return nullptr; }
    void for_each_lane(void* with, void (*f)(void*, lane&)) override { f(with, reader); }
    bool rests() const noexcept override { return box_.idle(); }

private:
    bool enqueue(envelope& e) noexcept override {
        e.how = find(e.type());
        return box_.put(e) != posthaste::mailbox::put_result::refused;
    }
    envelope* take(lane&) noexcept override {
        auto* const e = static_cast<envelope*>(box_.take());
        if (e) taken();
        return e;
    }
    bool release(lane&) noexcept override { return box_.release(); }
    envelope* take_oldest() noexcept override { return static_cast<envelope*>(box_.take()); }
    void shut() noexcept override { box_.shut(); }

    posthaste::mailbox box_;

public:
    lane reader{*this};
};

template <std::size_t Capacity, when_full Full>
struct queue {
    asked a, b, c;
    desk at{false};
    posthaste::dead_letters dead;
    parts core{*this, at, dead, Capacity, Full};
    void handle(lane&) noexcept {}
};

// The queue is full, but one leaves it just now.
world::script waits_for_room() {
    using state = queue<1, when_full::wait>;
    auto s = world::fresh<state>();
    world::name(s->core, "core");
    world::demand(s->core.put(s->a, true) == endpoint_core::admission::accepted, "there is room");
    world::script script;
    script.names = {"sender", "reader"};
    script.threads.push_back([s] { s->core.put(s->b, true); });
    script.threads.push_back([s] { s->core.read(); });
    script.at_end = [s] {
        world::demand(!s->b.call()->waits_for_room, "it waits, and there is room");
    };
    return script;
}

/// Waits for room for a message.
struct asks_for_room final : posthaste::called_envelope {
    told sent;
    posthaste::frame sender{std::coroutine_handle<>()};
    explicit asks_for_room(desk& at) noexcept : called_envelope(asked::kind) {
        only_room = true;
        message = &sent;
        caller = &sender;
        sender.at = &at;
    }
    void fail(posthaste::failure) noexcept override {}
    void succeed() noexcept override {}
};

struct places {
    told a, b, next;
    desk at{false};
    posthaste::dead_letters dead;
    parts core{*this, at, dead, 2, when_full::wait};
    asks_for_room request{at};
    bool both = false;
    places() {
        core.promise_place(a), core.promise_place(b);  // now it is full
    }
    void handle(lane&) noexcept {}
};

// Two places become free while a sender asks for room for one message, and then sends another.
world::script keeps_order_past_the_room() {
    auto s = world::fresh<places>();
    world::name(s->core, "core");
    world::name(s->request, "request");
    world::script script;
    script.names = {"sender", "one who leaves", "another"};
    script.threads.push_back([s] {
        if (s->core.put(s->request, true) == endpoint_core::admission::waiting) {
            if (s->request.cell.wait()) return;
            s->core.pass_by_room();
        }
        s->both = s->core.put(s->next, false) == endpoint_core::admission::accepted;
    });
    script.threads.push_back([s] { s->core.break_promise(); });
    script.threads.push_back([s] { s->core.break_promise(); });
    script.at_end = [s] {
        world::demand(s->core.read() == &s->request.sent, "the first is not the first");
        world::demand(s->core.read() == (s->both ? &s->next : nullptr), "no second, or another");
    };
    return script;
}

// It is shut, while a sender gives up the message that it brings, as the queue is full. What its
// hook does happens before it is at rest, or not at all.
world::script drops_at_the_end() {
    struct state {
        told a;
        desk at{false};
        plain heard;
        posthaste::dead_letters dead;
        parts core{*this, at, dead, 0, when_full::drop_newest};
        state() {
            dead.on_letter([this](const posthaste::dead_letter&) { heard.write(); });
        }
        void handle(lane&) noexcept {}
    };
    auto s = world::fresh<state>();
    world::name(s->core, "core");
    world::script script;
    script.names = {"sender", "closer"};
    script.threads.push_back([s] { s->core.put(s->a, false); });
    script.threads.push_back([s] {
        s->core.close();
        if (s->core.idle()) s->heard.read();
    });
    return script;
}

// It is shut, while whoever gives a place back admits a sender, whose message finds it shut. What
// its hook does happens before it is at rest, or not at all.
world::script admits_at_the_end() {
    struct state {
        told a;
        desk at{false};
        plain heard;
        posthaste::dead_letters dead;
        parts core{*this, at, dead, 1, when_full::wait};
        asks_for_room request{at};
        state() {
            dead.on_letter([this](const posthaste::dead_letter&) { heard.write(); });
            core.promise_place(a);
            core.put(request, true);  // it waits
        }
        void handle(lane&) noexcept {}
    };
    auto s = world::fresh<state>();
    world::name(s->core, "core");
    world::script script;
    script.names = {"one who leaves", "closer"};
    script.threads.push_back([s] { s->core.break_promise(); });
    script.threads.push_back([s] {
        s->core.close();
        if (s->core.idle()) s->heard.read();
    });
    return script;
}

struct stopping {
    asked a, b;
    desk at{false};
    posthaste::dead_letters dead;
    parts core{*this, at, dead, 8, when_full::reject};
    const envelope* heeds = nullptr;  // its handler goes on until it is asked to stop
    int others = 0;  // that were asked to stop
    void handle(lane& l) noexcept {
        if (&l.handled() == heeds)
            while (!l.ctx().stop_requested()) posthaste::std::this_thread::yield();
        else if (&l.handled() == &b) others += l.ctx().stop_requested();
    }
};

void give_up(asked& call) {
    call.cell.settle(posthaste::ending::expired);
    if (call.cell.was_begun()) call.where->cancel(&call);
}

// Two messages; callers that give up. Their handlers are asked to stop, and no other.
world::script give_up(asked stopping::* heeds, bool both) {
    auto s = world::fresh<stopping>();
    world::name(s->core, "core");
    world::name(s->a, "call a");
    world::name(s->b, "call b");
    if (heeds) s->heeds = &(*s.*heeds);
    s->core.put(s->a, false), s->core.put(s->b, false);
    world::script script;
    script.names = {"reader", "caller a", "caller b"};
    script.threads.push_back([s] { s->core.reader.run(s->core.reader); });
    script.threads.push_back([s] { give_up(s->a); });
    if (both) script.threads.push_back([s] { give_up(s->b); });
    script.at_end = [s] { world::demand(s->others == 0, "another was asked to stop"); };
    return script;
}

// One message is handled on top of its caller, then one from the queue, while all are asked to
// stop, twice, or as at the end of a bus: until they rest. Then the lane has nothing.
world::script stop_all(bool until_they_rest) {
    auto s = world::fresh<stopping>();
    world::name(s->core, "core");
    world::name(s->a, "call a");
    world::name(s->b, "call b");
    if (until_they_rest) s->heeds = &s->b;
    s->a.how = s->core.find(s->a.type());
    s->core.put(s->b, false);  // so the lane is claimed
    world::script script;
    script.names = {"reader", "who ends the bus"};
    script.threads.push_back([s] {
        lane& l = s->core.reader;
        l.prepare(s->a, s->a, posthaste::never, posthaste::forever);
        s->handle(l);
        l.end_inline(s->a, nullptr, false);
        l.run(l);
    });
    script.threads.push_back([s, until_they_rest] {
        lane& l = s->core.reader;
        l.cancel(nullptr);
        if (!until_they_rest) return l.cancel(nullptr);
        while (!s->core.rests()) {
            posthaste::std::this_thread::yield();
            l.cancel(nullptr);
        }
    });
    script.at_end = [s] { world::demand(!s->core.reader.busy(), "it handles nothing"); };
    return script;
}

/// Runs what is posted when it is driven, by one thread.
class one_thread final : public posthaste::executor {
public:
    posthaste::time_point now() const noexcept override { return {}; }
    void post(posthaste::work& w) noexcept override {
        const posthaste::std::lock_guard guard(mutex_);
        world::demand(!posted_, "one lane is posted twice");
        posted_ = &w;
    }
    bool one_by_one() const noexcept override { return true; }
    void arm(posthaste::timer&, posthaste::time_point) noexcept override {}
    void disarm(posthaste::timer&) noexcept override {}
    void drive(posthaste::detail::flag&) override {}
    bool drive_while(bool (*)(void*), void*, posthaste::time_point) override { return true; }
    void drive_ready() noexcept override {
        mutex_.lock();
        posthaste::work* const w = std::exchange(posted_, nullptr);
        mutex_.unlock();
        if (w) w->run(*w);
    }
    bool idle_here() const noexcept override { return true; }

private:
    posthaste::std::mutex mutex_;
    posthaste::work* posted_ = nullptr;
};

struct unclaimed {
    asked call;
    told letter;
    one_thread at;
    posthaste::dead_letters dead;
    plain content;  // the handler's
    int handled = 0;
    bool inside = false, drives = false;

    void work() noexcept {
        world::demand(!std::exchange(inside, true), "two handlers at once");
        content.write();
        if (drives) at.drive_ready();
        ++handled;
        inside = false;
    }
    class its_handler final : public posthaste::handler {
    public:
        explicit its_handler(unclaimed& s) : handler(&how, 1), state_(s) {}

    private:
        static bool start(handler& h, lane& l) noexcept {
            static_cast<its_handler&>(h).state_.work();
            return l.close_case(nullptr, true), true;
        }
        static posthaste::failure* at_once(handler& h, void*, void*) noexcept {
            return static_cast<its_handler&>(h).state_.work(), nullptr;
        }
        unclaimed& state_;

    public:
        static constexpr posthaste::handler_entry how{&posthaste::detail::type_of<job>, &start,
                                                      false, &at_once};
    };
    posthaste::serial_endpoint core{"core", at, dead, std::make_unique<its_handler>(*this),
                                    posthaste::serial};
    unclaimed() noexcept { call.how = letter.how = &its_handler::how; }
    bool answers() noexcept { return core.answer_at_once(its_handler::how, nullptr, nullptr); }
};

enum class sent { nothing, a_call, a_letter };

// Calls are answered at once, on the one thread there is for that, while another one sends, or
// closes the endpoint, or both. Within the handler its home may be driven.
world::script answers_unclaimed(sent what, bool closes, bool drives) {
    auto s = world::fresh<unclaimed>();
    world::name(s->core, "core");
    s->drives = drives;
    auto answered = std::make_shared<int>();
    auto accepted = std::make_shared<bool>();
    world::script script;
    script.names = {"loop", "another", "closer"};
    script.threads.push_back([s, answered] {
        *answered += s->answers();
        s->at.drive_ready();
        *answered += s->answers();
    });
    if (what != sent::nothing)
        script.threads.push_back([s, what, accepted] {
            envelope& e = what == sent::a_call ? static_cast<envelope&>(s->call) : s->letter;
            *accepted = s->core.put(e, false) == endpoint_core::admission::accepted;
        });
    if (closes)
        script.threads.push_back([s] {
            s->core.close();
            endpoint_core::see_closed(s->at);
            if (s->core.idle()) s->content.write();  // as who destroys it
        });
    script.at_end = [s, closes, answered, accepted] {
        s->at.drive_ready();
        world::demand(s->handled == *answered + *accepted, "one was not handled");
        world::demand(closes || *accepted, "it was refused");
        world::demand(s->core.idle(), "it is not at rest");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("wait for room", waits_for_room);
    r.add("keep the order past the room", keeps_order_past_the_room);
    r.add("a caller gives up", [] { return give_up(&stopping::a, false); });
    r.add("a caller gives up, nobody listens", [] { return give_up(nullptr, false); });
    r.add("all are asked to stop twice", [] { return stop_all(false); });
    r.add("all are asked to stop until they rest", [] { return stop_all(true); });
    r.add("drops at the end", drops_at_the_end);
    r.add("admits at the end", admits_at_the_end);
    r.add("answers unclaimed, another calls",
          [] { return answers_unclaimed(sent::a_call, false, false); });
    r.add("the same, and drives", [] { return answers_unclaimed(sent::a_call, false, true); });
    r.add("the same, another sends", [] { return answers_unclaimed(sent::a_letter, false, true); });
    r.add("the same, another closes", [] { return answers_unclaimed(sent::nothing, true, true); });
    r.add("one calls, one closes", [] { return answers_unclaimed(sent::a_call, true, true); });
    r.add("two callers give up", [] { return give_up(&stopping::b, true); });
    return r.end();
}
