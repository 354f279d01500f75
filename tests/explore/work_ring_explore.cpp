// A worker's queue and its thieves, under every schedule.
#include <posthaste/run/work_ring.hpp>

#include "../support/explorer.hpp"

#include <array>
#include <memory>

namespace {

using namespace posthaste::testing::explore;

struct job : posthaste::work {
    plain content;  // what was done before put()
    int taken = 0;
};

template <std::uint32_t Capacity>
struct state {
    using ring = posthaste::basic_work_ring<atomics, Capacity>;
    ring owners, first_thiefs, second_thiefs;
    std::array<job, 6> jobs;
    std::array<posthaste::work*, 6> refused{};
    int left = 0, refusals = 0;
};

template <std::uint32_t Capacity>
auto rings() {
    auto s = world::fresh<state<Capacity>>();
    world::name(s->owners, "owner's ring");
    world::name(s->first_thiefs, "1st thief's ring");
    world::name(s->second_thiefs, "2nd thief's ring");
    for (std::size_t i = 0; i != s->jobs.size(); ++i)
        world::name(s->jobs[i], "job", static_cast<int>(i));
    return s;
}

void run(posthaste::work* w) {
    if (!w) return;
    job& j = static_cast<job&>(*w);
    world::demand(++j.taken == 1, "taken twice");
    j.content.write();
}

// The owner puts `puts` pieces of work and takes some; each thief steals, and takes what it stole.
// With a ring this small, each slot is used several times.
template <std::uint32_t Capacity>
world::script thieves(int puts, int takes, int count, int steals) {
    const auto s = rings<Capacity>();

    world::script script;
    script.names = {"owner", "1st thief", "2nd thief"};
    script.threads.push_back([=] {
        for (int i = 0; i != puts; ++i) {
            job& j = s->jobs[static_cast<std::size_t>(i)];
            j.content.write();
            if (!s->owners.put(j)) {  // then it goes to the shared queue
                ++s->refusals;
                run(&j);
            }
            if (i >= puts - takes) run(s->owners.take());
        }
    });
    for (int t = 0; t != count; ++t) {
        script.threads.push_back([=] {
            auto& mine = t == 0 ? s->first_thiefs : s->second_thiefs;
            for (int i = 0; i != steals; ++i) {
                run(mine.steal_from(s->owners));
                while (auto* w = mine.take()) run(w);
            }
        });
    }
    script.at_end = [=] {
        world::demand(s->first_thiefs.empty() && s->second_thiefs.empty(), "a thief left some");
        while (auto* w = s->owners.take()) run(w);
        world::demand(s->owners.empty(), "not empty at the end");
        for (int i = 0; i != puts; ++i)
            world::demand(s->jobs[static_cast<std::size_t>(i)].taken == 1, "lost");
    };
    return script;
}

// Thieves that steal from one another.
world::script round_about() {
    const auto s = rings<2>();
    world::script script;
    script.names = {"owner", "thief"};
    script.threads.push_back([=] {
        for (std::size_t i = 0; i != 2; ++i) {
            s->jobs[i].content.write();
            if (!s->owners.put(s->jobs[i])) run(&s->jobs[i]);
        }
        while (auto* w = s->owners.take()) run(w);
        run(s->owners.steal_from(s->first_thiefs));
        while (auto* w = s->owners.take()) run(w);
    });
    script.threads.push_back([=] {
        run(s->first_thiefs.steal_from(s->owners));
        s->jobs[2].content.write();
        if (!s->first_thiefs.put(s->jobs[2])) run(&s->jobs[2]);
        run(s->first_thiefs.take());
    });
    script.at_end = [=] {
        while (auto* w = s->owners.take()) run(w);
        while (auto* w = s->first_thiefs.take()) run(w);
        for (std::size_t i = 0; i != 3; ++i) world::demand(s->jobs[i].taken == 1, "lost");
    };
    return script;
}

// A thief steals two, keeps one of them in its ring, and is robbed of it.
world::script handed_on() {
    const auto s = rings<4>();
    world::script script;
    script.names = {"owner", "1st thief", "2nd thief"};
    script.threads.push_back([=] {
        for (std::size_t i = 0; i != 3; ++i) {
            s->jobs[i].content.write();
            static_cast<void>(s->owners.put(s->jobs[i]));
        }
    });
    script.threads.push_back([=] {
        run(s->first_thiefs.steal_from(s->owners));
        run(s->first_thiefs.take());
    });
    script.threads.push_back([=] { run(s->second_thiefs.steal_from(s->first_thiefs)); });
    script.at_end = [=] {
        while (auto* w = s->owners.take()) run(w);
        for (std::size_t i = 0; i != 3; ++i) world::demand(s->jobs[i].taken == 1, "lost");
    };
    return script;
}

// Who finds the ring full takes the two oldest out together, while others steal.
world::script makes_room(int count) {
    const auto s = rings<4>();
    world::script script;
    script.names = {"owner", "1st thief", "2nd thief"};
    script.threads.push_back([=] {
        std::array<posthaste::work*, 2> oldest{};
        for (std::size_t i = 0; i != 6; ++i) {
            s->jobs[i].content.write();
            if (s->owners.put(s->jobs[i])) continue;
            if (s->owners.take(oldest))
                for (posthaste::work* w : oldest) run(w);
            world::demand(s->owners.put(s->jobs[i]), "there is room now");
        }
    });
    for (int t = 0; t != count; ++t) {
        script.threads.push_back([=] {
            auto& mine = t == 0 ? s->first_thiefs : s->second_thiefs;
            run(mine.steal_from(s->owners));
            while (auto* w = mine.take()) run(w);
        });
    }
    script.at_end = [=] {
        while (auto* w = s->owners.take()) run(w);
        for (job& j : s->jobs) world::demand(j.taken == 1, "lost");
    };
    return script;
}

// Two are put at once where two were before, while a thief steals.
world::script put_together() {
    const auto s = rings<2>();
    world::script script;
    script.names = {"owner", "thief"};
    script.threads.push_back([=] {
        for (std::size_t i = 0; i != 4; ++i) s->jobs[i].content.write();
        std::array<posthaste::work*, 4> all{};
        for (std::size_t i = 0; i != 4; ++i) all[i] = &s->jobs[i];
        s->owners.put(all.data(), 2);
        if (s->owners.room() == 2) s->owners.put(&all[2], 2);
        else run(all[2]), run(all[3]);
        run(s->owners.take());
    });
    script.threads.push_back([=] {
        for (int i = 0; i != 2; ++i) run(s->first_thiefs.steal_from(s->owners));
        while (auto* w = s->first_thiefs.take()) run(w);
    });
    script.at_end = [=] {
        while (auto* w = s->owners.take()) run(w);
        for (std::size_t i = 0; i != 4; ++i) world::demand(s->jobs[i].taken == 1, "lost");
    };
    return script;
}

// Who puts, then looks for sleepers; who goes to sleep, then looks at the ring: one sees the other.
world::script two_looks(bool one_of_several) {
    struct both {
        posthaste::basic_work_ring<atomics, 2> ring;
        atomic<int> asleep{0};
        job j;
        bool poster_saw = false, sleeper_saw = false;
    };
    auto s = world::fresh<both>();
    world::name(s->ring, "ring");
    world::name(s->asleep, "asleep");
    world::name(s->j, "job");
    world::script script;
    script.names = {"owner", "sleeper"};
    script.threads.push_back([s, one_of_several] {
        posthaste::work* const all[] = {&s->j};
        if (one_of_several) s->ring.put(all, 1);
        else static_cast<void>(s->ring.put(s->j));
        s->poster_saw = s->asleep.load(std::memory_order_seq_cst) != 0;
    });
    script.threads.push_back([s] {
        s->asleep.fetch_add(1, std::memory_order_seq_cst);
        s->sleeper_saw = !s->ring.empty();
    });
    script.at_end = [s] {
        world::demand(s->poster_saw || s->sleeper_saw, "neither sees the other: it lies there");
    };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("two looks", [] { return two_looks(false); });
    r.add("two looks, put together", [] { return two_looks(true); });
    r.add("ring of 2: put together, 1 thief", [] { return put_together(); });
    r.add("ring of 2: 3 puts, 2 takes, 1 thief", [] { return thieves<2>(3, 2, 1, 2); });
    r.add("ring of 2: stealing from one another", [] { return round_about(); });
    r.add("ring of 4: what was stolen is stolen", [] { return handed_on(); });
    r.add("ring of 2: 3 puts, 1 take, 2 thieves", [] { return thieves<2>(3, 1, 2, 1); });
    r.add("ring of 4: 5 puts, 2 takes, 1 thief", [] { return thieves<4>(5, 2, 1, 2); });
    r.add("ring of 4: the owner makes room, 1 thief", [] { return makes_room(1); });
    return r.end();
}
