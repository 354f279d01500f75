#include "../support/catch.hpp"

#include <posthaste/detail/maybe.hpp>

#include <memory>
#include <stdexcept>
#include <utility>

using namespace posthaste;

namespace {

struct counted {
    counted(int& n, std::unique_ptr<int> p) : alive(n), part(std::move(p)) {
        if (!part) throw std::runtime_error("no part");
        ++alive;
    }
    counted(const counted&) = delete;
    ~counted() { --alive; }
    int& alive;
    const std::unique_ptr<int> part;
};

}  // namespace

TEST_CASE("maybe: is made in its place, once it is asked for, and goes with it or before") {
    int alive = 0;
    {
        detail::maybe<counted> m;
        REQUIRE_FALSE(m);
        REQUIRE(alive == 0);
        for (const int n : {1, 2}) {
            m.emplace(alive, std::make_unique<int>(n));
            REQUIRE(m);
            REQUIRE(alive == 1);
            REQUIRE(*m->part == n);
            REQUIRE(&*m == &*std::as_const(m));
            m.reset();
            REQUIRE_FALSE(m);
            REQUIRE(alive == 0);
        }
        m.reset();
        REQUIRE(alive == 0);
        for (const int n : {3, 4}) {  // instead of the one that is there
            m.emplace(alive, std::make_unique<int>(n));
            REQUIRE(*m->part == n);
            REQUIRE(alive == 1);
        }
    }
    REQUIRE(alive == 0);
}

TEST_CASE("maybe: where its constructor throws it is empty") {
    int alive = 0;
    detail::maybe<counted> m;
    m.emplace(alive, std::make_unique<int>(1));
    REQUIRE_THROWS_AS(m.emplace(alive, nullptr), std::runtime_error);
    REQUIRE_FALSE(m);
    REQUIRE(alive == 0);
}

TEST_CASE("maybe: is empty for the destructor of what was in it") {
    struct last {
        last(detail::maybe<last>& m, int& n) noexcept : in(m), ended(n) {}
        last(const last&) = delete;
        ~last() {
            if (++ended == 1) in.reset();
        }
        detail::maybe<last>& in;
        int& ended;
    };
    int ended = 0;
    detail::maybe<last> m;
    m.emplace(m, ended);
    m.reset();
    REQUIRE(ended == 1);
}
