#include <posthaste/serve/message.hpp>

#include "../support/catch.hpp"

#include <memory>
#include <string>
#include <type_traits>

using namespace posthaste;

namespace {

struct profile {
    std::string name;
};
struct get_profile {
    using reply = profile;
    int user_id;
};
struct note {
    std::string text;
};
struct named {
    static constexpr std::string_view name = "shop.named.v2";
    int n;
};
struct parcel {
    std::string name;
};
struct moves_only {
    std::unique_ptr<int> p;
};
struct moving_throws {
    moving_throws(moving_throws&&) noexcept(false) {}
};
template <typename T>
struct boxed_in {
    T value;
};

}  // namespace

TEST_CASE("message: a plain aggregate is one, also if it can only be moved") {
    STATIC_REQUIRE(message<get_profile>);
    STATIC_REQUIRE(message<moves_only>);
    STATIC_REQUIRE(message<int>);
}

TEST_CASE("message: what throws when moved, and what is no plain type, is none") {
    STATIC_REQUIRE_FALSE(message<moving_throws>);
    STATIC_REQUIRE_FALSE(message<const note>);
    STATIC_REQUIRE_FALSE(message<note&>);
    STATIC_REQUIRE_FALSE(message<void>);
}

TEST_CASE("message: its reply is what it names, else void") {
    STATIC_REQUIRE(std::is_same_v<reply_t<get_profile>, profile>);
    STATIC_REQUIRE(std::is_void_v<reply_t<note>>);
    STATIC_REQUIRE(std::is_void_v<reply_t<int>>);
}

TEST_CASE("message: each type has one identity, without RTTI") {
    const void* const one = &detail::type_of<get_profile>;
    const void* const other = &detail::type_of<note>;
    CHECK(one != other);
    CHECK(one == &detail::type_of<get_profile>);
}

TEST_CASE("message: its name is the type's, or the one it gives itself") {
    using Catch::Matchers::ContainsSubstring;
    CHECK_THAT(std::string(detail::type_of<get_profile>.name), ContainsSubstring("get_profile"));
    CHECK(detail::type_of<int>.name == "int");
    CHECK(detail::type_of<named>.name == "shop.named.v2");
    CHECK_THAT(std::string(detail::type_of<boxed_in<int>>.name),
               ContainsSubstring("boxed_in<int>"));
}

TEST_CASE("message: a member that every object has is just that, whatever its name") {
    CHECK_THAT(std::string(detail::type_of<parcel>.name),
               Catch::Matchers::ContainsSubstring("parcel"));
}

TEST_CASE("message: only aggregates with something to destroy are unsafe temporaries") {
    STATIC_REQUIRE(detail::unsafe_temporary<note> == detail::unsafe_temporaries);
    STATIC_REQUIRE_FALSE(detail::unsafe_temporary<get_profile>);
    STATIC_REQUIRE_FALSE(detail::unsafe_temporary<std::string>);
}
