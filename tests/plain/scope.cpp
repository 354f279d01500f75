// A scope that is forgotten ends the program, as a std::thread would; one that was joined does not.
#include <posthaste/run/scope.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/sleep.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include <sys/wait.h>
#include <unistd.h>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

task<> child() { static_cast<void>(co_await sleep_for(1h)); }

task<> forgets() {
    scope s(co_await this_context);
    s.spawn(&child);
    co_await yield();
}
task<> joins() {
    scope s(co_await this_context);
    s.spawn(&child);
    co_await yield();
    co_await s.cancel();
}
task<> spawns_nothing() {
    const scope s(co_await this_context);
    co_await yield();
}

void on_a_loop(task<> (*f)()) { sync_wait(f()); }
void on_a_pool(task<> (*f)()) {
    thread_pool pool(1);
    sync_wait(pool, f());
}

constexpr int terminated = 77;

// How a child process ends that does it.
int end_of(void (*on)(task<> (*)()), task<> (*f)()) {
    const pid_t pid = fork();
    if (pid == 0) {
        std::set_terminate([] { std::_Exit(terminated); });
        on(f);
        std::_Exit(0);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

bool ends(const char* what, int got, int expected) {
    if (got != expected) std::printf("%s: %d instead of %d\n", what, got, expected);
    return got == expected;
}

}  // namespace

int main() {
    bool right = true;
    for (const auto on : {&on_a_loop, &on_a_pool}) {
        right = ends("forgotten", end_of(on, &forgets), terminated) && right;
        right = ends("joined", end_of(on, &joins), 0) && right;
        right = ends("empty", end_of(on, &spawns_nothing), 0) && right;
    }
    return right ? 0 : 1;
}
