// Calls that end on several threads while others of the same gather, quorum or first_of do, while
// its time runs out and while its caller is stopped: each ends once, with what belongs together.
#include "watchdog.hpp"

#include "../support/race.hpp"

#include <posthaste/posthaste.hpp>

#include <array>
#include <chrono>
#include <cstdlib>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;
using testing::mistakes;
using testing::outcome;
using testing::scatter;

namespace {

mistakes wrong;
outcome in_time("gather: all in time"), late("gather: some late"),
    left("gather: its caller was stopped"), reached("quorum: reached"), missed("quorum: missed"),
    first("first_of: a good one"), none("first_of: none");

struct ask {
    using reply = unsigned;
    unsigned chance;
};
using services = std::array<client<ask>, 3>;

// Ends at once, soon, or when it is asked to; and one way or the other.
task<result<unsigned>> answer(ask a) {
    for (unsigned i = 0; i != a.chance % 4; ++i) co_await yield();
    testing::stumble(a.chance / 4);
    if (a.chance % 16 == 3) static_cast<void>(co_await sleep_for(50us));
    if (a.chance % 32 == 7) static_cast<void>(co_await sleep_for(1h));
    if (a.chance % 8 >= 5) co_return failure(code::unavailable);
    co_return a.chance;
}

bool is(const result<unsigned>& r, code c) { return !r && r.error().code() == c; }

task<> gathers(const services& on, unsigned round) {
    const unsigned a = scatter(round, 0), b = scatter(round, 1), c = scatter(round, 2);
    const std::chrono::microseconds within(a % 256);
    auto all = co_await gather(within, on[0].call(a), on[1].call(b), on[2].call(c));
    const context& mine = co_await this_context;
    const auto& [x, y, z] = all;
    wrong.expect((!x || *x == a) && (!y || *y == b) && (!z || *z == c), "another's reply");
    for (const auto* r : {&x, &y, &z}) {
        if (is(*r, code::deadline_exceeded)) co_return late.seen();
        if (!is(*r, code::cancelled)) continue;
        wrong.expect(mine.stop_requested(), "cancelled, and nobody did");
        co_return left.seen();
    }
    in_time.seen();
}

task<> asks_for_two(const services& on, unsigned round) {
    const unsigned a = scatter(round, 3), b = scatter(round, 4), c = scatter(round, 5);
    auto two = co_await quorum(2, on[0].call(a), on[1].call(b), on[2].call(c));
    if (!two) co_return missed.seen();
    const auto& [x, y, z] = *two;
    wrong.expect(x.has_value() + y.has_value() + z.has_value() >= 2, "fewer than two are good");
    wrong.expect((!x || *x == a) && (!y || *y == b) && (!z || *z == c), "another's reply");
    reached.seen();
}

task<> asks_for_one(const services& on, unsigned round) {
    const unsigned a = scatter(round, 6), b = scatter(round, 7);
    auto one = co_await first_of(on[1].call(a), on[2].call(b));
    if (!one) co_return none.seen();
    wrong.expect(*one == a || *one == b, "another's reply");
    first.seen();
}

task<> soon(unsigned chance) {
    for (unsigned i = 0; i != chance % 8; ++i) co_await yield();
    if (chance % 2 == 0) static_cast<void>(co_await sleep_for(1h));
}

task<> all_of_it(const services& on, unsigned round) {
    static_cast<void>(co_await when_any(gathers(on, round), soon(scatter(round, 8))));
    static_cast<void>(co_await when_any(asks_for_two(on, round), soon(scatter(round, 9))));
    static_cast<void>(co_await when_any(asks_for_one(on, round), soon(scatter(round, 10))));
}

}  // namespace

int main(int argc, char** argv) {
    const unsigned rounds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1'000;
    testing::watchdog dog("gather, quorum and first_of");
    {
        bus_options options;
        options.threads = 3;
        bus app(options);
        app.handle<ask>("serial", answer);
        app.handle<ask>("parallel", parallel(4), answer);
        app.handle<ask>("keyed", keyed(&ask::chance), answer);
        const services on{app.client<ask>("serial", deadline(1ms)),
                          app.client<ask>("parallel", deadline(1ms)),
                          app.client<ask>("keyed", deadline(1ms))};
        const auto several = [&](unsigned from) -> task<> {
            for (unsigned i = 0; i != rounds; ++i) {
                co_await all_of_it(on, from + i);
                if (i % 100 == 0) dog.pat("a later gather, quorum or first_of");
            }
        };
        app.run([&]() -> task<> { co_await when_all(several(0), several(rounds)); });
    }
    wrong.expect(detail::live_frames.load() == 0, "a frame was left");
    return testing::summary(wrong, in_time, late, left, reached, missed, first, none);
}
