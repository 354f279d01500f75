#include <posthaste/serve/shared_message.hpp>

#include "../support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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
    const handler_entry how{&detail::type_of<note>, nullptr, false};
    auto* const one = detail::copies<note>::make(*m, 1);
    REQUIRE(one);
    envelope* const e = &one->number(0, how);
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

TEST_CASE("shared_message: copies in a block are envelopes, of which the last frees all") {
    const auto held = std::make_shared<int>(0);
    auto* const m = shared_message<note>::make(3, held);
    using block = detail::copies<note>;
    static_assert(block::most > 1 && block::most < 256);
    static_assert((block::largest + sizeof(detail::block)) / detail::cache_line % 2 == 1);
    block* const all = block::make(*m, block::most);
    REQUIRE(all);
    const handler_entry how{&detail::type_of<note>, nullptr, false};
    std::vector<envelope*> each;
    for (std::uint32_t i = 0; i != block::most; ++i) each.push_back(&all->number(i, how));
    std::swap(each.front(), each.back());
    std::swap(each[1], each[block::most / 2]);
    for (envelope* const e : each) {
        CHECK(held.use_count() == 2);
        CHECK(e->kind->shared);
        CHECK(&e->type() == &detail::type_of<note>);
        CHECK(&e->as<const note>() == &m->value());
        CHECK(e->how == &how);
        if (e == each[2]) REQUIRE(e->track(time_point()));  // its own memory goes with it
        e->destroy();
    }
    CHECK(held.use_count() == 1);
}

TEST_CASE("shared_message: copies may be in the same memory as the message, behind it") {
    const auto held = std::make_shared<int>(0);
    using block = detail::copies<note>;
    const std::uint32_t n = 5;
    const std::size_t room = block::room_for(n);
    REQUIRE(room >= n * sizeof(envelope));
    auto* const m = shared_message<note>::make_with_room(room, 3, held);
    REQUIRE(m);
    block* const all = block::make_behind(*m, n, 1);
    CHECK(static_cast<void*>(all) == m->behind());
    CHECK(reinterpret_cast<std::byte*>(all) - reinterpret_cast<std::byte*>(m) >=
          static_cast<std::ptrdiff_t>(sizeof(*m)));
    const handler_entry how{&detail::type_of<note>, nullptr, false};
    std::vector<envelope*> each;
    for (std::uint32_t i = 0; i != n; ++i) each.push_back(&all->number(i, how));
    std::swap(each.front(), each[2]);
    m->hold();
    for (envelope* const e : each) {
        CHECK(&e->as<const note>() == &m->value());
        e->destroy();
    }
    CHECK(m->value().n == 3);  // it lasts longer than they do, if somebody holds it
    CHECK(held.use_count() == 2);
    m->let_go();
    CHECK(held.use_count() == 1);
}

TEST_CASE("shared_message: many copies, or such of a big message, are not behind it") {
    struct big {
        char text[900];
    };
    CHECK(detail::copies<note>::room_for(1) != 0);
    CHECK(detail::copies<note>::room_for(detail::copies<note>::most) == 0);
    CHECK(detail::copies<big>::room_for(1) != 0);
    CHECK(detail::copies<big>::room_for(3) == 0);
    CHECK(detail::copies<note>::room_for(100) == 0);
}
