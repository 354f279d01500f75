// Work comes from outside just as the workers go to sleep, under every schedule: none lies while
// all sleep, and who runs it sees what was done before.
#define POSTHASTE_MUTEX_QUEUE 1  // of moodycamel's the explorer would see nothing
#include "../support/explorer_std.hpp"

#include <posthaste/run/injection_queue.hpp>
#include <posthaste/run/sleepers.hpp>

#include <array>
#include <cstddef>
#include <memory>

namespace {

using namespace posthaste::testing::explore;

struct job : posthaste::work {
    plain content;
    int taken = 0;
};
struct pool {
    posthaste::injection_queue queue;
    posthaste::sleepers asleep;
    std::array<posthaste::sleepers::berth, 2> berths;
    std::array<job, 2> jobs;
    int ran = 0;

    // As thread_pool::post() from outside.
    void post(std::size_t n) {
        jobs[n].content.write();
        queue.put(jobs[n]);
        asleep.work_is_there();
    }
    // As thread_pool::work_until_stopped(), until `all` have been run.
    void work(std::size_t self, unsigned workers, int all) {
        posthaste::injection_queue::reader reader(queue);
        bool searching = false, in_vain = false;
        for (;;) {
            posthaste::work* w = queue.take(reader);
            if (!w) {
                if (!searching) searching = asleep.start_search(workers);
                if (searching) w = queue.take(reader);
            }
            if (!w) {
                asleep.sleep(berths[self], searching, [&] {
                    if (in_vain) world::now().yield();  // an old count is not seen for ever
                    return in_vain = !queue.empty();
                });
                searching = true;
                continue;
            }
            if (searching) asleep.stop_search([this] { return !queue.empty(); });
            searching = in_vain = false;
            job& j = static_cast<job&>(*w);
            world::demand(++j.taken == 1, "taken twice");
            j.content.write();
            if (++ran == all) return;
        }
    }
};

world::script posts(unsigned workers, int posters, int each) {
    auto p = world::fresh<pool>();
    world::name(p->queue, "queue");
    world::name(p->asleep, "sleepers");
    world::name(p->berths[0], "berth", 0);
    world::name(p->berths[1], "berth", 1);
    world::name(p->jobs[0], "job", 0);
    world::name(p->jobs[1], "job", 1);
    const int all = posters * each;
    world::script script;
    script.may_rest = true;
    for (unsigned w = 0; w != workers; ++w) {
        script.names.push_back(w == 0 ? "worker 0" : "worker 1");
        script.threads.push_back([=] { p->work(w, workers, all); });
    }
    for (int i = 0; i != posters; ++i) {
        script.names.push_back(i == 0 ? "1st poster" : "2nd poster");
        script.threads.push_back([=] {
            for (int n = 0; n != each; ++n) p->post(static_cast<std::size_t>(i * each + n));
        });
    }
    script.at_end = [=] {
        world::demand(p->ran == all, "work lies there, and all who could run it sleep");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("1 worker, 1 post", [] { return posts(1, 1, 1); });
    r.add("1 worker, 2 posts", [] { return posts(1, 1, 2); });
    r.add("1 worker, 2 posters", [] { return posts(1, 2, 1); });
    r.add("2 workers, 1 post", [] { return posts(2, 1, 1); });
    return r.end();
}
