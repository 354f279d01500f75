// Who runs on which lane of a parallel endpoint, under every schedule.
#include "../support/explorer_endpoint.hpp"

#include <posthaste/serve/parallel_endpoint.hpp>

#include <array>
#include <memory>

namespace {

using namespace posthaste::testing::explore;
using posthaste::endpoint_core, posthaste::lane;

struct state {
    told job;
    desk at{true};
    posthaste::dead_letters dead;
    std::array<const lane*, 2> lanes{};
    std::array<plain, 2> of_lane;  // those of whoever runs on it
    int handled = 0;
    posthaste::parallel_endpoint endpoint{
        "parallel", at, dead, std::make_unique<handled_by<state>>(*this), posthaste::parallel(2)};
    state() {
        endpoint.for_each_lane(this, [](void* to, lane& l) {
            auto& all = static_cast<state*>(to)->lanes;
            all[all[0] ? 1 : 0] = &l;
        });
    }
    void work_on(const lane& l) noexcept { of_lane[&l == lanes[0] ? 0 : 1].write(); }
    void handle(lane& l) noexcept {
        work_on(l);
        ++handled;
    }
    void send() {
        job.how = endpoint.find(job.type());
        world::demand(endpoint.put(job, false) == endpoint_core::admission::accepted,
                      "there is room");
    }
    void claim() {
        if (const lane* const l = endpoint.claim(job)) work_on(*l);
    }
};

// A message is handled, and its lane given back, while somebody claims a lane for good.
world::script lane_after_lane() {
    auto s = world::fresh<state>();
    world::name(s->endpoint, "endpoint");
    world::script script;
    script.names = {"sender", "caller"};
    script.threads.push_back([s] { s->send(); });
    script.threads.push_back([s] { s->claim(); });
    script.at_end = [s] { world::demand(s->handled == 1, "a message was not handled"); };
    return script;
}

}  // namespace

int main() {
    reports r;
    r.add("lane after lane", lane_after_lane);
    return r.end();
}
