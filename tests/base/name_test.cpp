#include "../support/catch.hpp"

#include <posthaste/base/name.hpp>

#include <string>
#include <string_view>

using namespace posthaste;
using namespace std::string_view_literals;

TEST_CASE("name: tokens joined by dots are a name") {
    for (const auto good : {"a"sv, "users"sv, "orders.created"sv, "a.b.c.d"sv, "A-1_2$%/:@#"sv,
                            "grüße.日本"sv, "\x80\xff"sv, "-"sv, "$SYS.x"sv}) {
        INFO(good);
        CHECK(name_fault(good).empty());
    }
}

TEST_CASE("name: an empty one, or an empty token, is none") {
    CHECK(name_fault("") == "a name must not be empty");
    CHECK(name_fault(std::string_view()) == "a name must not be empty");
    for (const auto bad : {"."sv, ".."sv, "a."sv, ".a"sv, "a..b"sv, "..a"sv, "a.."sv, "a.b."sv}) {
        INFO(bad);
        CHECK(name_fault(bad) == "a name has no empty token");
    }
}

TEST_CASE("name: blanks and control characters are refused wherever they stand") {
    for (const auto bad : {" "sv, "a b"sv, "a "sv, " a"sv, "a\tb"sv, "a\r"sv, "a\n"sv, "a\0b"sv,
                           "\0"sv, "a\0"sv, "a\x7f"sv, "a\x1f.b"sv, "a 0\r\nPUB b"sv}) {
        INFO(bad.size() << " bytes: " << bad);
        CHECK(name_fault(bad) == "a name has no blanks or control characters");
    }
}

TEST_CASE("name: every byte is either refused or goes through, by its value alone") {
    for (int byte = 0; byte != 256; ++byte) {
        const std::string name = std::string("a") + static_cast<char>(byte) + "b";
        const bool good = byte > 0x20 && byte != 0x7f && byte != '*' && byte != '>';
        INFO("byte " << byte);
        CHECK(name_fault(name).empty() == good);
    }
}

TEST_CASE("name: wildcards are for those who subscribe") {
    for (const auto bad : {"*"sv, ">"sv, "a.*"sv, "a.>"sv, "*.a"sv, "a*"sv, "a>b"sv}) {
        INFO(bad);
        CHECK(name_fault(bad) == "a name has no wildcards");
    }
}

TEST_CASE("name: 255 bytes are allowed, 256 are not") {
    CHECK(name_fault(std::string(255, 'n')).empty());
    CHECK(name_fault(std::string(256, 'n')) == "a name has at most 255 bytes");
    CHECK(name_fault(std::string(10'000'000, 'n')) == "a name has at most 255 bytes");
}

TEST_CASE("name: can be checked while compiling") {
    static_assert(name_fault("orders.created").empty());
    static_assert(!name_fault("orders created").empty());
    CHECK(max_name == 255);
}
