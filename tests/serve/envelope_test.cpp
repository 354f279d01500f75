#include <posthaste/serve/envelope.hpp>

#include "../support/catch.hpp"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

using namespace posthaste;

namespace {

struct order {
    using reply = int;
    std::string id;
    int amount = 1;
};
struct note {
    std::shared_ptr<int> p;
};
struct throwing_part {
    throwing_part(int n) {  // NOLINT: implicit, as a member's initializer
        if (n < 0) throw std::invalid_argument("negative");
    }
};
struct fragile {
    throwing_part part;
};

}  // namespace

TEST_CASE("envelope: builds an aggregate from its members, or moves a message in") {
    auto* e = detail::make_envelope<detail::sent<order>>("a", 2);
    REQUIRE(e);
    CHECK(e->as<order>().id == "a");
    CHECK(e->as<order>().amount == 2);
    CHECK(&e->type() == &detail::type_of<order>);
    CHECK(e->call() == nullptr);
    e->destroy();

    order named{"b"};
    e = detail::make_envelope<detail::sent<order>>(named);
    CHECK(named.id == "b");
    CHECK(e->as<order>().id == "b");
    CHECK(e->as<order>().amount == 1);
    e->destroy();
    e = detail::make_envelope<detail::sent<order>>(std::move(named));
    CHECK(e->as<order>().id == "b");
    e->destroy();
}

TEST_CASE("envelope: of a call, is its own request, with room for the answer") {
    auto* e = detail::make_envelope<detail::called<order>>("a", 2);
    REQUIRE(e);
    CHECK(e->call() == e);
    CHECK_FALSE(e->answer);
    e->fail(failure(code::closed));
    REQUIRE(e->answer);
    CHECK(e->answer->error().code() == code::closed);
    e->destroy();

    auto* n = detail::make_envelope<detail::called<note>>();
    n->succeed();
    REQUIRE(n->answer);
    CHECK(n->answer->has_value());
    n->destroy();
}

TEST_CASE("envelope: destroys its message with itself") {
    auto p = std::make_shared<int>(1);
    auto* sent = detail::make_envelope<detail::sent<note>>(p);
    auto* called = detail::make_envelope<detail::called<note>>(p);
    CHECK(p.use_count() == 3);
    sent->destroy();
    called->destroy();
    CHECK(p.use_count() == 1);
}

TEST_CASE("envelope: a message whose construction throws leaves nothing behind") {
    CHECK_THROWS_AS(detail::make_envelope<detail::sent<fragile>>(-1), std::invalid_argument);
    auto* e = detail::make_envelope<detail::sent<fragile>>(1);
    REQUIRE(e);
    e->destroy();
}

TEST_CASE("envelope: a failure is told with place and detail") {
    const failure f = detail::failure_at("shop", code::overloaded, effect::none, "full");
    CHECK(f.message() == "overloaded at shop: full");
    failure g = detail::failure_at("stock", code::closed);
    CHECK(detail::add_to_path(g, "shop").message() == "closed at shop -> stock");
}

TEST_CASE("envelope: with a small message it is one cache line, all included") {
    struct small {
        long a, b;
    };
    CHECK(sizeof(detail::block) + sizeof(detail::sent<small>) <= detail::block_cache::bytes_of(0));
    auto* e = detail::make_envelope<detail::sent<small>>(1L, 2L);
    REQUIRE(e);
    const auto begin = reinterpret_cast<std::uintptr_t>(e) - sizeof(detail::block);
    if (!detail::address_sanitizer) CHECK(begin % detail::cache_line == 0);
    e->destroy();
}
