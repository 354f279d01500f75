// Workers with rings steal from one another and fall asleep, under every schedule: no work lies
// while one who could run it sleeps. As thread_pool does it, without its spinning.
// handover_explore [more]   with one scenario more: minutes
#include "../support/explorer_std.hpp"

#include <posthaste/run/sleepers.hpp>
#include <posthaste/run/work_ring.hpp>

#include <array>
#include <cstddef>
#include <memory>

namespace {

using namespace posthaste::testing::explore;

struct job : posthaste::work {
    plain content;  // what was done before put()
    int taken = 0;
};
template <std::size_t Workers, std::size_t Jobs>
struct pool {
    using ring = posthaste::basic_work_ring<atomics, 4>;
    posthaste::sleepers asleep;
    std::array<posthaste::sleepers::berth, Workers> berths;
    std::array<ring, Workers> rings;
    std::array<job, Jobs> jobs;
    int ran = 0;

    bool anything() const {
        for (const ring& r : rings) {
            if (!r.empty()) return true;
        }
        return false;
    }
    posthaste::work* look_around(std::size_t self) {
        for (std::size_t i = 1; i != Workers; ++i) {
            if (auto* w = rings[self].steal_from(rings[(self + i) % Workers])) {
                // without it the last scenario fails: the thief did not count as searching
                if (!rings[self].empty()) asleep.work_is_there();
                return w;
            }
        }
        return nullptr;
    }
    void run(posthaste::work& w) {
        job& j = static_cast<job&>(w);
        world::demand(++j.taken == 1, "taken twice");
        j.content.write();
        ++ran;
    }
    // Until it has run one, from which it does not come back.
    void work(std::size_t self) {
        bool searching = false, in_vain = false;
        for (;;) {
            posthaste::work* w = look_around(self);
            if (!w) {
                if (!searching) searching = asleep.start_search(Workers);
                if (searching) w = look_around(self);
            }
            if (w) {
                if (searching) asleep.stop_search([this] { return anything(); });
                return run(*w);
            }
            asleep.sleep(berths[self], searching, [&] {
                if (in_vain) world::now().yield();  // an old head or tail is not seen for ever
                return in_vain = anything();
            });
            searching = true;
        }
    }
};

// The first worker has `before` pieces of work in its ring and puts the rest; if there are as many
// as workers, it runs one itself. None of them comes back from what it runs.
template <std::size_t Workers, std::size_t Jobs>
world::script puts(std::size_t before) {
    auto p = world::fresh<pool<Workers, Jobs>>();
    world::name(p->asleep, "sleepers");
    for (std::size_t i = 0; i != Workers; ++i) {
        world::name(p->berths[i], "berth", static_cast<int>(i));
        world::name(p->rings[i], "ring", static_cast<int>(i));
    }
    for (std::size_t i = 0; i != Jobs; ++i) world::name(p->jobs[i], "job", static_cast<int>(i));
    for (std::size_t i = 0; i != before; ++i) static_cast<void>(p->rings[0].put(p->jobs[i]));
    world::script script;
    script.may_rest = true;
    script.names = {"owner", "1st thief", "2nd thief"};
    script.threads.push_back([=] {
        for (std::size_t i = before; i != Jobs; ++i) {
            p->jobs[i].content.write();
            static_cast<void>(p->rings[0].put(p->jobs[i]));
            p->asleep.work_is_there();
        }
        if (Jobs < Workers) return;
        if (auto* w = p->rings[0].take()) p->run(*w);
        else p->work(0);
    });
    for (std::size_t i = 1; i != Workers; ++i) script.threads.push_back([=] { p->work(i); });
    script.at_end = [=] {
        world::demand(p->ran == static_cast<int>(Jobs),
                      "work lies there, and one who could run it sleeps");
    };
    return script;
}

}  // namespace

int main(int count, char**) {
    reports r;
    r.add("1 put, 1 thief", [] { return puts<2, 1>(0); });
    r.add("2 puts, 1 thief", [] { return puts<2, 2>(0); });
    r.add("2 puts, 2 thieves", [] { return puts<3, 2>(1); });
    r.add("3 there, 2 thieves", [] { return puts<3, 3>(3); });
    if (count > 1) r.add("1 put, 2 thieves", [] { return puts<3, 1>(0); }, 100'000'000);
    return r.end();
}
