// A whole program that needs no exceptions and no RTTI: calls, sends, failures as values, a drain.
// (Every program here is compiled with and without them.)
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct profile {
    std::string name;
};
struct get_profile {
    using reply = profile;
    int user_id;
};
struct visit {
    int user_id;
};

int errors = 0;
void demand(bool holds, const char* what) {
    if (holds) return;
    std::printf("not so: %s\n", what);
    ++errors;
}
template <typename T>
void demand_failure(const result<T>& r, code c, effect e, const char* what) {
    demand(!r && r.error().code() == c && r.error().effect() == e, what);
}

struct users {
    // Several of them may be at work at once.
    std::shared_ptr<std::atomic<int>> visits = std::make_shared<std::atomic<int>>(0);
    task<result<profile>> operator()(get_profile q) {
        co_await sleep_for(1ms);
        if (q.user_id < 0) co_return failure(code::rejected, effect::none, "no such user");
        if (q.user_id == 0) co_await sleep_for(1h);
        co_return profile{"user " + std::to_string(q.user_id) + ", seen " +
                          std::to_string(*visits)};
    }
    result<void> operator()(visit v) {
        if (v.user_id < 0) return failure(code::rejected);
        ++*visits;
        return {};
    }
};

template <typename Mode>
void converse(bus& app, const char* name, const Mode& mode) {
    demand(app.try_handle<get_profile, visit>(name, mode, users()).has_value(), "it is made");
    demand_failure(app.try_handle<get_profile, visit>(name, mode, users()), code::rejected,
                   effect::none, "a name is taken once");
    const auto c = app.client<get_profile, visit>(name, deadline(1min));
    const auto hasty = app.client<get_profile>(name, deadline(200ms));
    app.run([&]() -> task<> {
        const bool sent = c.template send<visit>(1).has_value();
        demand(sent, "a send is accepted");
        auto both = co_await gather(c.template call<get_profile>(7), c.template call<visit>(2));
        const auto& seven = std::get<0>(both);
        demand(seven && seven->name.substr(0, 6) == "user 7", "a call gives its reply");
        demand(std::get<1>(both).has_value(), "a call without reply ends");
        const auto refused = co_await c.template call<get_profile>(-1);
        demand_failure(refused, code::rejected, effect::complete, "a failure comes as it is");
        auto late = co_await hasty.call(0);
        for (int i = 0; i != 20 && late.error().effect() == effect::none; ++i)
            late = co_await hasty.call(0);  // the machine stood still before it was begun
        demand_failure(late, code::deadline_exceeded, effect::unknown, "the deadline ends it");
        const auto room = co_await c.template send_when_room<visit>(-3);
        demand(room.has_value(), "there is room");
    });
}

void all(bus& app) {
    converse(app, "serial", serial);
    converse(app, "parallel", parallel(3).capacity(4).full(when_full::wait));
    const auto user = [](const auto& m) { return m.user_id; };
    converse(app, "keyed", keyed(user));
    const auto nobody = app.client<visit>("nobody");
    demand_failure(nobody.send(1), code::no_handler, effect::none, "nobody has that name");
    demand_failure(app.try_handle<visit>("serial", serial.capacity(0), users()), code::rejected,
                   effect::none, "a capacity of 0 is refused");
    const auto drained = app.drain(10s);
    demand(drained && drained->total.adds_up() && drained->total.left == 0, "it drains");
    demand(app.dead_letters().total() == 3, "what failed and had no caller is a dead letter");
    demand_failure(app.client<visit>("serial").send(1), code::closed, effect::none, "it is closed");
}

}  // namespace

int main() {
    {
        simulation sim(7);
        bus app(sim);
        all(app);
    }
    {
        run_loop loop;
        bus app(loop);
        all(app);
    }
    {
        bus app;
        all(app);
    }
    demand(detail::live_frames == 0, "no frame is left");
    return errors == 0 ? 0 : 1;
}
