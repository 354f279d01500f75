// Contract 4 on real threads: four producers at a queue that is nearly always full, under each
// policy and mode. The account adds up, nothing is lost, the queue keeps its bound, and what a slot
// has for itself needs no lock.
// bounded_race [messages a producer]
#include <posthaste/posthaste.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

constexpr int producers = 4;
constexpr std::size_t capacity = 3;

struct job {
    using reply = int;
    int from;
    int n;
};

int errors = 0;
void demand(bool holds, const char* what, const std::string& where) {
    if (holds) return;
    std::printf("not so: %s, at %s\n", what, where.c_str());
    ++errors;
}

struct tally {
    std::atomic<std::uint64_t> accepted = 0, refused = 0, answered = 0, unanswered = 0;
    std::atomic<std::uint64_t> handled = 0, dead = 0, most_left = 0;
};

task<> produce(client<job> c, tally& t, bus& app, std::string name, int from, int messages) {
    for (int n = 0; n != messages; ++n) {
        switch (n % 3) {
            case 0: ++(c.send(from, n) ? t.accepted : t.refused); break;
            case 1: {
                const auto ok = co_await c.send_when_room(from, n);
                ++(ok ? t.accepted : t.refused);
                break;
            }
            default: {
                const auto r = co_await c.call(from, n);
                ++(r ? t.answered : t.unanswered);
            }
        }
        if (n % 50 == 0) {
            const std::uint64_t left = app.counts(name).left;
            std::uint64_t most = t.most_left;
            while (most < left && !t.most_left.compare_exchange_weak(most, left)) {}
        }
        if (n % 7 == from) co_await yield();
    }
}

template <typename Mode>
tally& run(const Mode& mode, std::size_t at_once, int messages, const std::string& name, tally& t) {
    bus_options options;
    options.threads = 2;
    std::array<std::uint64_t, producers> in_slot{};
    bus app(options);
    app.dead_letters().on_letter([&](const dead_letter& l) {
        ++t.dead;
        if (!l.get<job>()) ++t.most_left;  // cannot be: it was never started
    });
    app.handle<job>(name, mode, [&](const job& j, context& ctx) -> task<int> {
        ++in_slot.at(ctx.slot());
        if (j.n % 4 == 0) co_await yield();
        ++t.handled;
        co_return j.n;
    });
    const auto c = app.client<job>(name, deadline(1min));
    std::vector<std::thread> outside;
    for (int from = 0; from != producers / 2; ++from) {
        outside.emplace_back([&, from] { sync_wait(produce(c, t, app, name, from, messages)); });
    }
    app.run([&]() -> task<> {
        scope inside(co_await this_context);
        for (int from = producers / 2; from != producers; ++from)
            inside.spawn([&](int f) { return produce(c, t, app, name, f, messages); }, from);
        co_await inside.join();
    });
    for (auto& thread : outside) thread.join();
    const auto drained = app.drain(1min);
    const account& a = drained->total;
    const auto all = static_cast<std::uint64_t>(producers) * static_cast<std::uint64_t>(messages);
    demand(drained->in_time, "it drains in time", name);
    demand(a.adds_up(), "the account adds up", name);
    demand(a.left == 0, "nothing is left", name);
    demand(a.handled == t.handled, "handled is what the handler saw", name);
    demand(a.handled == std::accumulate(in_slot.begin(), in_slot.end(), std::uint64_t{0}),
           "each one had a slot for itself", name);
    demand(t.accepted + t.refused + t.answered + t.unanswered == all, "each one ended", name);
    demand(a.accepted + a.refused == all, "each one was accepted or refused", name);
    demand(a.handled + a.dropped == a.accepted, "what was accepted was handled or dropped", name);
    demand(a.handled + t.dead == t.accepted + t.answered, "a send is handled or a dead letter",
           name);
    demand(t.most_left <= capacity + at_once + producers, "the queue keeps its bound", name);
    return t;
}

template <typename Mode>
void each_policy(const Mode& mode, std::size_t at_once, int messages, const std::string& name) {
    const auto bounded = mode.capacity(capacity);
    tally reject, newest, wait, oldest;
    run(bounded.full(when_full::reject), at_once, messages, name + "_reject", reject);
    demand(reject.refused > 0 && reject.dead == 0, "it refuses", name);
    run(bounded.full(when_full::drop_newest), at_once, messages, name + "_drop_newest", newest);
    demand(newest.dead > 0, "it drops", name);
    run(bounded.full(when_full::wait), at_once, messages, name + "_wait", wait);
    demand(wait.dead == 0 && wait.unanswered == 0, "who waits is served", name);
    run(bounded.full(when_full::drop_oldest), at_once, messages, name + "_drop_oldest", oldest);
    demand(oldest.dead > 0, "it drops the oldest", name);
}

}  // namespace

int main(int argc, char** argv) {
    const int messages = argc > 1 ? std::atoi(argv[1]) : 10'000;
    each_policy(serial, 1, messages, "serial");
    each_policy(parallel(2), 2, messages, "parallel");
    each_policy(keyed(&job::from), producers, messages, "keyed");
    return errors == 0 ? 0 : 1;
}
