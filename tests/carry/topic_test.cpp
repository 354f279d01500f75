#include <posthaste/carry/topic.hpp>

#include "../support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace posthaste;

namespace {

std::vector<std::string> tokens_of(const std::string& text) {
    std::vector<std::string> tokens(1);
    for (const char c : text) {
        if (c == '.') tokens.emplace_back();
        else tokens.back() += c;
    }
    return tokens;
}
// What the words of the documentation say, without a thought of speed.
bool reference(const std::string& pattern, const std::string& topic) {
    const auto wanted = tokens_of(pattern), given = tokens_of(topic);
    for (std::size_t i = 0; i != wanted.size(); ++i) {
        if (wanted[i] == ">") return i < given.size();
        if (i >= given.size() || (wanted[i] != "*" && wanted[i] != given[i])) return false;
    }
    return wanted.size() == given.size();
}

}  // namespace

TEST_CASE("topic: a pattern is a name with wildcards for tokens") {
    for (const char* good : {"a", "a.b", "*", ">", "*.*", "a.*.c", "a.>", "*.>", "\xc3\xa4.1"})
        CHECK(pattern_fault(good).empty());
    CHECK(pattern_fault(std::string(max_name, 'x')).empty());
}

TEST_CASE("topic: why a pattern may not be used") {
    CHECK(pattern_fault("") == "a pattern must not be empty");
    CHECK(pattern_fault(std::string(max_name + 1, 'x')) == "a pattern has at most 255 bytes");
    for (const char* bad : {".", "a.", ".a", "a..b", "*.", ".>", "a..>"})
        CHECK(pattern_fault(bad) == "a pattern has no empty token");
    for (const char* bad : {">.a", "a.>.b", ">.>", ">.*"})
        CHECK(pattern_fault(bad) == "a pattern has > only at its end");
    for (const char* bad : {"a*", "*a", "**", "a.b>", ">>", "a.>b", "a.*b.c"})
        CHECK(pattern_fault(bad) == "a pattern has * and > only as whole tokens");
    for (const char* bad : {"a b", " ", "a.\t", "a\n.b", "\x7f", "a.\x01"})
        CHECK(pattern_fault(bad) == "a pattern has no blanks or control characters");
    CHECK(pattern_fault(std::string_view("a\0b", 3)) ==
          "a pattern has no blanks or control characters");
}

TEST_CASE("topic: * stands for one token, > for one or more at the end") {
    CHECK(topic_matches("a.b", "a.b"));
    CHECK_FALSE(topic_matches("a.b", "a"));
    CHECK_FALSE(topic_matches("a", "a.b"));
    CHECK_FALSE(topic_matches("a.b", "a.c"));
    CHECK_FALSE(topic_matches("a.b", "a.bb"));
    CHECK(topic_matches("a.*.c", "a.b.c"));
    CHECK_FALSE(topic_matches("a.*", "a"));
    CHECK_FALSE(topic_matches("a.*", "a.b.c"));
    CHECK(topic_matches("a.>", "a.b"));
    CHECK(topic_matches("a.>", "a.b.c.d"));
    CHECK_FALSE(topic_matches("a.>", "a"));
    CHECK(topic_matches(">", "a"));
    CHECK(topic_matches("*.>", "a.b"));
    CHECK_FALSE(topic_matches("*.>", "a"));
    static_assert(topic_matches("orders.*", "orders.placed") && pattern_fault("orders.*").empty());
}

TEST_CASE("topic: 10,000 random patterns match what the words say") {
    std::mt19937_64 random(20);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    int matched = 0;
    for (int i = 0; i != 10'000; ++i) {
        std::string pattern, topic;
        for (std::uint64_t t = 0, count = 1 + below(5); t != count; ++t) {
            const auto dice = below(10);
            pattern += t == 0 ? "" : ".";
            pattern += dice < 3 ? "*" : dice == 3 && t + 1 == count ? ">" : dice < 7 ? "a" : "bb";
        }
        for (std::uint64_t t = 0, count = 1 + below(5); t != count; ++t)
            topic += std::string(t == 0 ? "" : ".") + (below(2) ? "a" : "bb");
        REQUIRE(pattern_fault(pattern).empty());
        INFO(pattern << " and " << topic);
        REQUIRE(topic_matches(pattern, topic) == reference(pattern, topic));
        matched += topic_matches(pattern, topic);
    }
    CHECK(matched > 500);
    CHECK(matched < 9'500);
}
