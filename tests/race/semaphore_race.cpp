// Tasks on a pool stand in line for permits and are cancelled there: never more inside than there
// are permits, what one did inside is seen by the next, and in the end all permits are back.
#include "../support/callers.hpp"
#include "../support/race.hpp"

#include <posthaste/run/scope.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/semaphore.hpp>

#include <atomic>

using namespace posthaste;
using namespace posthaste::testing;

namespace {
outcome at_once("a permit without waiting"), refused("none to be had at once"),
    waited("a permit by acquire()"), cancelled("cancelled in line"), both_inside("two inside"),
    after_the_end("cancelled before it stood in line");
mistakes wrong;

struct room {
    semaphore one{1}, two{2};
    long written_alone = 0;       // plain: guarded by `one`
    long visits = 0;              // the same
    std::atomic<int> inside = 0;  // of `two`; relaxed
};

task<> visit_alone(room& r, unsigned seed) {
    const context& ctx = co_await this_context;
    for (unsigned i = 0; i != 8; ++i) {
        {
            auto permit = r.one.try_acquire();
            if (permit) {
                at_once.seen();
                ++r.visits;
                r.written_alone += 1;
            } else {
                refused.seen();
            }
        }
        const bool stopped = ctx.stop_requested();
        const auto permit = co_await r.one.acquire();
        if (permit) {
            waited.seen();
            ++r.visits;
            const long before = r.written_alone;
            if (scatter(seed, i) % 2 != 0) co_await yield();  // perhaps on to another thread
            r.written_alone = before + 1;
        } else {
            wrong.expect(permit.error().code() == code::cancelled, "neither permit nor cancelled");
            (stopped ? after_the_end : cancelled).seen();
        }
    }
}
task<> visit_in_twos(room& r) {
    for (unsigned i = 0; i != 8; ++i) {
        const auto permit = co_await r.two.acquire();
        if (!permit) continue;
        const int others = r.inside.fetch_add(1, std::memory_order_relaxed);
        wrong.expect(others < 2, "more inside than there are permits");
        if (others == 1) both_inside.seen();
        co_await yield();
        r.inside.fetch_sub(1, std::memory_order_relaxed);
    }
}
task<> round_of(unsigned seed) {
    const context& ctx = co_await this_context;
    room r;
    scope s(ctx);
    for (unsigned i = 0; i != 4; ++i) {
        s.spawn([](room& in, unsigned n) { return visit_alone(in, n); }, std::ref(r), seed + i);
        s.spawn([](room& in) { return visit_in_twos(in); }, std::ref(r));
    }
    s.spawn([](scope& all, unsigned n) { return stop_after(all, n); }, std::ref(s),
            scatter(seed, 1) % 64);
    co_await s.join();
    wrong.expect(r.one.available() == 1 && r.two.available() == 2, "a permit was lost or made");
    wrong.expect(r.written_alone == r.visits, "two wrote at a time");
}
}  // namespace

int main() {
    thread_pool pool(3);
    const auto seen = [] {
        return all_seen(at_once, refused, waited, cancelled, both_inside, after_the_end);
    };
    for (unsigned seed = 1; seed <= 600 || (!seen() && seed <= 60'000); ++seed) {
        sync_wait(pool, round_of(seed));
    }
    return summary(wrong, at_once, refused, waited, cancelled, both_inside, after_the_end);
}
