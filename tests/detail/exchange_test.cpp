#include "../support/catch.hpp"

#include <posthaste/detail/exchange.hpp>

#include <memory>
#include <string>

using namespace posthaste;

TEST_CASE("exchange: gives what was there, and leaves what it is told") {
    std::string place = "before";
    REQUIRE(detail::exchange(place, "after") == "before");
    REQUIRE(place == "after");
    REQUIRE(detail::exchange(place, {}) == "after");
    REQUIRE(place.empty());
}

TEST_CASE("exchange: what comes may be had from what was there") {
    struct node {
        node* next;
    };
    node last{nullptr}, first{&last};
    node* list = &first;
    REQUIRE(detail::exchange(list, list->next) == &first);
    REQUIRE(list == &last);
}

TEST_CASE("exchange: what can only be moved is moved") {
    auto place = std::make_unique<int>(1);
    const auto before = detail::exchange(place, std::make_unique<int>(2));
    REQUIRE(*before == 1);
    REQUIRE(*place == 2);
    REQUIRE(detail::exchange(place, nullptr) != nullptr);
    REQUIRE(!place);
}

TEST_CASE("exchange: is done while compiling, too") {
    constexpr int both = [] {
        int place = 1;
        return 10 * detail::exchange(place, 2) + place;
    }();
    STATIC_REQUIRE(both == 12);
}
