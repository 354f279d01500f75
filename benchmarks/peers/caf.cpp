// The C++ Actor Framework.  SPDX-License-Identifier: BSL-1.0
//
// An actor answers by a message; mailboxes are not bounded. The messages are of types that every
// version knows: a number is a request, two are a message to the sink.
#include "audience.hpp"
#include "measure.hpp"
#include "window.hpp"
#include "workloads.hpp"

#include <caf/all.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace {

class actor_system {
public:
    explicit actor_system(unsigned threads) : system_(with(threads)) {}
    caf::actor_system& operator*() noexcept { return system_; }
    caf::actor_system* operator->() noexcept { return &system_; }

private:
    caf::actor_system_config& with(unsigned threads) {
#if CAF_VERSION >= 1800
        caf::core::init_global_meta_objects();
        config_.set("caf.scheduler.max-threads", threads);
#else
        config_.set("scheduler.max-threads", threads);
#endif
        return config_;
    }
    caf::actor_system_config config_;
    caf::actor_system system_;
};

caf::behavior adder() {
    return {[](std::uint64_t to) { return to + 1; }};
}

/// Calls n times, then answers who began it.
struct caller_state {
    std::uint64_t left = 0, sum = 0;
    caf::response_promise end;
};
void call(caf::stateful_actor<caller_state>* self, const caf::actor& to) {
    self->request(to, caf::infinite, self->state.sum).then([self, to](std::uint64_t sum) {
        self->state.sum = sum;
        if (--self->state.left == 0) self->state.end.deliver(sum);
        else call(self, to);
    });
}
caf::behavior caller(caf::stateful_actor<caller_state>* self, const caf::actor& to) {
    return {[self, to](std::uint64_t n) {
        self->state.left = n, self->state.sum = 0;
        self->state.end = self->make_response_promise();
        call(self, to);
        return self->state.end;
    }};
}

template <std::size_t Callers, unsigned Threads>
class calls {
public:
    static constexpr std::uint64_t batch = Callers == Threads ? 1 : Callers;
    calls() {
        for (std::size_t i = 0; i != Callers; ++i) callers_.push_back(system_->spawn(caller, to_));
    }
    std::uint64_t operator()(std::uint64_t n) {
        caf::scoped_actor self(*system_);
        std::uint64_t done = 0;
        for (const auto& c : callers_) self->send(c, n);
        for (std::size_t i = 0; i != Callers; ++i)
            self->receive([&](std::uint64_t sum) { done += sum; });
        return done / (Callers / batch);
    }

private:
    actor_system system_{Threads};
    const caf::actor to_ = system_->spawn(adder);
    std::vector<caf::actor> callers_;
};

class calls_from_outside {
public:
    std::uint64_t operator()(std::uint64_t n) {
        caf::scoped_actor self(*system_);
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) {
            self->request(to_, caf::infinite, sum)
                .receive([&](std::uint64_t answer) { sum = answer; },
                         [](const caf::error&) { fail("no answer"); });
        }
        return sum;
    }

private:
    actor_system system_{1};
    const caf::actor to_ = system_->spawn(adder);
};

/// Some actors; the message's number says whose it is.
template <bool Ordered, std::uint32_t Actors, unsigned Threads>
class sinks {
public:
    explicit sinks(std::size_t) {
        for (std::uint32_t i = 0; i != Actors; ++i) {
            to_.push_back(system_->spawn([this]() -> caf::behavior {
                return {[this](std::uint32_t from, std::uint32_t number) {
                    handled.one(numbered<8>{from, number});
                }};
            }));
        }
    }
    receiver<Ordered> handled;

    class producer {
    public:
        explicit producer(sinks& to) : to_(to) {}
        void send(const numbered<8>& m) {
            caf::anon_send(to_.to_[m.number % Actors], m.producer, m.number);
        }

    private:
        sinks& to_;
    };

private:
    actor_system system_{Threads};
    std::vector<caf::actor> to_;
};
using sink = sinks<in_order, 1, 1>;
template <std::uint32_t Keys>
using keys = sinks<in_any_order, Keys, 2>;

/// The publisher is an actor too. Where it may have to wait for the subscribers it asks them to
/// tell it when they have heard that message.
template <std::size_t Subscribers, unsigned Threads>
class publishes {
public:
    static constexpr std::uint64_t batch = Subscribers;
    publishes() {
        for (std::size_t i = 0; i != Subscribers; ++i)
            to_.push_back(system_->spawn(subscriber, &heard_, i));
    }
    std::uint64_t operator()(std::uint64_t n) {
        caf::scoped_actor self(*system_);
        self->send(publisher_, n);
        self->receive([](bool) {});
        return n * Subscribers;
    }

private:
    static constexpr std::uint64_t half = audience<Subscribers>::window / 2;
    static caf::behavior subscriber(caf::event_based_actor* self, audience<Subscribers>* heard,
                                    std::size_t i) {
        return {[self, heard, i](std::uint64_t number, bool tell) {
            heard->one(i, event{number});
            if (tell) self->send(caf::actor_cast<caf::actor>(self->current_sender()), true);
        }};
    }
    struct state {
        std::uint64_t next = 0, last = 0;
        caf::response_promise end;
    };
    static caf::behavior publisher(caf::stateful_actor<state>* self, publishes* of) {
        return {[self, of](std::uint64_t n) {
                    self->state.last += n;
                    self->state.end = self->make_response_promise();
                    of->go_on(self);
                    return self->state.end;
                },
                [self, of](bool) { of->go_on(self); }};
    }
    void go_on(caf::stateful_actor<state>* self) {
        auto& [next, last, end] = self->state;
        for (; next != last; ++next) {
            if (!heard_.is_ready_for(next)) return;
            const bool tell = (next + 1) % half == 0 || next + 1 == last;
            const auto message = caf::make_message(next, tell);
            for (const auto& to : to_) self->send(to, message);
        }
        if (end.pending() && heard_.all_heard() == last) end.deliver(true);
    }
    audience<Subscribers> heard_;
    actor_system system_{Threads};
    std::vector<caf::actor> to_;
    const caf::actor publisher_ = system_->spawn(publisher, this);
};

template <std::size_t Subscribers>
bool to() {
    const std::string name = workload::publish(Subscribers);
    contend<publishes<Subscribers, 1>>(name, "CAF");
    contend<publishes<Subscribers, 2>>(name, "CAF, 2 threads");
    return true;
}

class ring {
public:
    ring() {
        caf::actor next;
        for (std::uint64_t i = 0; i != workload::ring_members; ++i) {
            next = system_->spawn(member, this, next);
            if (i == 0) last_ = next;
        }
        first_ = next;
        caf::anon_send(last_, first_);
    }
    ~ring() { caf::anon_send(last_, caf::actor()); }  // a ring would own itself
    std::uint64_t operator()(std::uint64_t n) {
        caf::scoped_actor self(*system_);
        hops_ = 0;
        self->send(first_, n, caf::actor_cast<caf::actor>(self));
        self->receive([](bool) {});
        return hops_;
    }

private:
    static caf::behavior member(caf::event_based_actor* self, ring* of, const caf::actor& to) {
        auto next = std::make_shared<caf::actor>(to);
        return {[self, of, next](std::uint64_t left, const caf::actor& end) {
                    ++of->hops_;
                    if (left == 1) self->send(end, true);
                    else self->send(*next, left - 1, end);
                },
                [next](const caf::actor& a) { *next = a; }};
    }
    actor_system system_{1};
    caf::actor first_, last_;
    std::uint64_t hops_ = 0;
};

[[maybe_unused]] const bool contenders[] = {
    contend<calls<1, 1>>(workload::call_idle, "CAF"),
    contend<calls<2, 2>>(workload::call_contended, "CAF"),
    contend<calls<64, 1>>(workload::callers_1, "CAF"),
    contend<calls<64, 2>>(workload::callers_2, "CAF"),
    contend<calls_from_outside>(workload::call_parked, "CAF"),
    contend<sends<sink, 8>>(workload::send(8, 1, true), "CAF", 1u),
    contend<sends<sink, 8>>(workload::send(8, 2, true), "CAF", 2u),
    contend<sends<sink, 8>>(workload::send(8, 4, true), "CAF", 4u),
    // Four actors that get the messages in turn, as no two actors share a mailbox.
    contend<sends<sinks<in_any_order, 4, 4>, 8>>(workload::send_shared, "CAF", most_producers),
    // An actor a key; a million of them would take more than a gigabyte.
    contend<sends<keys<1>, 8>>(workload::send_keyed(1), "CAF", std::size_t{2}),
    contend<sends<keys<100>, 8>>(workload::send_keyed(100), "CAF", std::size_t{2}),
    to<8>(),
    to<64>(),
    contend<ring>(workload::ring, "CAF"),
};

}  // namespace
