// A task ends on another thread at the very moment its starter gives up waiting for it.
#include "watchdog.hpp"

#include <posthaste/detail/config.hpp>
#include <posthaste/run/scope.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/wait/event.hpp>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdio>
#include <functional>
#include <thread>
#include <tuple>
#include <utility>

using namespace posthaste;

namespace {

// A thread that resumes whatever it is given, at once.
class resumer {
public:
    resumer() : thread_([this] { run(); }) {}
    ~resumer() {
        stop_.store(true, std::memory_order_relaxed);
        thread_.join();
    }
    void give(std::coroutine_handle<> h) noexcept {
        void* none = nullptr;
        while (!next_.compare_exchange_weak(none, h.address(), std::memory_order_acq_rel,
                                            std::memory_order_relaxed)) {
            none = nullptr;
            std::this_thread::yield();
        }
    }

private:
    void run() {
        while (!stop_.load(std::memory_order_relaxed)) {
            void* const h = next_.exchange(nullptr, std::memory_order_acq_rel);
            if (h) std::coroutine_handle<>::from_address(h).resume();
            else std::this_thread::yield();
        }
    }

    std::atomic<void*> next_ = nullptr;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

struct child_end {
    int value = 0;  // written by the child, read by the parent: not atomic on purpose
    std::atomic<bool> near = false;
};

// Another library's awaitable. Its await_suspend stays a while after the handle is out; `until` the
// child is near its end, if that is given.
struct on_resumer {
    on_resumer(resumer& r, unsigned s, const child_end* u) noexcept : by(r), stay(s), until(u) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const noexcept {
        const unsigned turns = stay;  // the awaiter may be gone once the handle is out
        const child_end* const end = until;
        by.give(h);
        for (int i = 0; end && i != 1000 && !end->near.load(std::memory_order_relaxed); ++i) {
            std::this_thread::yield();
        }
        for (unsigned i = 0; i != turns; ++i) detail::pause();
    }
    void await_resume() const noexcept {}
    resumer& by;
    unsigned stay;
    const child_end* until;
};

// Rounds, fewer on a machine so busy that they take seconds: each lets other threads go first.
class some_rounds {
public:
    explicit some_rounds(unsigned most) noexcept : most_(most) {}
    bool go_on(unsigned i) const noexcept {
        return i != most_ && std::chrono::steady_clock::now() < enough_;
    }

private:
    const unsigned most_;
    const std::chrono::steady_clock::time_point enough_ =
        std::chrono::steady_clock::now() + std::chrono::seconds(4);
};

struct outcomes {
    std::atomic<long> at_once = 0;  // it had ended when its starter looked
    std::atomic<long> by_another = 0;  // its starter had gone when it ended
};

task<> child(resumer& r, unsigned stay, child_end& end, bool until_near = false) {
    on_resumer waiting(r, stay, until_near ? &end : nullptr);
    co_await waiting;
    end.value = 42;
    end.near.store(true, std::memory_order_relaxed);
}

// co_await of a task, as task.hpp does it, counting who came second.
class counting {
public:
    static constexpr bool keeps_home = true;
    counting(task<> t, outcomes& o) noexcept : task_(std::move(t)), seen_(o) {}
    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        frame& parent = h.promise();
        outcomes& seen = seen_;
        detail::promise_base& p = task_.promise();
        parent_ = &parent;
        p.place(*parent.at, parent.under);
        const auto ended = [](detail::promise_base& child) noexcept {
            auto& self = *static_cast<counting*>(child.owner());
            frame& up = *self.parent_;
            self.seen_.by_another.fetch_add(1, std::memory_order_relaxed);
            up.at->transfer(up);
        };
        if (!p.start(p.self, ended, this)) return true;
        seen.at_once.fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    void await_resume() const noexcept {}

private:
    task<> task_;
    outcomes& seen_;
    frame* parent_ = nullptr;
};

task<long> awaits(resumer& r, outcomes& seen, unsigned rounds) {
    long wrong = 0;
    const some_rounds some(rounds);
    for (unsigned i = 0; some.go_on(i); ++i) {
        child_end end;
        counting awaited(child(r, i % 64, end, i % 4 == 0), seen);
        co_await awaited;
        wrong += end.value != 42;
        co_await child(r, i % 32 * 8, end);
        wrong += end.value != 42;
    }
    co_return wrong;
}

task<long> joins(resumer& r, unsigned rounds) {
    long wrong = 0;
    const some_rounds some(rounds);
    for (unsigned i = 0; some.go_on(i); ++i) {
        child_end a, b, c;
        static_cast<void>(co_await when_all(child(r, i % 64 * 24, a), child(r, i % 7 * 24, b)));
        wrong += a.value != 42 || b.value != 42;
        scope s(co_await this_context);
        s.spawn(&child, std::ref(r), i % 16 * 24, std::ref(a), false);
        s.spawn(&child, std::ref(r), 0u, std::ref(c), false);
        co_await s.join();
        wrong += c.value != 42;
    }
    co_return wrong;
}

}  // namespace

int main() {
    testing::watchdog dog("tasks that end elsewhere");
    outcomes seen;
    long wrong = 0;
    const auto enough = [&] { return seen.at_once >= 100 && seen.by_another >= 100; };
    for (int part = 0; part < 5 || (part < 200 && !enough()); ++part) {
        resumer r;
        thread_pool pool(2);
        wrong += sync_wait(pool, awaits(r, seen, 2000));
        dog.pat("another part");
    }
    for (int part = 0; part != 3; ++part) {
        dog.pat("when_all and scope");
        resumer r;
        thread_pool pool(3);
        wrong += sync_wait(pool, joins(r, 1000));
    }
    std::printf("ended at once %ld, by another %ld, wrong %ld\n", seen.at_once.load(),
                seen.by_another.load(), wrong);
    return enough() && wrong == 0 ? 0 : 1;
}
