// Messages that are due any moment are cancelled, moved and given up by other threads, and by the
// drain: each is handled, cancelled, or a dead letter, once; a cancelled one is never handled.
#include "../support/race.hpp"
#include "watchdog.hpp"

#include <posthaste/serve/bus.hpp>
#include <posthaste/serve/client.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
testing::outcome in_time("cancelled in time"), too_late("cancelled too late"),
    given_up("given up by drain"), beaten("a periodic one was cancelled among its beats"),
    refused("refused, as the bus drains");
mistakes wrong;

constexpr unsigned count = 16;  // messages a round

struct note {
    unsigned n;
};

void round_of(unsigned seed) {
    std::array<std::atomic<int>, count> handled{}, lost{};
    std::array<bool, count> taken{}, cancelled{};
    std::atomic<int> beats = 0;
    bus_options options;
    options.threads = 2;
    bus app(options);
    app.handle<note>("log", parallel(2), [&](note m) {
        if (m.n == count) beats.fetch_add(1, std::memory_order_relaxed);
        else handled[m.n].fetch_add(1, std::memory_order_relaxed);
    });
    app.dead_letters().on_letter([&](const dead_letter& l) {
        lost[l.get<note>()->n].fetch_add(1, std::memory_order_relaxed);
    });
    const auto log = app.client<note>("log");
    const auto delay = [&](unsigned i) {
        return std::chrono::microseconds(1 + scatter(seed, i) % 600);
    };
    const auto half = [&](unsigned from) {
        auto beat = log.send_every(std::chrono::microseconds(70), count);
        std::array<std::optional<scheduled>, count / 2> mine;
        for (unsigned i = 0; i != count / 2; ++i) {
            mine[i].emplace(log.send_after(delay(from + i), from + i));
            taken[from + i] = static_cast<bool>(*mine[i]);
            if (!*mine[i]) refused.seen();
        }
        for (unsigned i = 0; i != count / 2; ++i) {
            stumble(scatter(seed, 100 + i));
            if (i % 4 == 3) continue;  // is left alone
            scheduled one = std::move(*mine[i]);
            cancelled[from + i] = one.cancel();
            if (taken[from + i]) (cancelled[from + i] ? in_time : too_late).seen();
        }
        if (beat && beat.cancel() && beats.load(std::memory_order_relaxed) != 0) beaten.seen();
    };
    std::thread other([&] { half(count / 2); });
    half(0);
    if (seed % 2 != 0) other.join();
    const auto all = app.drain(std::chrono::seconds(10));
    if (seed % 2 == 0) other.join();
    wrong.expect(all && all->in_time && all->total.adds_up(), "the account does not add up");
    if (all->scheduled != 0) given_up.seen();
    if (!log.send_after(delay(0), count)) refused.seen();
    for (unsigned i = 0; i != count; ++i) {
        const int ends = handled[i] + lost[i] + cancelled[i];
        wrong.expect(ends == (taken[i] ? 1 : 0), "not one end for each message");
    }
}
}  // namespace

int main() {
    watchdog dog("schedule");
    const auto seen = [] { return all_seen(in_time, too_late, given_up, beaten, refused); };
    for (unsigned seed = 1; seed <= 150 || (!seen() && seed <= 3'000); ++seed) {
        round_of(seed);
        dog.pat("a later schedule");
    }
    return testing::summary(wrong, in_time, too_late, given_up, beaten, refused);
}
