#include "../support/catch.hpp"

#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/home.hpp>
#include <posthaste/wait/timer.hpp>

#include <coroutine>
#include <vector>

using namespace posthaste;

namespace {
/// A home that has only what it must have: all else comes from the base.
class bare_home final : public home {
public:
    std::vector<work*> queue;
    void post(work& w) noexcept override { queue.push_back(&w); }
    void arm(timer&, time_point) noexcept override {}
    void disarm(timer&) noexcept override {}
    time_point now() const noexcept override { return time_point(duration(42)); }
};
}  // namespace

TEST_CASE("home: a transfer is a post where there is nothing better") {
    bare_home h;
    work a, b;
    h.post(a);
    h.transfer(b);
    CHECK(h.queue == std::vector<work*>{&a, &b});
}

TEST_CASE("home: need not keep a record of who is parked, nor watch inline calls") {
    bare_home h;
    {
        frame f(std::noop_coroutine());
        f.at = &h;
        f.park("something", "somewhere");
        CHECK_FALSE(f.noted);
        h.unpark(f);
    }
    inline_call call;
    h.watch(call);
    CHECK(h.unwatch(call));  // nobody has taken it
    CHECK(h.queue.empty());
}

TEST_CASE("home: tells the time") {
    const bare_home h;
    const posthaste::clock& c = h;
    CHECK(c.now() == time_point(duration(42)));
}

TEST_CASE("home: work is nothing until it is told what to do, an inline call has all its time") {
    const work w;
    CHECK(w.next == nullptr);
    CHECK(w.run == nullptr);
    const inline_call call;
    CHECK(call.outer == nullptr);
    CHECK(call.allowance == forever);
    CHECK(call.deadline == never);
    CHECK_FALSE(call.taken);
}
