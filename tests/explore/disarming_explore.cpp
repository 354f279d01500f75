// The timer that a loop has armed last, and who disarms it from elsewhere, under every schedule.
#include "../support/explorer_std.hpp"

#include <posthaste/run/latest_timer.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

namespace {

using namespace posthaste::testing::explore;

struct alarm : posthaste::timer {
    alarm() noexcept : timer(nullptr) {}
    plain content;  // destroying it touches this
    bool listed = false, gone = false;
};
struct state {
    posthaste::latest_timer latest;
    mutex lock;
    plain list;  // guarded by lock, as each alarm's `listed`
    std::array<alarm, 2> alarms;
    std::array<atomic<int>, 2> armed{0, 0};

    // The loop's thread.
    void arm(std::size_t i) {
        if (!latest.empty()) put_away();
        alarms[i].content.write();
        latest.keep(alarms[i]);
        armed[i].store(1, std::memory_order_release);
    }
    void put_away() {
        const std::lock_guard guard(lock);
        if (alarm* const a = static_cast<alarm*>(latest.take())) {
            world::demand(!a->gone, "a timer that is gone is put away");
            a->content.write();
            list.write();
            a->listed = true;
        }
    }
    // Whoever has armed it, or was told to.
    void disarm(std::size_t i, bool here) {
        alarm& a = alarms[i];
        if (!(here ? latest.leave_here(a) : latest.leave(a))) {
            const std::lock_guard guard(lock);
            list.write();
            world::demand(a.listed, "a timer is nowhere");
            a.listed = false;
        }
        world::demand(!a.gone, "disarmed twice");
        a.content.write();
        a.gone = true;
    }
};

// The loop arms one after the other, and puts all under the lock in the end; some of them it takes
// back itself: `here`; the others somebody else does, as soon as they are armed.
world::script timers(int count, unsigned here) {
    auto s = world::fresh<state>();
    world::name(s->latest, "latest");
    world::name(s->alarms, "alarms");
    world::script script;
    script.names = {"loop", "other", "another"};
    script.threads.push_back([=] {
        for (std::size_t i = 0; i != static_cast<std::size_t>(count); ++i) {
            s->arm(i);
            if (here & (1u << i)) s->disarm(i, true);
        }
        s->put_away();
    });
    for (std::size_t i = 0; i != static_cast<std::size_t>(count); ++i) {
        if (here & (1u << i)) continue;
        script.threads.push_back([=] {
            s->armed[i].wait_until(1);
            s->disarm(i, false);
        });
    }
    script.at_end = [=] {
        world::demand(s->latest.empty(), "a timer was left");
        for (std::size_t i = 0; i != static_cast<std::size_t>(count); ++i)
            world::demand(s->alarms[i].gone && !s->alarms[i].listed, "a timer was left");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("1, from elsewhere", [] { return timers(1, 0); });
    r.add("2, the second here", [] { return timers(2, 2); });
    r.add("2, the first here", [] { return timers(2, 1); });
    r.add("2, from elsewhere", [] { return timers(2, 0); });
    return r.end();
}
