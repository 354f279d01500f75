#include <posthaste/serve/mode.hpp>

#include "../support/catch.hpp"

#include <string>
#include <type_traits>

using namespace posthaste;

namespace {
struct order {
    std::string customer;
};
}  // namespace

TEST_CASE("mode: every queue is bounded unless said otherwise") {
    STATIC_REQUIRE(serial.capacity() == default_capacity);
    STATIC_REQUIRE(parallel(4).capacity() == default_capacity);
    STATIC_REQUIRE(keyed(&order::customer).capacity() == default_capacity);
    STATIC_REQUIRE(serial.full() == when_full::reject);
}

TEST_CASE("mode: options make a changed copy and leave the rest") {
    constexpr auto changed = serial.capacity(7).full(when_full::wait);
    STATIC_REQUIRE(changed.capacity() == 7);
    STATIC_REQUIRE(changed.full() == when_full::wait);
    STATIC_REQUIRE(serial.capacity() == default_capacity);
    STATIC_REQUIRE(parallel(3).capacity(5).count() == 3);
    CHECK(keyed(&order::customer).capacity(2).key_of() == &order::customer);
}

TEST_CASE("mode: a capacity of 0, or more than unbounded, is a fault") {
    CHECK(serial.capacity(1).fault().empty());
    CHECK(serial.capacity(unbounded).fault().empty());
    CHECK(serial.capacity(0).fault() == "capacity must be 1 or more");
    CHECK(serial.capacity(unbounded + 1).fault() == "capacity must be at most `unbounded`");
}

TEST_CASE("mode: parallel takes 1 to 65536") {
    CHECK(parallel(1).fault().empty());
    CHECK(parallel(65536).fault().empty());
    CHECK(parallel(0).fault() == "parallel(n): n must be 1 to 65536");
    CHECK(parallel(65537).fault() == "parallel(n): n must be 1 to 65536");
}

TEST_CASE("mode: at_least_once keeps what the mode says, in any order") {
    constexpr auto a = serial.capacity(7).full(when_full::wait).at_least_once({.attempts = 3});
    constexpr auto b = serial.at_least_once({.attempts = 3}).full(when_full::wait).capacity(7);
    STATIC_REQUIRE(std::is_same_v<decltype(a), decltype(b)>);
    for (const auto& mode : {a, b}) {
        CHECK(mode.capacity() == 7);
        CHECK(mode.full() == when_full::wait);
        CHECK(mode.how().attempts == 3);
        CHECK(mode.fault().empty());
    }
    STATIC_REQUIRE(parallel(3).at_least_once().mode().count() == 3);
    CHECK(keyed(&order::customer).at_least_once().mode().key_of() == &order::customer);
}

TEST_CASE("mode: each takes each policy for a full queue") {
    for (const when_full policy :
         {when_full::reject, when_full::drop_oldest, when_full::drop_newest, when_full::wait}) {
        CHECK(serial.full(policy).fault().empty());
        CHECK(parallel(2).full(policy).fault().empty());
        CHECK(keyed(&order::customer).full(policy).fault().empty());
    }
}
