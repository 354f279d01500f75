#include "../support/catch.hpp"

#include <posthaste/detail/steady_list.hpp>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

using namespace posthaste;

TEST_CASE("steady_list: what was added stays where it is, while it grows") {
    struct alignas(64) fixed {
        explicit fixed(std::size_t n) noexcept : number(n) {}
        fixed(const fixed&) = delete;
        const std::size_t number;
    };
    detail::steady_list<fixed> all;
    std::vector<const fixed*> where;
    for (std::size_t i = 0; i != 100; ++i) {
        REQUIRE(all.size() == i);
        where.push_back(&all.add(i));
    }
    for (std::size_t i = 0; i != 100; ++i) {
        REQUIRE(&all[i] == where[i]);
        REQUIRE(all[i].number == i);
        REQUIRE(reinterpret_cast<std::uintptr_t>(where[i]) % 64 == 0);
    }
}

TEST_CASE("steady_list: one whose constructor throws was never added, and all go with it") {
    static int alive;
    alive = 0;
    struct counted {
        explicit counted(bool well) {
            if (!well) throw std::runtime_error("not this one");
            ++alive;
        }
        ~counted() { --alive; }
    };
    {
        detail::steady_list<counted> all;
        for (std::size_t i = 0; i != 9; ++i) {
            REQUIRE_THROWS_AS(all.add(false), std::runtime_error);
            REQUIRE(all.size() == i);
            all.add(true);
        }
        REQUIRE(alive == 9);
    }
    REQUIRE(alive == 0);
}
