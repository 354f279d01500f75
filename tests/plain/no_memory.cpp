// Contract 9: when operator new fails, at whatever time, a message is refused or its end is told;
// nothing is lost, nothing leaks, no account is wrong.
#include <posthaste/posthaste.hpp>

#include "../support/operator_new.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::until_failure;

namespace {

struct ask {
    using reply = int;
    int n;
    char bulk[3000] = {};  // of a size of its own, so that its memory is not there already
};
struct keyed_note {
    int key;
    char bulk[5000] = {};
};

int errors = 0;
void demand(bool holds, const char* what, long at) {
    if (holds) return;
    std::printf("not so, with allocation %ld failing: %s\n", at, what);
    ++errors;
}

struct tally {
    std::uint64_t sent = 0, refused = 0, answered = 0, told = 0, handled = 0;
};

task<> use(client<ask> plain, client<ask> coroutine, client<keyed_note> notes, tally& t) {
    for (int i = 0; i != 3; ++i) {
        ++(notes.send(i) ? t.sent : t.refused);
        ++(plain.send(i) ? t.sent : t.refused);
        const auto one = co_await plain.call(i);
        ++(one ? t.answered : t.told);
        const auto two = co_await coroutine.call(i);
        ++(two ? t.answered : t.told);
        const auto room = co_await notes.send_when_room(i);
        ++(room ? t.sent : t.refused);
    }
}

// True: there was none that could fail any more.
bool with_allocation_failing(long which) {
    const long failed_before = testing::failures;
    tally t;
    run_loop loop;  // needs no memory itself
    {
        bus app(loop);
        app.handle<ask>("an.endpoint.with.a.long.name.plain", [&](const ask& a) {
            ++t.handled;
            return a.n;
        });
        app.handle<ask>("an.endpoint.with.a.long.name.task", [&](ask a) -> task<result<int>> {
            ++t.handled;
            co_await yield();
            if (a.n == 1) co_return failure(code::rejected);
            co_return a.n;
        });
        app.handle<keyed_note>("an.endpoint.with.a.long.name.keyed",
                               keyed(&keyed_note::key).capacity(1).full(when_full::wait),
                               [&](const keyed_note& n) -> result<void> {
                                   ++t.handled;
                                   if (n.key == 2) return failure(code::rejected);
                                   return {};
                               });
        const auto plain = app.client<ask>("an.endpoint.with.a.long.name.plain");
        const auto coroutine = app.client<ask>("an.endpoint.with.a.long.name.task");
        const auto notes = app.client<keyed_note>("an.endpoint.with.a.long.name.keyed");
        task<> all = use(plain, coroutine, notes, t);
        const context under(loop, never, {});
        bool done = false;
        all.promise().place(
            loop, &under,
            [](detail::promise_base& p) noexcept { *static_cast<bool*>(p.owner()) = true; }, &done);
        all.promise().start_by_post();
        until_failure = which;
        loop.drive_ready();
        until_failure = -1;
        demand(done, "the caller has gone on", which);
        demand(t.sent + t.refused == 9 && t.answered + t.told == 6, "everything ended", which);
        const auto drained = app.drain(1s);
        const account& a = drained->total;
        demand(a.adds_up() && a.left == 0, "the account adds up", which);
        demand(a.handled + a.failed == t.handled ||
                   a.handled + a.failed == t.handled + 1,  // no memory for the coroutine: failed
               "what was handled is counted", which);
        demand(app.dead_letters().total() <= a.failed + a.dropped, "dead letters are counted",
               which);
    }
    demand(detail::live_frames == 0, "no frame is left", which);
    return testing::failures == failed_before;
}

}  // namespace

int main() {
    if (!detail::exceptions_enabled) return 0;  // there std::string may not fail
    if (!testing::own_operator_new) return 0;
    bool over = false;
    long which = 0;
    for (; !over && which != 10'000; ++which)
        std::thread([&] {
            over = with_allocation_failing(which);
        }).join();  // nothing is recycled yet
    std::printf("%ld allocations failed, one at a time\n", testing::failures);
    demand(over && testing::failures > 10, "all of them were tried", which);
    return errors == 0 ? 0 : 1;
}
