// What counts as awaitable, and what co_await would give.
#include "../support/catch.hpp"

#include <posthaste/base/concepts.hpp>

#include <concepts>
#include <coroutine>
#include <memory>
#include <string>
#include <utility>

using namespace posthaste;

namespace {
struct gives_int {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    int await_resume() const noexcept { return 7; }
};
struct with_member {
    gives_int operator co_await() const noexcept { return {}; }
};
struct only_as_rvalue {
    gives_int operator co_await() && noexcept { return {}; }
};
struct with_free {};
[[maybe_unused]] gives_int operator co_await(with_free) { return {}; }
struct gives_reference : gives_int {
    std::string text = "t";
    std::string& await_resume() noexcept { return text; }
};
struct gives_move_only : gives_int {
    std::unique_ptr<int> await_resume() noexcept { return nullptr; }
};
struct no_resume {
    bool await_ready() const noexcept { return true; }
};
struct ready_is_no_bool {
    struct neither {};
    neither await_ready() const noexcept { return {}; }
    void await_resume() const noexcept {}
};
struct co_await_gives_no_awaiter {
    int operator co_await() const noexcept { return 1; }
};
}  // namespace

TEST_CASE("awaitable: awaiters, and what has operator co_await, as member or not") {
    CHECK(awaitable<gives_int>);
    CHECK(awaitable<gives_int&>);
    CHECK(awaitable<with_member>);
    CHECK(awaitable<const with_member&>);
    CHECK(awaitable<with_free>);
    CHECK(awaitable<std::suspend_always>);
    CHECK(awaiter<gives_int>);
    CHECK_FALSE(awaiter<with_member>);
}

TEST_CASE("awaitable: nothing else is") {
    CHECK_FALSE(awaitable<int>);
    CHECK_FALSE(awaitable<std::string>);
    CHECK_FALSE(awaitable<no_resume>);
    CHECK_FALSE(awaitable<ready_is_no_bool>);
    CHECK_FALSE(awaitable<co_await_gives_no_awaiter>);
}

TEST_CASE("awaitable: what may be awaited once is not awaitable as an lvalue") {
    CHECK(awaitable<only_as_rvalue>);
    CHECK_FALSE(awaitable<only_as_rvalue&>);
    CHECK_FALSE(awaitable<const only_as_rvalue>);
}

TEST_CASE("await_result_t: the type that co_await gives") {
    CHECK(std::same_as<await_result_t<gives_int>, int>);
    CHECK(std::same_as<await_result_t<with_member&>, int>);
    CHECK(std::same_as<await_result_t<with_free>, int>);
    CHECK(std::same_as<await_result_t<std::suspend_never>, void>);
    CHECK(std::same_as<await_result_t<gives_reference&>, std::string&>);
    CHECK(std::same_as<await_result_t<gives_move_only>, std::unique_ptr<int>>);
}
