// The spin lock, under every schedule: one at a time, and each sees what the last one did.
#include "../support/explorer_std.hpp"

#include <posthaste/detail/spin_lock.hpp>

#include <memory>
#include <utility>

namespace {

using namespace posthaste::testing::explore;

struct state {
    posthaste::detail::spin_lock lock;
    plain guarded;
    bool inside = false;
    int entered = 0;
};

// Each thread tries `tries` times, and does its part if it gets in.
world::script holders(int threads, int tries) {
    auto s = world::fresh<state>();
    world::name(s->lock, "lock");
    world::script script;
    for (int t = 0; t != threads; ++t) {
        script.threads.push_back([=] {
            for (int i = 0; i != tries; ++i) {
                if (!s->lock.try_lock()) continue;
                world::demand(!std::exchange(s->inside, true), "two hold it");
                s->guarded.write();
                ++s->entered;
                s->inside = false;
                s->lock.unlock();
            }
        });
    }
    script.at_end = [s] {
        world::demand(s->entered != 0, "nobody got in");
        world::demand(s->lock.try_lock(), "it is still held");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("2 threads, 2 tries", [] { return holders(2, 2); });
    r.add("3 threads, 2 tries", [] { return holders(3, 2); });
    r.add("3 threads, 3 tries", [] { return holders(3, 3); });
    return r.end();
}
