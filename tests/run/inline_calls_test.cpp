// What a watcher ends, on one thread; that it never ends what is over is shown by
// tests/explore/inline_calls_explore.cpp and tests/race/inline_calls_race.cpp.
#include "../support/catch.hpp"

#include <posthaste/run/inline_calls.hpp>

#include <chrono>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

constexpr time_point start{1h};

struct call : inline_call {
    explicit call(time_point at) noexcept {
        deadline = at;
        expire = [](inline_call& c) noexcept {
            call& self = static_cast<call&>(c);
            ++self.asked;
            return !self.over;
        };
    }
    int asked = 0;
    bool over = false;
};

struct watched {
    const detail::asymmetric_fence fence;
    inline_calls calls{fence};
    bool look(time_point now) noexcept {
        calls.announce();
        fence.heavy();
        return calls.look(now);
    }
};

}  // namespace

TEST_CASE("inline_calls: there is something to watch while a call runs") {
    watched w;
    CHECK_FALSE(w.look(start));
    call c(never);
    w.calls.begin(c);
    CHECK(w.look(start));
    CHECK(w.calls.end(c));
    CHECK_FALSE(w.look(start));
}

TEST_CASE("inline_calls: a call is ended when its deadline has come, and only once") {
    watched w;
    call c(start + 1s);
    w.calls.begin(c);
    CHECK(w.look(start + 1s - 1ns));
    CHECK(c.asked == 0);
    CHECK(w.look(start + 1s));
    CHECK(c.asked == 1);
    CHECK_FALSE(w.look(start + 2s));  // it may block for as long as it likes
    CHECK(c.asked == 1);
    CHECK_FALSE(w.calls.end(c));
}

TEST_CASE("inline_calls: an allowance is counted from the first look") {
    watched w;
    call c(never);
    c.allowance = 10ms;
    w.calls.begin(c);
    CHECK(w.look(start));
    CHECK(w.look(start + 9ms));
    CHECK(c.asked == 0);
    CHECK(w.look(start + 10ms));
    CHECK_FALSE(w.calls.end(c));
    CHECK(c.deadline == start + 10ms);
}

TEST_CASE("inline_calls: what has ended by itself stays, and what stays is asked again") {
    watched w;
    call c(start);
    c.over = true;
    w.calls.begin(c);
    CHECK(w.look(start));
    CHECK(w.look(start));
    CHECK(c.asked == 2);
    CHECK(w.calls.end(c));
}

TEST_CASE("inline_calls: of nested ones each may be ended, whatever becomes of the others") {
    watched w;
    call outer(start + 2s), middle(start), inner(start + 1s);
    w.calls.begin(outer);
    w.calls.begin(middle);
    w.calls.begin(inner);
    CHECK(w.look(start));
    CHECK(w.calls.end(inner));
    CHECK_FALSE(w.calls.end(middle));
    w.calls.begin(inner);
    CHECK(w.look(start + 3s));
    CHECK_FALSE(w.calls.end(inner));
    CHECK_FALSE(w.calls.end(outer));
    CHECK(middle.asked == 1);
    CHECK_FALSE(w.look(start + 4s));
}

TEST_CASE("inline_calls: a call may end between the announcement and the look") {
    watched w;
    call c(start);
    w.calls.begin(c);
    w.calls.announce();
    CHECK(w.calls.end(c));
    CHECK_FALSE(w.calls.look(start));
    CHECK(c.asked == 0);
}
