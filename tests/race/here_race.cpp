// One queue, and senders where it is read, on a pool of one thread, beside others elsewhere: each
// one's messages are handled in order, no account shows more than there is room for, and at the end
// every message has been handled, or its sender knows.
#include "../support/race.hpp"

#include <posthaste/posthaste.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
struct note {
    using reply = int;
    unsigned from, n;
};
constexpr unsigned elsewhere = 2, senders = elsewhere + 1, each = 400;
constexpr std::size_t capacity = 128;  // of which 2 places are taken ahead at a time
}  // namespace

int main() {
    outcome sent_here("sent at home"), sent("sent from elsewhere"), called("called at home"),
        full_here("full for one at home"), full("full for one elsewhere"),
        closed_here("closed for one at home"), closed("closed for one elsewhere"),
        queued("an account with some left");
    mistakes wrong;

    std::array<unsigned, senders> next{}, accepted{};  // plain: the handler's, and each sender's
    std::array<unsigned, senders> handled{};
    std::optional<bus> app;
    std::optional<client<note>> to;
    std::atomic<bool> ended = false;

    const auto take = [&](unsigned from, const result<void>& r, outcome& well, outcome& no_room,
                          outcome& shut) {
        if (r) ++accepted[from], well.seen();
        else if (r.error().code() == code::overloaded) no_room.seen();
        else shut.seen();
        return r || r.error().code() == code::overloaded;
    };
    const auto send_at_home = [&](unsigned round) -> task<> {
        for (unsigned n = 0; n != each; ++n) {
            if (!take(0, to->send(0u, n), sent_here, full_here, closed_here)) break;
            if (n % 256 == round % 256) {
                const auto r = co_await to->call(0u, n);
                if (r) ++accepted[0], called.seen();
            } else if (scatter(round, n) % 128 == 0) {
                co_await yield();
            }
        }
    };
    const auto send = [&](unsigned from, unsigned round) {
        for (unsigned n = 0; n != each; ++n) {
            if (round % 4 != 1) stumble(scatter(round * each + n, from));
            if (!take(from, to->send(from, n), sent, full, closed)) return;
        }
    };

    race(
        300, 30'000,
        [&](unsigned) {
            next = accepted = handled = {};
            ended.store(false, std::memory_order_relaxed);
            app.emplace(bus_options{.threads = 1});
            app->handle<note>("notes", serial.capacity(capacity), [&](const note& m) {
                wrong.expect(m.n >= next[m.from], "out of order");
                next[m.from] = m.n;
                ++handled[m.from];
                // On one core, too, others find it full, or close it.
                if (scatter(m.n, m.from) % 64 == 0) std::this_thread::yield();
                return 0;
            });
            to.emplace(app->client<note>("notes", deadline(forever)));
        },
        [&](unsigned) {
            wrong.expect(app->drain(std::chrono::seconds(60))->in_time, "it does not end");
            const account a = app->counts("notes");
            std::uint64_t sum = 0;
            for (unsigned s = 0; s != senders; ++s) {
                sum += accepted[s];
                wrong.expect(handled[s] == accepted[s], "accepted and handled are not the same");
            }
            wrong.expect(a.accepted == sum && a.handled == sum && a.left == 0, "miscounted");
            to.reset(), app.reset();
            return all_seen(sent_here, sent, called, full_here, full, closed_here, closed, queued);
        },
        [&](unsigned round) { app->run([&] { return send_at_home(round); }); },
        [&](unsigned round) { send(1, round); }, [&](unsigned round) { send(2, round); },
        [&](unsigned round) {
            for (unsigned i = 0; i != 20; ++i) {
                stumble(scatter(round, 100 + i));
                if (round % 4 == 0 && i == round / 4 % 20)
                    static_cast<void>(app->drain(std::chrono::seconds(60)));
                const account a = app->counts("notes");
                wrong.expect(a.left <= capacity + 1, "more are left than there is room for");
                if (a.left > 1) queued.seen();
            }
        });
    return summary(wrong, sent_here, sent, called, full_here, full, closed_here, closed, queued);
}
