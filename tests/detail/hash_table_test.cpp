#include "../support/catch.hpp"

#include <posthaste/detail/hash_table.hpp>

#include <cstddef>
#include <map>
#include <random>
#include <set>

using namespace posthaste;

namespace {

struct node {
    node(int k, int& c) noexcept : key(k), count(c) { ++count; }
    ~node() { --count; }
    const int key;
    int& count;
    std::size_t hash = 0;
    node* chained = nullptr;
};

struct table : detail::hash_table<node> {
    using detail::hash_table<node>::find;
    node* find(std::size_t hash, int key) const {
        return find(hash, [&](const node& n) { return n.key == key; });
    }
};

}  // namespace

TEST_CASE("hash_table: holds what a std::map would, and each stays where it is") {
    for (const std::size_t hashes : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 40}) {
        int alive = 0;
        {
            table t;
            std::map<int, node*> expected;
            CHECK(t.empty());
            CHECK(t.find(0, 0) == nullptr);
            std::minstd_rand random(1);
            for (int i = 0; i != 3000; ++i) {
                const int key = static_cast<int>(random() % 300);
                const std::size_t hash = static_cast<std::size_t>(key) * 0x1'0000'0001 % hashes;
                const auto known = expected.find(key);
                REQUIRE(t.find(hash, key) == (known == expected.end() ? nullptr : known->second));
                if (known == expected.end()) {
                    expected[key] = &t.insert(hash, detail::make_owned<node>(key, alive));
                } else if (random() % 2) {
                    t.erase(*known->second);
                    expected.erase(known);
                }
                REQUIRE(t.empty() == expected.empty());
                REQUIRE(t.size() == expected.size());
                REQUIRE(alive == static_cast<int>(expected.size()));
            }
            std::set<int> left;
            t.for_each([&](const node& n) { left.insert(n.key); });
            CHECK(left.size() == expected.size());
            for (const auto& [key, n] : expected) CHECK(left.count(key) == 1);
        }
        CHECK(alive == 0);
    }
}

TEST_CASE("hash_table: those of one hash are told apart by what is asked for") {
    int alive = 0;
    table t;
    node& a = t.insert(5, detail::make_owned<node>(1, alive));
    node& b = t.insert(5, detail::make_owned<node>(2, alive));
    CHECK(t.find(5, 1) == &a);
    CHECK(t.find(5, 2) == &b);
    CHECK(t.find(5, 3) == nullptr);
    CHECK(t.find(6, 1) == nullptr);
    t.erase(a);
    CHECK(t.find(5, 1) == nullptr);
    CHECK(t.find(5, 2) == &b);
}
