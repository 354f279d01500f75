// A pool's workers fall asleep and are woken, under every schedule: no work lies while all sleep.
#include "../support/explorer_std.hpp"

#include <posthaste/run/parking.hpp>
#include <posthaste/run/sleepers.hpp>

#include <array>
#include <memory>
#include <mutex>
#include <utility>

namespace {

using namespace posthaste::testing::explore;

// The queue of a pool, as a count, as its shared_count_; what the workers hold is theirs.
struct pool {
    posthaste::sleepers asleep;
    std::array<posthaste::sleepers::berth, 2> berths;
    atomic<int> queued{0};
    int ran = 0, held = 0;

    bool take() {
        int seen = queued.load(std::memory_order_relaxed);
        while (seen > 0) {
            if (queued.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,
                                             std::memory_order_relaxed))
                return true;
        }
        return false;
    }
    void post() {
        queued.fetch_add(1, std::memory_order_seq_cst);
        asleep.work_is_there();
    }
    bool anything() { return queued.load(std::memory_order_seq_cst) > 0; }

    // As thread_pool::work_until_stopped(): `blocks` is how many pieces of work keep their worker
    // until all have been run, so that another must take the rest.
    void work(std::size_t self, unsigned workers, int all, bool blocks, bool searching = false) {
        for (;;) {
            bool found = take();
            if (!found) {
                if (!searching) searching = asleep.start_search(workers);
                found = searching && take();
            }
            if (!found) {
                asleep.sleep(berths[self], searching, [this] { return anything(); });
                searching = true;
                continue;
            }
            if (searching) asleep.stop_search([this] { return anything(); });
            searching = false;
            ++ran;
            if (blocks && ran < all) return;  // it does not come back
            if (ran == all) return;
        }
    }
};

// `posters` bring `each` pieces of work to `workers` who are, or fall, asleep.
world::script posts(unsigned workers, int posters, int each, bool blocks) {
    auto p = world::fresh<pool>();
    world::name(p->asleep, "sleepers");
    world::name(p->berths[0], "berth", 0);
    world::name(p->berths[1], "berth", 1);
    world::name(p->queued, "queue");
    const int all = posters * each;
    world::script script;
    script.may_rest = true;
    for (unsigned w = 0; w != workers; ++w) {
        script.names.push_back(w == 0 ? "worker 0" : "worker 1");
        script.threads.push_back([=] { p->work(w, workers, all, blocks); });
    }
    for (int i = 0; i != posters; ++i) {
        script.names.push_back(i == 0 ? "1st poster" : "2nd poster");
        script.threads.push_back([=] {
            for (int n = 0; n != each; ++n) p->post();
        });
    }
    script.at_end = [=] {
        world::demand(p->queued.load(std::memory_order_relaxed) == 0,
                      "work lies there, and all who could run it sleep");
        world::demand(p->ran == all, "lost, or run twice");
    };
    return script;
}

// One sleeps, one searches, and two pieces of work come, of which the first keeps its worker: the
// posters wake nobody while one searches, so who found something must, if there is more.
world::script handed_on(int posters) {
    struct started_pool : pool {
        atomic<int> asleep_now{0};
    };
    auto p = world::fresh<started_pool>();
    world::name(p->asleep, "sleepers");
    world::name(p->berths[0], "berth", 0);
    world::name(p->berths[1], "berth", 1);
    world::name(p->queued, "queue");
    world::name(p->asleep_now, "(start)");
    world::script script;
    script.may_rest = true;
    script.names = {"sleeper", "searcher", "poster", "2nd poster"};
    script.threads.push_back([=] {
        p->asleep.sleep(p->berths[0], false, [p] {
            p->asleep_now.store(1, std::memory_order_release);
            return false;
        });
        p->work(0, 2, 2, true, true);
    });
    script.threads.push_back([=] {
        p->asleep_now.wait_until(1);
        p->work(1, 2, 2, true, p->asleep.start_search(2));
    });
    for (int i = 0; i != posters; ++i) {
        script.threads.push_back([=] {
            p->asleep_now.wait_until(1);
            for (int n = 0; n != 2 / posters; ++n) p->post();
        });
    }
    script.at_end = [=] {
        world::demand(p->queued.load(std::memory_order_relaxed) == 0,
                      "work lies there, and all who could run it sleep");
        world::demand(p->ran == 2, "lost, or run twice");
    };
    return script;
}

// The pool stops, while workers fall asleep, and perhaps one is woken: all of them end. As
// thread_pool::stop(): what tells them is ordered by the sleepers' lock alone.
world::script stops(unsigned workers, int posters) {
    struct stopping_pool : pool {
        atomic<bool> stopping{false};
    };
    auto p = world::fresh<stopping_pool>();
    world::name(p->asleep, "sleepers");
    world::name(p->berths[0], "berth", 0);
    world::name(p->berths[1], "berth", 1);
    world::name(p->queued, "queue");
    world::name(p->stopping, "stopping");
    world::script script;
    script.names = {"stopper"};
    script.threads.push_back([=] {
        p->stopping.store(true, std::memory_order_relaxed);
        while (p->asleep.wake_one()) {}
    });
    for (unsigned w = 0; w != workers; ++w) {
        script.names.push_back(w == 0 ? "worker 0" : "worker 1");
        script.threads.push_back([=] {
            bool searching = false;
            while (!p->stopping.load(std::memory_order_relaxed)) {
                if (p->take()) {
                    if (std::exchange(searching, false))
                        p->asleep.stop_search([p] { return p->anything(); });
                    continue;
                }
                p->asleep.sleep(p->berths[w], searching, [p] {
                    return p->anything() || p->stopping.load(std::memory_order_relaxed);
                });
                searching = true;
            }
        });
    }
    for (int i = 0; i != posters; ++i) {
        script.names.push_back("poster");
        script.threads.push_back([p] { p->post(); });
    }
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("1 worker, 1 post", [] { return posts(1, 1, 1, false); });
    r.add("1 worker, 2 posts", [] { return posts(1, 1, 2, false); });
    r.add("1 worker, 2 posters", [] { return posts(1, 2, 1, false); });
    r.add("2 workers, 1 post", [] { return posts(2, 1, 1, false); });
    r.add("a sleeper, a searcher, 2 posts", [] { return handed_on(1); });
    r.add("1 worker stops", [] { return stops(1, 0); });
    r.add("1 worker stops, 1 post", [] { return stops(1, 1); });
    r.add("2 workers stop", [] { return stops(2, 0); });
    return r.end();
}
