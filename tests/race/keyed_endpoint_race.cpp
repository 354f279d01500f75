// Keys come and go: a lane that has run dry is given to a new key, on whatever thread the sorter
// is, and only when its last message has been handled.
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/serve/bus.hpp>

#include "../support/race.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

using namespace posthaste;
using namespace posthaste::testing;

namespace {

constexpr int messages = 200;  // a round, of each sender

struct job {
    int key;
    int n;
};

// Keys that come back now and then, others that do not.
int key_of(int sender, int n) { return n % 5 == 0 ? n % 3 : sender * 1000 + n; }

}  // namespace

int main() {
    outcome handled("handled"), moved("handled on another thread than the last one");
    mistakes wrong;
    thread_pool pool(2);
    std::unique_ptr<bus> app;
    std::optional<client<job>> jobs;
    std::array<long, 3> of_key{};  // plain: those of keys 0, 1 and 2, guarded by the key's order
    std::atomic<std::thread::id> last;  // relaxed: to see that both threads take part
    race(
        100, 2000,
        [&](unsigned) {
            bus_options options;
            options.grace = std::chrono::minutes(1);
            app = std::make_unique<bus>(pool, options);
            app->handle<job>("jobs", keyed(&job::key).capacity(10'000), [&](const job& j) {
                handled.seen();
                if (j.key < 3) ++of_key[static_cast<std::size_t>(j.key)];
                const auto me = std::this_thread::get_id();
                if (last.exchange(me, std::memory_order_relaxed) != me) moved.seen();
            });
            jobs.emplace(app->client<job>("jobs"));
            of_key = {};
        },
        [&](unsigned) {
            app.reset();
            wrong.expect(of_key[0] + of_key[1] + of_key[2] == 2 * messages / 5,
                         "not every message was handled");
            return all_seen(handled, moved);
        },
        [&](unsigned) {
            for (int n = 0; n != messages; ++n)
                wrong.expect(jobs->send(key_of(1, n), n).has_value(), "refused");
        },
        [&](unsigned) {
            for (int n = 0; n != messages; ++n)
                wrong.expect(jobs->send(key_of(2, n), n).has_value(), "refused");
        });
    return summary(wrong, handled, moved);
}
