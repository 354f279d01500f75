#include "../support/catch.hpp"
#include "../support/frames.hpp"

#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/as_task.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/wait/event.hpp>
#include <posthaste/wait/sleep.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct box_awaiter {
    explicit box_awaiter(std::unique_ptr<int> b) noexcept : box(std::move(b)) {}
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    std::unique_ptr<int> await_resume() noexcept { return std::move(box); }
    std::unique_ptr<int> box;
};

struct thrower {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    int await_resume() const { throw std::runtime_error("from the awaiter"); }
};

template <typename A>
using task_of = detail::task_for<A>;

}  // namespace

TEST_CASE("as_task: is a task of what the awaitable gives") {
    STATIC_REQUIRE(std::is_same_v<task_of<box_awaiter>, task<std::unique_ptr<int>>>);
    STATIC_REQUIRE(std::is_same_v<task_of<thrower>, task<int>>);
    STATIC_REQUIRE(
        std::is_same_v<task_of<decltype(std::declval<event&>().wait())>, task<result<void>>>);
    STATIC_REQUIRE(std::is_same_v<task_of<decltype(sleep_for(1s))>, task<result<void>>>);
}

TEST_CASE("as_task: keeps the awaitable, and passes on what it gives or throws") {
    testing::no_frames_left frames;
    simulation world;
    box_awaiter box(std::make_unique<int>(7));
    task<std::unique_ptr<int>> t = detail::as_task(std::move(box));
    CHECK(*sync_wait(world, std::move(t)) == 7);
    CHECK_THROWS_WITH(sync_wait(world, detail::as_task(thrower())), "from the awaiter");
}

TEST_CASE("as_task: a wait begins when the task is awaited") {
    testing::no_frames_left frames;
    simulation world;
    auto nap = detail::as_task(sleep_for(30ms));
    world.advance(1s);
    const auto body = [&]() -> task<bool> {
        const result<void> slept = co_await std::move(nap);
        co_return slept.has_value();
    };
    CHECK(sync_wait(world, body()));
    CHECK(world.elapsed() == 1s + 30ms);
}

TEST_CASE("as_task: a task is passed on as it is, without another frame") {
    testing::no_frames_left frames;
    STATIC_REQUIRE(std::is_same_v<task_of<task<int&>>, task<int&>>);
    const auto body = []() -> task<int> { co_return 3; };
    task<int> t = body();
    const auto* promise = &t.promise();
    const long before = detail::live_frames.load(std::memory_order_relaxed);
    task<int> u = detail::as_task(std::move(t));
    CHECK(&u.promise() == promise);
    CHECK(detail::live_frames.load(std::memory_order_relaxed) == before);
}

TEST_CASE("as_task: nothing stands for void where a value is needed") {
    testing::no_frames_left frames;
    STATIC_REQUIRE(std::is_same_v<detail::value_or_nothing<void>, detail::nothing>);
    STATIC_REQUIRE(std::is_same_v<detail::value_or_nothing<int>, int>);
    CHECK(detail::nothing() == detail::nothing());

    simulation world;
    const auto quiet = []() -> task<> { co_return; };
    const auto loud = []() -> task<> {
        throw std::runtime_error("void");
        co_return;
    };
    // Awaited by hand, so that the outcome can be taken here.
    const auto ended = [&](task<>& t) {
        const context under(world, never, {});
        t.promise().place(world, &under);
        return t.promise().start(t.promise().self, nullptr, nullptr);
    };
    task<> a = quiet(), b = loud();
    REQUIRE(ended(a));
    REQUIRE(ended(b));
    CHECK(detail::take_value(a) == detail::nothing());
    CHECK_THROWS_WITH(detail::take_value(b), "void");
}
