// A stream from one pool to another: taken to its end, cancelled, stopped, overtaken by its
// deadline or by the end of the bus, at any moment: no value is lost or comes out of order before
// the end, and no producer is left behind.
#include "../support/race.hpp"
#include "watchdog.hpp"

#include <posthaste/guard/deadline.hpp>
#include <posthaste/run/scope.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/serve/bus.hpp>
#include <posthaste/serve/client.hpp>
#include <posthaste/serve/stream.hpp>
#include <posthaste/wait/sleep.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
testing::outcome whole("taken to the end"), threw("the producer threw"),
    cut("cancelled by the consumer"), late("overtaken by the deadline"),
    stopped("ended by the bus");
testing::mistakes wrong;

struct count_to {
    using reply = stream<unsigned>;
    unsigned n;
    unsigned seed;
};

struct on_end {
    std::atomic<int>& alive;
    explicit on_end(std::atomic<int>& a) noexcept : alive(a) { ++alive; }
    on_end(const on_end&) = delete;
    ~on_end() { --alive; }
};

bool throws(unsigned n) { return detail::exceptions_enabled && n % 4 == 3; }

task<> consume(client<count_to> c, unsigned seed) {
    const unsigned n = scatter(seed, 1) % 80, until = scatter(seed, 2) % 120;
    auto values = co_await c.call(n, seed);
    if (!values) {
        if (values.error().code() == code::deadline_exceeded) late.seen();
        co_return;
    }
    for (unsigned i = 0;; ++i) {
        if (i == until) {
            cut.seen();
            if (seed % 2 != 0) values->cancel();
            co_return;
        }
        if (scatter(seed, 100 + i) % 8 == 0) co_await yield();
        auto next = co_await values->next();
        if (!next) {
            const auto why = next.error().code();
            if (why == code::handler_failed) {
                wrong.expect(i == n && throws(n), "it failed too early");
                threw.seen();
            } else if (why == code::deadline_exceeded) {
                late.seen();
            } else {
                wrong.expect(why == code::cancelled || why == code::no_reply, "ended otherwise");
                stopped.seen();
            }
            co_return;
        }
        if (!*next) {
            wrong.expect(i == n && !throws(n), "it ended too early");
            whole.seen();
            co_return;
        }
        wrong.expect(**next == i, "a value is missing");
    }
}

void round_of(thread_pool& mine, unsigned seed) {
    std::atomic<int> alive = 0;
    bus_options options;
    options.threads = 2;
    options.grace = std::chrono::milliseconds(seed % 4 == 0 ? 0 : 5000);
    std::optional<bus> app(std::in_place, options);
    app->handle<count_to>("count", parallel(3), [&alive](count_to q) -> stream<unsigned> {
        const on_end guard(alive);
        for (unsigned i = 0; i != q.n; ++i) {
            if (scatter(q.seed, 200 + i) % 8 == 0) co_await yield();
            if (scatter(q.seed, 300 + i) % 64 == 0)
                static_cast<void>(co_await sleep_for(std::chrono::microseconds(50)));
            co_yield i;
        }
        if (throws(q.n)) detail::raise(failed(failure(code::rejected)));
    });
    const auto patient = app->client<count_to>("count");
    const auto hasty = app->client<count_to>("count", deadline(std::chrono::microseconds(200)));
    std::thread ends;
    if (seed % 4 == 0) {
        ends = std::thread([&] {
            stumble(scatter(seed, 3));
            app.reset();
        });
    }
    sync_wait(mine, [](client<count_to> a, client<count_to> b, unsigned s) -> task<> {
        scope all(co_await this_context);
        for (unsigned i = 0; i != 6; ++i)
            all.spawn([](client<count_to> c, unsigned n) { return consume(c, n); },
                      i % 3 == 2 ? b : a, s * 8 + i);
        co_await all.join();
    }(patient, hasty, seed));
    if (ends.joinable()) ends.join();
    app.reset();
    wrong.expect(alive == 0, "a producer was left behind");
}
}  // namespace

int main() {
    watchdog dog("stream");
    thread_pool mine(2);
    if (!detail::exceptions_enabled) threw.seen();  // none can
    const auto seen = [] { return all_seen(whole, threw, cut, late, stopped); };
    for (unsigned seed = 1; seed <= 200 || (!seen() && seed <= 5'000); ++seed) {
        round_of(mine, seed);
        dog.pat("a later stream");
    }
    return testing::summary(wrong, whole, threw, cut, late, stopped);
}
