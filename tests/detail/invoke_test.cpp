#include "../support/catch.hpp"

#include <posthaste/detail/invoke.hpp>

#include <memory>
#include <type_traits>
#include <utility>

using namespace posthaste;

TEST_CASE("invoke: calls a function, a lambda, what takes only an rvalue") {
    struct once {
        int operator()(std::unique_ptr<int> p) && { return *p; }
    };
    REQUIRE(detail::invoke([] { return 1; }) == 1);
    REQUIRE(detail::invoke(+[](int n) { return n + 1; }, 1) == 2);
    REQUIRE(detail::invoke(once(), std::make_unique<int>(3)) == 3);
    int n = 4;
    STATIC_REQUIRE(
        std::is_same_v<decltype(detail::invoke([](int& i) -> int& { return i; }, n)), int&>);
}

TEST_CASE("invoke: takes a member of its argument, or of what that points to") {
    struct point {
        int x;
        int twice() const { return 2 * x; }
        int moved() && { return 3 * x; }
    };
    point p{5};
    const point& fixed = p;
    REQUIRE(detail::invoke(&point::x, p) == 5);
    REQUIRE(detail::invoke(&point::twice, fixed) == 10);
    REQUIRE(detail::invoke(&point::moved, std::move(p)) == 15);
    REQUIRE(detail::invoke(&point::x, &p) == 5);
    REQUIRE(detail::invoke(&point::twice, std::make_unique<point>(p)) == 10);
    STATIC_REQUIRE(std::is_same_v<decltype(detail::invoke(&point::x, p)), int&>);
    STATIC_REQUIRE(std::is_same_v<decltype(detail::invoke(&point::x, fixed)), const int&>);
    STATIC_REQUIRE(std::is_same_v<decltype(detail::invoke(&point::x, std::move(p))), int&&>);
}
