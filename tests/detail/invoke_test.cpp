#include "../support/catch.hpp"

#include <posthaste/detail/invoke.hpp>

#include <functional>
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

TEST_CASE("invoke: takes a member of what a reference_wrapper refers to, of a base, of a union") {
    struct base {
        int x = 7;
        int half() const noexcept { return x / 2; }
    };
    struct derived : base {};
    union either {
        int one;
        float other;
    };
    derived d;
    const auto half = &base::half;  // an lvalue
    REQUIRE(detail::invoke(half, std::ref(d)) == 3);
    REQUIRE(detail::invoke(half, std::cref(d)) == 3);
    REQUIRE(detail::invoke(half, std::make_unique<derived>()) == 3);
    detail::invoke(&base::x, std::ref(d)) = 9;
    REQUIRE(detail::invoke(&base::x, std::as_const(d)) == 9);
    either e{.one = 5};
    REQUIRE(detail::invoke(&either::one, e) == 5);
}
