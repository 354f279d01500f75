// The C++ Actor Framework.  SPDX-License-Identifier: BSL-1.0
//
// An actor answers by a message; mailboxes are not bounded. The messages are of types that every
// version knows: a number is a request, two are a message to the sink.
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

class sink {
public:
    explicit sink(std::size_t) {}
    receiver<in_order> handled;

    class producer {
    public:
        explicit producer(sink& to) : to_(to) {}
        void send(const numbered<8>& m) { caf::anon_send(to_.to_, m.producer, m.number); }

    private:
        sink& to_;
    };

private:
    actor_system system_{1};
    const caf::actor to_ = system_->spawn([this]() -> caf::behavior {
        return {[this](std::uint32_t from, std::uint32_t number) {
            handled.one(numbered<8>{from, number});
        }};
    });
};

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
    contend<ring>(workload::ring, "CAF"),
};

}  // namespace
