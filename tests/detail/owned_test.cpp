#include <posthaste/detail/owned.hpp>

#include "../support/catch.hpp"

#include <memory>
#include <type_traits>
#include <utility>

namespace {

using posthaste::detail::make_owned;
using posthaste::detail::owned;

struct base {
    explicit base(int& count) noexcept : alive(count) { ++alive; }
    base(const base&) = delete;
    virtual ~base() { --alive; }
    int& alive;
};
struct derived final : base {
    using base::base;
};
struct told {
    void operator()(int* ended) const noexcept { ++*ended; }
};

}  // namespace

TEST_CASE("owned: what it owns goes with it, once") {
    int alive = 0;
    {
        owned<base> a = make_owned<base>(alive);
        owned<base> b = std::move(a);
        CHECK(!a);
        CHECK((b && alive == 1));
        b = make_owned<base>(alive);
        CHECK(alive == 1);
        b.reset();
        CHECK((!b && alive == 0));
        b.reset(new base(alive));
        b = nullptr;
        CHECK(alive == 0);
        b = make_owned<base>(alive);
    }
    CHECK(alive == 0);
}

TEST_CASE("owned: moved to itself it is as it was") {
    int alive = 0;
    owned<base> a = make_owned<base>(alive);
    owned<base>& same = a;
    a = std::move(same);
    CHECK((a && alive == 1));
}

TEST_CASE("owned: of a base, of what was made as something more, also by a std::unique_ptr") {
    int alive = 0;
    owned<base> a = make_owned<derived>(alive);
    a = owned<derived>(new derived(alive));
    CHECK(alive == 1);
    a = std::make_unique<derived>(alive);
    CHECK(alive == 1);
    delete a.release();
    CHECK((!a && alive == 0));
}

TEST_CASE("owned: a deleter of one's own, and arrays") {
    int ended = 0;
    { const owned<int, told> a(&ended); }
    CHECK(ended == 1);
    const owned<int, std::default_delete<int[]>> numbers(new int[3]{1, 2, 3});
    CHECK(numbers[2] == 3);
}

TEST_CASE("owned: no bigger than a pointer, and not copied") {
    STATIC_REQUIRE(sizeof(owned<int>) == sizeof(int*));
    STATIC_REQUIRE(!std::is_copy_constructible_v<owned<int>>);
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<owned<int>>);
}
