#include <posthaste/serve/shared_message.hpp>

#include "../support/catch.hpp"

#include <memory>
#include <string>
#include <utility>

using namespace posthaste;

namespace {

struct note {
    int n;
    std::shared_ptr<int> held;
};
struct throws {
    explicit throws(int) { throw 1; }
};

}  // namespace

TEST_CASE("shared_message: is built in place, and lasts as long as somebody holds it") {
    const auto held = std::make_shared<int>(0);
    auto* const m = shared_message<note>::make(3, held);
    REQUIRE(m);
    CHECK(m->value().n == 3);
    CHECK(held.use_count() == 2);
    m->hold(2);
    m->let_go();
    m->let_go();
    CHECK(held.use_count() == 2);
    m->let_go();
    CHECK(held.use_count() == 1);
}

TEST_CASE("shared_message: several holds can go at once") {
    const auto held = std::make_shared<int>(0);
    auto* const m = shared_message<note>::make(note{3, held});
    m->hold(4);
    m->let_go(5);
    CHECK(held.use_count() == 1);
}

TEST_CASE("shared_message: one that cannot be built is none") {
    CHECK(shared_message<throws>::make(1) == nullptr);
}

TEST_CASE("shared_message: an envelope refers to it, and lets go of it at its end") {
    const auto held = std::make_shared<int>(0);
    auto* const m = shared_message<note>::make(3, held);
    envelope* const e = detail::make_envelope<detail::sent<const note>>(*m);
    REQUIRE(e);
    CHECK(e->kind->shared);
    CHECK_FALSE(e->kind->called);
    CHECK(e->call() == nullptr);
    CHECK(&e->type() == &detail::type_of<note>);
    CHECK(&e->as<const note>() == &m->value());
    CHECK(held.use_count() == 2);
    e->destroy();
    CHECK(held.use_count() == 1);
    CHECK_FALSE(detail::kind_of<detail::sent<note>>.shared);
}
