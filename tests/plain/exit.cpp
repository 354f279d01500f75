// How a program with buses ends, whatever way it goes: it does not hang, and its status is right.
// Each way is a run of this program of its own. exit [way]
#include <posthaste/posthaste.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

constexpr int terminated = 77, frames_left = 78, asked_for = 5;

struct job {
    using reply = int;
    int n;
};
struct end_it {
    void (*how)();
};

bool others_go_on = false;  // and may have frames still

/// At the very end of the program: is constructed first.
struct no_frames_left {
    no_frames_left() = default;
    no_frames_left(const no_frames_left&) = delete;
    ~no_frames_left() {
        if (!others_go_on && detail::live_frames != 0) std::_Exit(frames_left);
    }
};

void make_endpoints(bus& app) {
    app.handle<job>("serial", [](job j) -> task<int> {
        if (j.n % 3 == 1) co_await yield();
        if (j.n % 3 == 2) co_await sleep_for(1h);
        co_return j.n;
    });
    app.handle<job>("parallel", parallel(2), [](job j) -> task<int> {
        co_await sleep_for(std::chrono::microseconds(j.n));
        co_return j.n;
    });
    app.handle<job>("keyed", keyed(&job::n), [](job j) { return j.n; });
    app.handle<end_it>("end", [](end_it e) -> task<> {
        co_await yield();
        e.how();
    });
}
task<> call_once(client<job> c, int n) { static_cast<void>(co_await c.call(n)); }

// Leaves calls, sends and timers in flight.
void load(const bus& app) {
    for (const char* name : {"serial", "parallel", "keyed"}) {
        const auto c = app.client<job>(name, deadline(20ms));
        for (int n = 0; n != 20; ++n) c.send(n);
        sync_wait(call_once(c, 4));
    }
}
bus_options options() {
    bus_options o;
    o.threads = 2;
    o.grace = 10ms;
    return o;
}
// From a handler of the bus; does not return, if all is well.
void do_in_handler(bus& app, void (*how)()) {
    const auto c = app.client<end_it>("end", deadline(forever));
    const auto ask = [&]() -> task<result<void>> { co_return co_await c.call(how); };
    static_cast<void>(sync_wait(ask()));
}
void exit_now() { std::exit(asked_for); }
void quick_exit_now() { std::quick_exit(asked_for); }

// Buses of static storage: destroyed after main(), when main()'s thread has lost its cache.
bus& global_bus() {
    static const no_frames_left checked_last;
    static bus app(options());
    static const bool made = (make_endpoints(app), true);
    static_cast<void>(made);
    return app;
}
bus& bus_on_global_pool() {
    static const no_frames_left checked_last;
    static thread_pool pool(2);
    static bus app(pool, options());
    static const bool made = (make_endpoints(app), true);
    static_cast<void>(made);
    return app;
}
bus& bus_on_global_loop() {
    static const no_frames_left checked_last;
    static run_loop loop;
    static bus app(loop, options());
    static const bool made = (make_endpoints(app), true);
    static_cast<void>(made);
    return app;
}

int global_bus_after_main() { return load(global_bus()), 0; }
int global_pool_after_main() { return load(bus_on_global_pool()), 0; }
int global_loop_after_main() {
    bus& app = bus_on_global_loop();
    for (int n = 0; n != 20; ++n) app.client<job>("serial").send(n);
    return 0;
}
int exit_from_main() {
    others_go_on = true;
    load(global_bus());
    bus local(options());
    make_endpoints(local);
    load(local);
    std::exit(asked_for);  // the local one goes on meanwhile
}
int exit_in_handler() {
    bus local(options());
    make_endpoints(local);
    load(local);
    do_in_handler(local, &exit_now);
    return 0;
}
int exit_in_handler_of_another() {  // the global one is destroyed by a handler of the local one
    others_go_on = true;
    load(global_bus());
    bus local(options());
    make_endpoints(local);
    do_in_handler(local, &exit_now);
    return 0;
}
int exit_in_handler_of_global() {  // it would wait for itself: found out
    load(global_bus());
    do_in_handler(global_bus(), &exit_now);
    return 0;
}
int exit_on_loop() {
    run_loop loop;
    bus local(loop, options());
    make_endpoints(local);
    const auto c = local.client<end_it>("end");
    local.run([&]() -> task<> { static_cast<void>(co_await c.call(&exit_now)); });
    return 0;
}
int quick_exit_in_handler() {
    load(global_bus());
    do_in_handler(global_bus(), &quick_exit_now);
    return 0;
}

std::unique_ptr<bus> own;
void destroy_own() { own.reset(); }
int handler_destroys_its_bus() {
    own = std::make_unique<bus>(options());
    make_endpoints(*own);
    load(*own);
    do_in_handler(*own, &destroy_own);
    return 0;
}
int handler_destroys_its_bus_on_a_pool() {
    static thread_pool pool(2);
    own = std::make_unique<bus>(pool, options());
    make_endpoints(*own);
    do_in_handler(*own, &destroy_own);
    return 0;
}
int task_destroys_its_bus() {
    own = std::make_unique<bus>(options());
    own->run([]() -> task<> {
        co_await yield();
        own.reset();
    });
    return 0;
}

// A thread that goes on using a bus that has gone, until the process ends under it.
int detached_thread() {
    others_go_on = true;
    static std::atomic<bool> begun = false;
    std::thread([c = global_bus().client<job>("keyed")] {
        for (;;) {
            sync_wait(call_once(c, 1));
            c.send(2);
            begun = true;
            std::this_thread::yield();
        }
    }).detach();
    while (!begun) std::this_thread::yield();
    return 0;
}

// What outlives the cache of its thread: constructed before it.
struct late {
    std::optional<task<>> frame;
    std::optional<client<job>> c;
    std::unique_ptr<int> keeps_destructor = std::make_unique<int>(1);
    ~late() {
        static_cast<void>(frame);
        if (c) {
            c->send(1);
            const auto unused = c->call(2);
            sync_wait(call_once(*c, 3));
        }
    }
};
int thread_local_that_calls() {
    bus& app = global_bus();
    for (int i = 0; i != 4; ++i) {
        std::thread([&] {
            static thread_local late l;
            l.c.emplace(app.client<job>("keyed"));
            l.frame.emplace(call_once(*l.c, 1));
            load(app);
        }).join();
    }
    return 0;
}

struct way {
    const char* name;
    int (*go)();
    int status;
};
constexpr std::array ways{
    way{"global-bus", &global_bus_after_main, 0},
    way{"global-pool", &global_pool_after_main, 0},
    way{"global-loop", &global_loop_after_main, 0},
    way{"exit-from-main", &exit_from_main, asked_for},
    way{"exit-in-handler", &exit_in_handler, asked_for},
    way{"exit-in-handler-of-another", &exit_in_handler_of_another, asked_for},
    way{"exit-in-handler-of-global", &exit_in_handler_of_global, terminated},
    way{"exit-on-loop", &exit_on_loop, asked_for},
    way{"quick-exit-in-handler", &quick_exit_in_handler, asked_for},
    way{"handler-destroys-its-bus", &handler_destroys_its_bus, terminated},
    way{"handler-destroys-its-bus-on-a-pool", &handler_destroys_its_bus_on_a_pool, terminated},
    way{"task-destroys-its-bus", &task_destroys_its_bus, terminated},
    way{"detached-thread", &detached_thread, 0},
    way{"thread-local-that-calls", &thread_local_that_calls, 0},
};

// How this program ends on that way.
int end_of(const char* self, const way& w) {
    char name[64];
    std::snprintf(name, sizeof name, "%s", w.name);
    std::array<char, 512> program{};
    std::snprintf(program.data(), program.size(), "%s", self);
    std::array<char*, 3> arguments{program.data(), name, nullptr};
    pid_t pid = 0;
    if (posix_spawn(&pid, self, nullptr, nullptr, arguments.data(), environ) != 0) return -1;
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) return -2;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) {
        alarm(60);  // ends what hangs
        std::set_terminate([] { std::_Exit(terminated); });
        for (const way& w : ways) {
            if (std::strcmp(w.name, argv[1]) == 0) return w.go();
        }
        return 2;
    }
    int errors = 0;
    for (const way& w : ways) {
        for (int i = 0; i != 3; ++i) {
            const int got = end_of(argv[0], w);
            if (got == w.status) continue;
            std::printf("%s: ended with %d instead of %d\n", w.name, got, w.status);
            ++errors;
        }
    }
    return errors == 0 ? 0 : 1;
}
