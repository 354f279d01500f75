// Tasks, scope, run_loop, when_all and when_any, also where there are no exceptions.
#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/scope.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/run/when_any.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/sleep.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

int failures = 0;

void check(bool holds, const char* what) {
    if (holds) return;
    std::printf("not so: %s\n", what);
    ++failures;
}

task<std::string> greeting(std::string name) {
    co_await yield();
    co_return "hello " + name;
}
task<std::unique_ptr<int>> boxed(int n) { co_return std::make_unique<int>(n); }
task<int&> same(int& n) { co_return n; }

task<> values() {
    check(co_await greeting("world") == "hello world", "a value comes back");
    const std::unique_ptr<int> box = co_await boxed(7);
    check(*box == 7, "what can only be moved comes back");
    int n = 1;
    int& alias = co_await same(n);
    check(&alias == &n, "a reference comes back");
    const auto both = co_await when_all(greeting("a"), boxed(2));
    check(std::get<0>(both) == "hello a" && *std::get<1>(both) == 2, "when_all gives all values");
    std::vector<task<std::string>> tasks;
    for (int i = 0; i != 3; ++i) tasks.push_back(greeting(std::to_string(i)));
    const std::vector<std::string> all = co_await when_all(std::move(tasks));
    check(all == std::vector<std::string>{"hello 0", "hello 1", "hello 2"}, "also of a vector");
    const auto first = co_await when_any(greeting("b"), sleep_for(1h));
    check(first.index() == 0, "when_any gives the first");
}

task<> in_a_scope(std::atomic<int>& ran) {
    scope s(co_await this_context);
    const auto child = [&ran](int n) -> task<> {
        for (int i = 0; i != n; ++i) co_await yield();
        ++ran;
    };
    for (int i = 0; i != 10; ++i) s.spawn(child, i);
    co_await s.join();
    check(ran == 10, "join() waits for all");
    const auto sleeps = [&ran]() -> task<> {
        const result<void> slept = co_await sleep_for(1h);
        if (!slept) ++ran;
    };
    s.spawn(sleeps);
    co_await s.cancel();
    check(ran == 11, "cancel() stops them");
}

task<> never_awaited(bool& ran) {
    ran = true;
    co_return;
}

void on(executor& at) {
    sync_wait(at, values());
    std::atomic<int> ran = 0;
    sync_wait(at, in_a_scope(ran));
    check(ran == 11, "all of them ran");
}

}  // namespace

int main() {
    {
        run_loop loop;
        on(loop);
    }
    {
        simulation world;
        on(world);
        check(world.elapsed() == 0s, "nobody slept for an hour");
    }
    {
        thread_pool pool(2);
        on(pool);
    }
    bool ran = false;
    { const task<> t = never_awaited(ran); }
    check(!ran, "a task begins when it is awaited");
    check(detail::live_frames.load(std::memory_order_relaxed) == 0, "no frame is left");
    return failures == 0 ? 0 : 1;
}
