// The stack stays small: long loops of awaits and calls that end at once, and deep recursion, in a
// thread of 256 KiB. stack [loops]
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/run/when_any.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <tuple>
#include <utility>
#include <variant>

#include <pthread.h>

namespace {

using posthaste::task;

long loops = 1'000'000;
constexpr int deep = 100'000;

task<int> one() { co_return 1; }
task<> nothing() { co_return; }

task<long> long_loop(long n) {
    long sum = 0;
    for (long i = 0; i != n; ++i) sum += co_await one();
    co_return sum;
}
task<> long_loop_of_void(long n) {
    for (long i = 0; i != n; ++i) co_await nothing();
}
task<int> recursion(int depth) {
    if (depth == 0) co_return 0;
    const int below = co_await recursion(depth - 1);
    co_return below + 1;
}
task<int> through_when_all(int depth) {
    if (depth == 0) co_return 0;
    const auto both = co_await when_all(through_when_all(depth - 1), one());
    co_return std::get<0>(both) + std::get<1>(both);
}
task<int> through_when_any(int depth) {
    if (depth == 0) co_return 0;
    const auto first = co_await when_any(through_when_any(depth - 1));
    co_return std::get<0>(first) + 1;
}

struct add {
    using reply = long;
    long n;
};
task<long> loop_of_calls(posthaste::client<add> c, long n) {
    long sum = 0;
    for (long i = 0; i != n; ++i) {
        const auto r = co_await c.call(1);
        sum += r ? *r : -1;
    }
    co_return sum;
}
long calls_that_end_at_once(posthaste::executor& at, long n) {
    posthaste::bus app(at);
    app.handle<add>("function", [](add a) { return a.n; });
    app.handle<add>("task", [](add a) -> task<long> { co_return a.n; });
    return sync_wait(at, loop_of_calls(app.client<add>("function"), n)) +
           sync_wait(at, loop_of_calls(app.client<add>("task"), n));
}

bool right(const char* what, long got, long expected) {
    if (got != expected) std::printf("%s: %ld instead of %ld\n", what, got, expected);
    return got == expected;
}

bool on(posthaste::executor& at, long n) {
    sync_wait(at, long_loop_of_void(n));
    return right("a loop", sync_wait(at, long_loop(n)), n) &&
           right("calls", calls_that_end_at_once(at, n), 2 * n) &&
           right("recursion", sync_wait(at, recursion(deep)), deep) &&
           right("when_all", sync_wait(at, through_when_all(deep / 10)), deep / 10) &&
           right("when_any", sync_wait(at, through_when_any(deep / 10)), deep / 10);
}

void* with_little_stack(void* all_right) {
    posthaste::run_loop loop;
    posthaste::simulation world;
    *static_cast<bool*>(all_right) = on(loop, loops) && on(world, loops / 10);
    return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) loops = std::atol(argv[1]);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, std::size_t{256} * 1024) != 0) return 2;
    pthread_t thread;
    bool all_right = false;
    if (pthread_create(&thread, &attributes, &with_little_stack, &all_right) != 0) return 2;
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);

    posthaste::thread_pool pool(2);
    all_right = all_right && on(pool, loops / 10);
    return all_right ? 0 : 1;
}
