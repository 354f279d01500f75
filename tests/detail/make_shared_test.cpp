#include "../support/catch.hpp"

#include <posthaste/detail/make_shared.hpp>

#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

using namespace posthaste;

TEST_CASE("make_shared: makes it of what it is given, and gives it to who shares it") {
    struct shared : std::enable_shared_from_this<shared> {
        shared(int& n, std::unique_ptr<int> p) : count(n), part(std::move(p)) { ++count; }
        ~shared() { --count; }
        int& count;
        const std::unique_ptr<int> part;
    };
    int count = 0;
    auto first = detail::make_shared<const shared>(count, std::make_unique<int>(5));
    STATIC_REQUIRE(std::is_same_v<decltype(first), std::shared_ptr<const shared>>);
    REQUIRE(*first->part == 5);
    REQUIRE(count == 1);
    const auto second = first->shared_from_this();
    first.reset();
    REQUIRE(count == 1);
    REQUIRE(second.use_count() == 1);
}

TEST_CASE("make_shared: what its constructor throws leaves nothing behind") {
    struct thrown {
        explicit thrown(int n) { throw std::runtime_error(n == 1 ? "one" : "another"); }
    };
    REQUIRE_THROWS_WITH(detail::make_shared<thrown>(1), "one");
}
