// Contract 4: full queues, and that no message is lost in silence.
#include <posthaste/serve/endpoint_core.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::launched;
using posthaste::testing::outcome;
using posthaste::testing::sleep_soundly;

namespace {

struct job {
    using reply = int;
    int n;
    int key() const { return n % 3; }
};

/// A bus with one endpoint of capacity 2, whose handler takes 10 ms.
template <typename Mode>
struct world {
    simulation sim;
    bus app;
    std::vector<int> handled;
    world(const Mode& mode, std::uint64_t seed) : sim(seed), app(sim) {
        app.handle<job>("work", mode.capacity(2), [this](job j) -> task<int> {
            co_await sleep_for(10ms);
            handled.push_back(j.n);
            co_return j.n;
        });
    }
    client<job> work() const { return app.client<job>("work"); }
    account counts() const { return app.counts("work"); }
    /// Fills the handler and the queue with 0, 1, 2 ...; returns the first number not accepted.
    int fill(int at_work) {
        for (int n = 0; n != at_work; ++n) {
            CHECK(work().send(n));
            sim.advance(1ms);
        }
        CHECK(work().send(at_work));
        CHECK(work().send(at_work + 1));
        return at_work + 2;
    }
};

task<result<int>> call(client<job> c, int n) { co_return co_await c.call(n); }
task<result<void>> send_when_room(client<job> c, int n) { co_return co_await c.send_when_room(n); }

std::uint64_t any_seed() { return static_cast<std::uint64_t>(GENERATE(range(1, 6))); }

template <typename Mode>
void reject_refuses(const Mode& mode, int at_work) {
    world<Mode> w(mode.full(when_full::reject), any_seed());
    const int n = w.fill(at_work);
    const auto sent = w.work().send(n);
    CHECK(outcome(sent) == "overloaded, none");
    CHECK(sent.error().message() == "overloaded at work: the queue is full");
    CHECK(outcome(w.app.run([&] { return call(w.work(), n); })) == "overloaded, none");
    CHECK(outcome(w.app.run([&] { return send_when_room(w.work(), n); })) == "overloaded, none");
    w.sim.advance(1s);
    CHECK(w.handled.size() == static_cast<std::size_t>(n));
    CHECK(w.counts().refused == 3);
    CHECK(w.counts().handled == static_cast<std::uint64_t>(n));
    CHECK(w.counts().adds_up());
    CHECK(w.app.dead_letters().total() == 0);
}

template <typename Mode>
void drop_newest_drops_what_comes(const Mode& mode, int at_work) {
    world<Mode> w(mode.full(when_full::drop_newest), any_seed());
    const int n = w.fill(at_work);
    CHECK(w.work().send(n));  // accepted, for the dead letters
    CHECK(outcome(w.app.run([&] { return call(w.work(), n); })) == "overloaded, none");
    w.sim.advance(1s);
    CHECK(w.handled.size() == static_cast<std::size_t>(n));
    CHECK(w.counts().accepted == static_cast<std::uint64_t>(n) + 1);
    CHECK(w.counts().dropped == 1);
    CHECK(w.counts().refused == 1);
    CHECK(w.counts().adds_up());
    int dead = -1;
    w.app.dead_letters().for_each([&](const dead_letter& l) { dead = l.get<job>()->n; });
    CHECK(dead == n);
}

template <typename Mode>
void drop_oldest_drops_the_first(const Mode& mode, int at_work) {
    world<Mode> w(mode.full(when_full::drop_oldest), any_seed());
    for (int n = 0; n != at_work; ++n) {
        CHECK(w.work().send(n));
        w.sim.advance(1ms);
    }
    launched<result<int>> oldest(w.sim, call(w.work(), 100));
    w.sim.advance(1ms);
    CHECK(w.work().send(101));
    CHECK(w.work().send(102));  // the oldest is a call: it is told
    w.sim.advance(0ms);
    REQUIRE(oldest.done());
    const auto r = oldest.value();
    CHECK(outcome(r) == "overloaded, none");
    CHECK(r.error().detail() == "it gave way to a newer one");
    CHECK(w.work().send(103));  // the oldest is a send: a dead letter
    w.sim.advance(1s);
    CHECK(w.handled.size() == static_cast<std::size_t>(at_work) + 2);
    CHECK(w.handled.back() + w.handled[w.handled.size() - 2] == 102 + 103);
    CHECK(w.counts().dropped == 2);
    CHECK(w.counts().late == 0);
    CHECK(w.counts().adds_up());
    int dead = -1;
    w.app.dead_letters().for_each([&](const dead_letter& l) { dead = l.get<job>()->n; });
    CHECK(dead == 101);
}

template <typename Mode>
void wait_waits(const Mode& mode, int at_work) {
    world<Mode> w(mode.full(when_full::wait), any_seed());
    const int n = w.fill(at_work);
    CHECK(outcome(w.work().send(n)) == "overloaded, none");  // send() never waits
    launched<result<void>> sender(w.sim, send_when_room(w.work(), n));
    launched<result<int>> caller(w.sim, call(w.work(), n + 1));
    w.sim.advance(1ms);
    CHECK_FALSE(sender.done());
    CHECK(w.counts().accepted == static_cast<std::uint64_t>(n));
    w.sim.advance(1s);
    CHECK(outcome(sender.value()) == "value");
    CHECK(*caller.value() == n + 1);
    CHECK(w.handled.size() == static_cast<std::size_t>(n) + 2);
    CHECK(w.counts().handled == static_cast<std::uint64_t>(n) + 2);
    CHECK(w.counts().refused == 1);
    CHECK(w.counts().adds_up());
}

}  // namespace

TEST_CASE("endpoint_core: reject refuses to the sender's face, in every mode") {
    testing::no_frames_left frames;
    reject_refuses(serial, 1);
    reject_refuses(parallel(2), 2);
    reject_refuses(keyed([](const job&) { return 1; }), 1);
}

TEST_CASE("endpoint_core: drop_newest gives what comes to the dead letters, and tells a caller") {
    testing::no_frames_left frames;
    drop_newest_drops_what_comes(serial, 1);
    drop_newest_drops_what_comes(parallel(2), 2);
    drop_newest_drops_what_comes(keyed([](const job&) { return 1; }), 1);
}

TEST_CASE("endpoint_core: drop_oldest has the one that waited longest give way, in order") {
    testing::no_frames_left frames;
    drop_oldest_drops_the_first(serial, 1);
    drop_oldest_drops_the_first(parallel(2), 2);
    drop_oldest_drops_the_first(keyed([](const job&) { return 1; }), 1);
}

TEST_CASE("endpoint_core: wait lets calls and send_when_room wait, and refuses send") {
    testing::no_frames_left frames;
    wait_waits(serial, 1);
    wait_waits(parallel(2), 2);
    wait_waits(keyed([](const job&) { return 1; }), 1);
}

TEST_CASE("endpoint_core: a queue of capacity n takes n, besides what is being handled") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    const int capacity = GENERATE(1, 2, 7);
    app.handle<job>("s", serial.capacity(static_cast<std::size_t>(capacity)),
                    [](job j) -> task<int> {
                        co_await sleep_for(10ms);
                        co_return j.n;
                    });
    const auto c = app.client<job>("s");
    CHECK(c.send(0));
    sim.advance(1ms);
    int accepted = 0;
    while (c.send(1)) ++accepted;
    CHECK(accepted == capacity);
    sim.advance(10ms);  // one is done, the next at work
    CHECK(c.send(2));
    CHECK_FALSE(c.send(2));
    CHECK(app.counts("s").left == static_cast<std::uint64_t>(capacity) + 1);
    sim.advance(1s);
    CHECK(app.counts("s").left == 0);
}

namespace {

/// One seeded run of everything at once; what went out must have come in.
class mixed_run {
public:
    explicit mixed_run(std::uint64_t seed)
        : sim_(seed), random_(seed), app_(std::make_unique<bus>(sim_, options())) {
        const when_full all[] = {when_full::reject, when_full::drop_newest, when_full::wait,
                                 when_full::drop_oldest};
        for (int i = 0; i != 4; ++i) {
            const std::size_t capacity = 1 + random_() % 4;
            make("serial" + std::to_string(i), serial.capacity(capacity).full(all[i]));
            make("parallel" + std::to_string(i), parallel(2).capacity(capacity).full(all[i]));
            make("keyed" + std::to_string(i), keyed(&job::key).capacity(capacity).full(all[i]));
        }
        app_->dead_letters().on_letter([this](const dead_letter& l) { ++dead_[l.endpoint()]; });
    }

    void go() {
        for (int i = 0; i != 24; ++i) {
            callers_.push_back(std::make_unique<launched<int>>(sim_, wander(i)));
        }
        sim_.advance(std::chrono::milliseconds(random_() % 60));
        for (auto& c : callers_) {
            if (random_() % 4 == 0) c->stop();
        }
        sim_.advance(std::chrono::milliseconds(random_() % 60));
        const auto drained = app_->drain(std::chrono::milliseconds(random_() % 40));
        sim_.advance(1h);
        CHECK(drained->total.adds_up());
        for (const auto& line : drained->endpoints) check(line.endpoint, line.messages);
        for (const auto& name : names_) CHECK(app_->counts(name).adds_up());
        for (auto& c : callers_) {
            CHECK(c->done());
            if (c->done()) CHECK(c->value() == 8);
        }
        app_.reset();
    }

private:
    static bus_options options() {
        bus_options o;
        o.grace = 1ms;
        return o;
    }
    template <typename Mode>
    void make(const std::string& name, const Mode& mode) {
        names_.push_back(name);
        app_->handle<job>(name, mode, [this](job j) -> task<result<int>> { return handle(j); });
    }
    task<result<int>> handle(job j) {
        const auto kind = random_() % 8;
        const auto time = std::chrono::milliseconds(random_() % 5);
        if (kind == 0) throw std::runtime_error("at once");
        if (kind == 1) co_return failure(code::rejected, effect::none, "no");
        if (kind == 2) co_return j.n;
        if (kind == 3) co_await yield();
        if (kind == 4) co_await sleep_soundly(20 * time);
        if (kind > 4) co_await sleep_for(time);
        if (kind == 5) throw 5;
        co_return j.n;
    }
    // Eight messages, here and there; gives how many of them ended.
    task<int> wander(int i) {
        int ended = 0;
        for (int n = 0; n != 8; ++n) {
            const std::string& name = names_[random_() % names_.size()];
            const auto allowed = std::chrono::milliseconds(1 + random_() % 20);
            const auto c = app_->client<job>(name, deadline(allowed));
            switch (random_() % 4) {
                case 0: note(name, c.send(i).has_value()); break;
                case 1: {
                    const auto r = co_await c.send_when_room(i);
                    note(name, r.has_value());
                    break;
                }
                default: {
                    const auto r = co_await c.call(i);
                    ++calls_[name];
                    answers_[name] += r.has_value();
                }
            }
            ++ended;
            if (random_() % 3 == 0)
                co_await sleep_soundly(std::chrono::milliseconds(random_() % 8));
        }
        co_return ended;
    }
    void note(const std::string& name, bool accepted) { ++(accepted ? sent_ : refused_)[name]; }

    void check(const std::string& name, const account& a) {
        CAPTURE(name, sim_.seed());
        CHECK(a.adds_up());
        const account now = app_->counts(name);  // what was stuck at the drain has ended
        CHECK(now.adds_up());
        CHECK(now.accepted >= sent_[name]);
        CHECK(now.accepted <= sent_[name] + calls_[name]);
        CHECK(now.handled >= answers_[name]);
        // A send that was accepted was handled, or is a dead letter; a call has told its caller.
        CHECK(dead_[name] <= now.failed + now.dropped + now.left);
        CHECK(dead_[name] + now.handled >= sent_[name]);
    }

    simulation sim_;
    std::mt19937_64 random_;
    std::unique_ptr<bus> app_;
    std::vector<std::string> names_;
    std::vector<std::unique_ptr<launched<int>>> callers_;
    std::map<std::string, std::uint64_t> sent_, refused_, calls_, answers_, dead_;
};

}  // namespace

TEST_CASE("endpoint_core: nothing is lost in silence, over 1,000 seeds of a mixed load") {
    testing::no_frames_left frames;
    const char* const more = std::getenv("POSTHASTE_SEEDS");
    const std::uint64_t seeds = more ? std::strtoull(more, nullptr, 10) : 1000;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) mixed_run(seed).go();
}

TEST_CASE("endpoint_core: what an outbox brings when the bus has ended is counted, and goes") {
    struct note {
        std::shared_ptr<int> held;
    };
    simulation sim;
    dead_letters dead;
    int told = 0;
    dead.on_letter([&](const dead_letter&) { ++told; });
    const auto ignore = [](const note&) {};
    serial_endpoint core("log", sim, dead,
                         std::make_unique<detail::handler_of<decltype(ignore), note>>(ignore),
                         serial.full(GENERATE(when_full::reject, when_full::drop_oldest,
                                              when_full::drop_newest, when_full::wait)));
    const auto held = std::make_shared<int>(0);
    envelope* const e = detail::make_or_not<detail::sent<note>>(held);
    REQUIRE(e);
    e->how = &core.only();
    CHECK(core.promise_place(*e) == endpoint_core::admission::accepted);
    core.close();
    dead.end();
    core.put_promised(*e);
    CHECK(held.use_count() == 1);
    CHECK(told == 0);
    CHECK(dead.size() == 0);
    CHECK(dead.total() == 1);
    CHECK(core.counts().refused == 1);
    CHECK(core.counts().accepted == 0);
    CHECK(core.counts().left == 0);
    CHECK(core.idle());
}

TEST_CASE("endpoint_core: a call ends at home if nobody elsewhere can stop, evict or shut it out") {
    const auto ends_at_home = [](executor& at, when_full full, stop_token callers = {}) {
        dead_letters dead;
        const auto ignore = [](const job&) { return 0; };
        serial_endpoint core("log", at, dead,
                             std::make_unique<detail::handler_of<decltype(ignore), job>>(ignore),
                             serial.full(full));
        return core.ends_at_home(callers);
    };
    stop_source anybody;
    simulation sim;
    run_loop loop;
    for (executor* const at : {static_cast<executor*>(&sim), static_cast<executor*>(&loop)}) {
        CHECK(ends_at_home(*at, when_full::reject));
        CHECK(ends_at_home(*at, when_full::drop_newest));
        CHECK_FALSE(ends_at_home(*at, when_full::drop_oldest));
        CHECK_FALSE(ends_at_home(*at, when_full::wait));
        CHECK_FALSE(ends_at_home(*at, when_full::reject, anybody.token()));
    }
    thread_pool one(1), two(2);
    CHECK_FALSE(ends_at_home(one, when_full::reject));  // a timer fires on the clock's thread
    CHECK_FALSE(ends_at_home(two, when_full::reject));
}
