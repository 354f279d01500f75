// Who is counted, by whom, and who is told to be the last one.
#include "../support/catch.hpp"

#include <posthaste/detail/this_thread.hpp>
#include <posthaste/prove/simulation.hpp>
#include <posthaste/run/headcount.hpp>
#include <posthaste/run/run_loop.hpp>
#include <posthaste/run/thread_pool.hpp>

#include <utility>

using namespace posthaste;

namespace {

// Runs `f` as a piece of work of `at` would.
template <typename F>
auto at_work(const executor& at, F f) {
    struct stage {
        explicit stage(const executor& e) noexcept
            : before(std::exchange(detail::this_thread().executor, &e)) {}
        stage(const stage&) = delete;
        ~stage() { detail::this_thread().executor = before; }
        const void* before;
    };
    const stage here_now(at);
    return f();
}

}  // namespace

TEST_CASE("headcount: executors say whether they run one piece of work after the other") {
    CHECK(simulation().one_by_one());
    CHECK(run_loop().one_by_one());
    CHECK(thread_pool(1).one_by_one());
    CHECK_FALSE(thread_pool(2).one_by_one());
}

TEST_CASE("headcount: the last one is told so, be it a task or who waits for them") {
    const simulation one;
    thread_pool several(2);
    for (const executor* const at :
         {static_cast<const executor*>(&one), static_cast<const executor*>(&several)}) {
        CAPTURE(at->one_by_one());
        detail::headcount tasks(*at);
        at_work(*at, [&] {
            CHECK(tasks.of_waiter_alone());
            for (int i = 0; i != 3; ++i) CHECK_FALSE(tasks.come());
            CHECK_FALSE(tasks.of_waiter_alone());
            CHECK_FALSE(tasks.leave());
            CHECK_FALSE(tasks.stand());
            CHECK_FALSE(tasks.leave());
            CHECK(tasks.leave());

            tasks.stand_no_more();
            CHECK(tasks.of_waiter_alone());
            CHECK_FALSE(tasks.come());
            CHECK_FALSE(tasks.leave());
            CHECK(tasks.of_waiter_alone());
            CHECK(tasks.stand());
        });
    }
}

TEST_CASE("headcount: who comes from outside is counted as one of the others once it begins") {
    const simulation at;
    detail::headcount tasks(at);
    for (int i = 0; i != 3; ++i) CHECK(tasks.come());
    at_work(at, [&] {
        tasks.arrive();
        CHECK_FALSE(tasks.leave());  // the two others have yet to arrive
        tasks.arrive();
        CHECK_FALSE(tasks.come());
        tasks.arrive();
        CHECK_FALSE(tasks.stand());
        for (int i = 0; i != 2; ++i) CHECK_FALSE(tasks.leave());
        CHECK(tasks.leave());
    });
}

TEST_CASE("headcount: where several threads work, nobody has to arrive") {
    thread_pool at(2);
    detail::headcount tasks(at);
    CHECK_FALSE(tasks.come());
    CHECK_FALSE(tasks.stand());
    CHECK(at_work(at, [&] { return tasks.leave(); }));
}
