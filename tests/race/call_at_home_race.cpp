// Calls whose caller, handler and timers are at home on one thread, one of which another thread may
// stop: that one ends once, and the others, which nobody elsewhere can end, are all answered.
#include "../support/stumbling_cell.hpp"

#include <posthaste/posthaste.hpp>

#include <memory>
#include <thread>

using namespace posthaste;
using namespace posthaste::testing;

namespace {

struct add_one {
    using reply = int;
    int to;
};

outcome answered("answered before it was stopped"), queued("stopped in the queue"),
    running("stopped while its handler ran");
mistakes wrong;

task<> to_be_stopped(client<add_one> adder, int n) {
    const auto r = co_await adder.call(n);
    if (r) {
        wrong.expect(*r == n + 1, "a reply to another call");
        answered.seen();
        co_return;
    }
    wrong.expect(r.error().code() == code::cancelled, "it fails otherwise");
    if (r.error().effect() == effect::none) queued.seen();
    else running.seen();
}

task<> not_to_be_stopped(client<add_one> adder, int& ended) {
    for (int i = 0; i != 4; ++i) {
        wrong.expect(static_cast<bool>(adder.send(i)), "a message is refused");
        const auto r = co_await adder.call(i);
        wrong.expect(r && *r == i + 1, "it is answered");
    }
    ++ended;
}

task<> all(client<add_one> adder, stop_token stop, int& ended) {
    const context& mine = co_await this_context;
    const context stopped(mine, stop);
    scope some(stopped);
    some.spawn(to_be_stopped, adder, 98 + ended % 2);  // 99: it lets the other thread go first
    co_await not_to_be_stopped(adder, ended);
    co_await some.join();
}

}  // namespace

int main() {
    run_loop loop;
    bus app{loop};
    app.handle<add_one>("adder", [](add_one m) -> task<int> {
        for (int i = 0; i != m.to; ++i) {
            if (m.to == 99 && i % 32 == 31) std::this_thread::yield();  // to who stops it
            co_await yield();
        }
        co_return m.to + 1;
    });
    const auto adder = app.client<add_one>("adder");
    std::unique_ptr<stop_source> source;
    int ended = 0;
    race(
        4'000, 200'000, [&](unsigned) { source = std::make_unique<stop_source>(); },
        [&](unsigned round) {
            wrong.expect(ended == static_cast<int>(round), "a caller is left");
            return all_seen(answered, queued, running);
        },
        [&](unsigned) { sync_wait(loop, all(adder, source->token(), ended)); },
        [&](unsigned round) {
            dawdle(scatter(round, 5) % 65536);
            stumble(scatter(round, 6));
            source->request_stop();
        });
    return summary(wrong, answered, queued, running);
}
