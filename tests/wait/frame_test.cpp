#include "../support/catch.hpp"
#include "../support/frames.hpp"
#include "../support/started.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/run/yield.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/frame.hpp>
#include <posthaste/wait/semaphore.hpp>
#include <posthaste/wait/sleep.hpp>

#include <concepts>
#include <coroutine>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace posthaste;

namespace {
/// Writes down what a frame asks of its home.
class recording_home final : public home {
public:
    std::vector<std::string> asked;
    void post(work& w) noexcept override {
        asked.push_back("post");
        posted = &w;
    }
    void arm(timer&, time_point) noexcept override {}
    void disarm(timer&) noexcept override {}
    time_point now() const noexcept override { return {}; }
    void park(frame& f, const char* on, std::string_view name) noexcept override {
        f.noted = true;
        asked.push_back("park " + std::string(on) + " " + std::string(name));
    }
    void unpark(frame&) noexcept override { asked.push_back("unpark"); }
    work* posted = nullptr;
};

struct plain_coroutine {
    struct promise_type {
        plain_coroutine get_return_object() noexcept {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept {}
    };
    std::coroutine_handle<promise_type> handle;
};
plain_coroutine mark(bool& ran) {
    ran = true;
    co_return;
}
}  // namespace

TEST_CASE("frame: wakes through its home's queue, and runs when the home runs it") {
    recording_home here;
    bool ran = false;
    const auto coroutine = mark(ran).handle;
    {
        frame f(coroutine);
        f.at = &here;
        f.wake();
        REQUIRE(here.posted == &f);
        CHECK_FALSE(ran);
        here.posted->run(*here.posted);
        CHECK(ran);
        CHECK(coroutine.done());
    }
    CHECK(here.asked == std::vector<std::string>{"post"});
    coroutine.destroy();
}

TEST_CASE("frame: tells its home what it stands still for, and when it goes") {
    recording_home here;
    {
        frame f(std::noop_coroutine());
        f.at = &here;
        f.park("a reply from", "users");
        f.park("an event");
    }
    CHECK(here.asked ==
          std::vector<std::string>{"park a reply from users", "park an event ", "unpark"});
}

TEST_CASE("frame: one that was never noted does not ask a home, which may be gone") {
    {
        frame f(std::noop_coroutine());
        CHECK_FALSE(f.noted);
    }
    recording_home here;
    {
        frame f(std::noop_coroutine());
        f.at = &here;
    }
    CHECK(here.asked.empty());
}

TEST_CASE("frame: hears of the stop of its context, if it has one") {
    recording_home here;
    stop_source stop;
    const context ctx(here, never, stop.token());
    frame f(std::noop_coroutine());
    CHECK_FALSE(f.stop().stop_possible());
    f.under = &ctx;
    CHECK(f.stop() == stop.token());
    stop.request_stop();
    CHECK(f.stop().stop_requested());
}

TEST_CASE("frame: homed are the promises of tasks, home-keeping the library's awaiters") {
    CHECK(homed<task<>::promise_type>);
    CHECK(homed<task<int&>::promise_type>);
    CHECK_FALSE(homed<plain_coroutine::promise_type>);
    CHECK(home_keeping<decltype(std::declval<event&>().wait())>);
    CHECK(home_keeping<decltype(std::declval<semaphore&>().acquire())>);
    CHECK(home_keeping<decltype(sleep_for(duration()))>);
    CHECK(home_keeping<decltype(yield())>);
    CHECK(home_keeping<decltype(std::declval<task<>>().operator co_await())>);
    CHECK_FALSE(home_keeping<std::suspend_always>);
}

TEST_CASE("frame: a coroutine that was destroyed is in no simulation's report") {
    testing::no_frames_left frames;
    simulation world;
    event never_set;
    const auto inner = [&]() -> task<> { static_cast<void>(co_await never_set.wait()); };
    const auto outer = [&]() -> task<> { co_await inner(); };
    testing::started parked(world, outer());
    world.drive_ready();
    CHECK_THAT(world.report(), Catch::Matchers::ContainsSubstring("parked: 1"));
    parked.destroy();
    CHECK_THAT(world.report(), Catch::Matchers::ContainsSubstring("parked: 0"));
}
