#include "../support/catch.hpp"

#include <posthaste/detail/fixed_array.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>

using namespace posthaste;

TEST_CASE("fixed_array: has as many as it was told, each made as T()") {
    const detail::fixed_array<int> none;
    REQUIRE(none.size() == 0);
    REQUIRE(none.begin() == none.end());
    const detail::fixed_array<std::atomic<int>> three(3);
    REQUIRE(three.size() == 3);
    for (std::atomic<int>& n : three) REQUIRE(n.load() == 0);
    three[2].store(7);
    REQUIRE((three.end() - 1)->load() == 7);
}

TEST_CASE("fixed_array: is moved with what is in it, which stays where it is") {
    detail::fixed_array<std::shared_ptr<int>> all(2);
    all[1] = std::make_shared<int>(5);
    const std::weak_ptr<int> watched = all[1];
    const auto* const where = all.begin();

    detail::fixed_array<std::shared_ptr<int>> there(std::move(all));
    REQUIRE(all.size() == 0);
    REQUIRE(there.size() == 2);
    REQUIRE(there.begin() == where);
    REQUIRE(*there[1] == 5);

    detail::fixed_array<std::shared_ptr<int>> instead(7);
    there = std::move(instead);
    REQUIRE(watched.expired());
    REQUIRE(there.size() == 7);
    REQUIRE(instead.size() == 0);
}

TEST_CASE("fixed_array: what throws while it is made leaves nothing behind") {
    static int alive, until_throw;
    struct one {
        one() {
            if (until_throw-- == 0) throw std::runtime_error("no more");
            ++alive;
        }
        ~one() { --alive; }
    };
    until_throw = 3;
    REQUIRE_THROWS_AS(detail::fixed_array<one>(5), std::runtime_error);
    REQUIRE(alive == 0);
}

TEST_CASE("fixed_array: one that has none takes no memory") {
    struct none_left {
        static void* operator new[](std::size_t) { throw std::bad_alloc(); }
        static void operator delete[](void*) noexcept {}
    };
    REQUIRE(detail::fixed_array<none_left>(0).size() == 0);
    REQUIRE_THROWS_AS(detail::fixed_array<none_left>(1), std::bad_alloc);
}
