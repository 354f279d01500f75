// An executor of one's own that says one_by_one(), and does no more than that demands: two threads
// take turns at its work and its timers. Calls, sends and scopes at home there are as elsewhere.
#include "../support/race.hpp"

#include <posthaste/posthaste.hpp>

#include "watchdog.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;
using namespace posthaste::testing;

namespace {

mistakes wrong;
outcome answered("answered"), late("late"), stopped("stopped"), sent("sent and handled"),
    changed("ran on another thread than the work before");

class by_turns final : public executor {
public:
    ~by_turns() { drive_ready(); }
    void post(work& w) noexcept override {
        const std::lock_guard guard(inbox_lock_);
        inbox_.put(w);
    }
    bool one_by_one() const noexcept override { return true; }
    time_point now() const noexcept override { return std::chrono::steady_clock::now(); }
    void arm(timer& t, time_point due) noexcept override {
        if (due == never) return;
        const std::lock_guard guard(timers_lock_);
        timers_.arm(t, due);
    }
    void disarm(timer& t) noexcept override {
        const std::lock_guard guard(timers_lock_);
        timers_.disarm(t);
    }
    void drive(detail::flag& done) override { done.wait(); }
    bool drive_while(bool (*busy)(void*), void* of, time_point end) override {
        while (busy(of)) {
            if (now() >= end) return false;
            std::this_thread::yield();
        }
        return true;
    }
    void drive_ready() noexcept override {
        while (take_turn()) {}
    }
    bool idle_here() const noexcept override { return joined_ && !here(); }

    /// Until end(), by any number of threads.
    void serve() noexcept {
        while (!ends_.load(std::memory_order_relaxed)) {
            if (!take_turn()) std::this_thread::yield();
        }
    }
    void end() noexcept { ends_.store(true, std::memory_order_relaxed); }
    /// All who serve() have been joined.
    void joined() noexcept { joined_ = true; }

private:
    bool take_turn() noexcept {
        const std::lock_guard turn(turn_);
        detail::thread_state& here = detail::this_thread();
        const void* const before = std::exchange(here.executor, static_cast<const executor*>(this));
        {
            const std::lock_guard guard(timers_lock_);
            timers_.advance(now());
        }
        work* w = nullptr;
        {
            const std::lock_guard guard(inbox_lock_);
            w = inbox_.take();
        }
        const unsigned depth = std::exchange(here.depth, 0u);
        if (w) {
            const std::thread::id now_at = std::this_thread::get_id();
            if (std::exchange(last_at_, now_at) != now_at && !joined_) changed.seen();
            w->run(*w);
        }
        here.depth = depth;
        here.executor = before;
        return w;
    }

    std::mutex turn_, inbox_lock_, timers_lock_;
    work_list inbox_;
    timer_wheel timers_;
    std::thread::id last_at_;  // with the turn; no coroutine asks, where clang keeps what it was
    std::atomic<bool> ends_ = false;
    bool joined_ = false;
};

struct add_one {
    using reply = int;
    int to;
};

task<int> stands(add_one m) {
    for (int i = 0; i != m.to % 4; ++i) co_await yield();
    if (m.to % 16 == 3) static_cast<void>(co_await sleep_for(1h));
    co_return m.to + 1;
}

task<> asks(client<add_one> adder, int n, int& ended) {
    const auto r = co_await adder.call(n);
    ++ended;
    if (r) {
        wrong.expect(*r == n + 1, "a reply to another call");
        answered.seen();
    } else if (r.error().code() == code::deadline_exceeded) {
        late.seen();
    } else {
        wrong.expect(r.error().code() == code::cancelled, "it fails otherwise");
        stopped.seen();
    }
}

task<> all(client<add_one> stands, client<add_one> counts, unsigned round, int& ended) {
    const auto n = static_cast<int>(scatter(round, 0) % 1024);
    scope some(co_await this_context);
    for (int i = 0; i != 3; ++i) some.spawn(asks, stands, n + i, std::ref(ended));
    for (int i = 0; i != 5; ++i) wrong.expect(bool(counts.send(i)), "a message is refused");
    co_await when_all(asks(stands, n + 1, ended), asks(counts, n, ended), asks(stands, n, ended));
    if (round % 4 == 0) co_await some.cancel();
    else co_await some.join();
}

}  // namespace

int main(int argc, char** argv) {
    const unsigned rounds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 2'000;
    watchdog dog("work one by one");
    by_turns at;
    int ended = 0, handled = 0;  // plain: of `at`
    unsigned done = 0;
    std::thread servers[] = {std::thread([&] { at.serve(); }), std::thread([&] { at.serve(); })};
    {
        bus app{at};
        app.handle<add_one>("stands", stands);
        app.handle<add_one>("counts", [&](const add_one& m) { return ++handled, m.to + 1; });
        const auto soon = deadline(100us);
        const auto all_are_seen = [&] { return all_seen(answered, late, stopped, changed); };
        for (; done < rounds || (!all_are_seen() && done < 100 * rounds); ++done) {
            const unsigned round = done + 1;
            sync_wait(at, all(app.client<add_one>("stands", soon), app.client<add_one>("counts"),
                              round, ended));
            if (round % 100 == 0) dog.pat("later work one by one");
        }
        wrong.expect(app.drain(10s)->in_time, "it does not end");
        wrong.expect(app.counts("stands").adds_up() && app.counts("counts").adds_up(), "a count");
        at.end();
        for (auto& s : servers) s.join();
        at.joined();
    }
    wrong.expect(ended == static_cast<int>(6 * done), "a caller is left");
    wrong.expect(handled == static_cast<int>(6 * done), "one was not handled");
    sent.count = handled;
    return summary(wrong, answered, late, stopped, sent, changed);
}
