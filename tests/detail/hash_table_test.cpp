#include <posthaste/detail/hash_table.hpp>

#include "../support/catch.hpp"

#include <cstddef>

namespace {

using posthaste::detail::hash_table;
using posthaste::detail::make_owned;

struct one : posthaste::detail::hashed {
    one(std::size_t hash, int v, int& count) noexcept : hashed(hash), value(v), alive(count) {
        ++alive;
    }
    ~one() { --alive; }
    const int value;
    int& alive;
};

one* find(const hash_table<one>& in, std::size_t hash, int value) {
    return in.find(hash, [&](const one& o) { return o.value == value; });
}

}  // namespace

TEST_CASE("hash_table: finds what it has, however much that is, and where it was put") {
    int alive = 0;
    hash_table<one> table;
    CHECK(table.empty());
    CHECK(find(table, 0, 0) == nullptr);
    one& first = table.insert(make_owned<one>(0u, 0, alive));
    for (int i = 1; i != 1000; ++i)
        table.insert(make_owned<one>(static_cast<std::size_t>(i) * 7, i, alive));
    CHECK(table.size() == 1000);
    CHECK(find(table, 0, 0) == &first);
    bool all = true;
    for (int i = 1; i != 1000; ++i) {
        const one* const o = find(table, static_cast<std::size_t>(i) * 7, i);
        all = all && o && o->value == i;
    }
    CHECK(all);
    CHECK(find(table, 7, 2) == nullptr);  // the hash of another
    int sum = 0;
    table.for_each([&](one& o) { sum += o.value; });
    CHECK(sum == 999 * 1000 / 2);
}

TEST_CASE("hash_table: those of one hash, or of one chain, are not taken for one another") {
    int alive = 0;
    hash_table<one> table;
    for (int i = 0; i != 3; ++i) table.insert(make_owned<one>(5u, i, alive));
    table.insert(make_owned<one>(5u + 8, 3, alive));
    for (int i = 0; i != 3; ++i) {
        REQUIRE(find(table, 5, i) != nullptr);
        CHECK(find(table, 5, i)->value == i);
    }
    CHECK(find(table, 5, 3) == nullptr);
    CHECK(find(table, 13, 3) != nullptr);
    CHECK(find(table, 13, 0) == nullptr);
}

TEST_CASE("hash_table: what is erased goes at once, the others with the table") {
    int alive = 0;
    {
        hash_table<one> table;
        for (int i = 0; i != 20; ++i)
            table.insert(make_owned<one>(static_cast<std::size_t>(i) % 4, i, alive));
        for (int i = 0; i != 20; i += 2)
            table.erase(*find(table, static_cast<std::size_t>(i) % 4, i));
        CHECK(alive == 10);
        CHECK(table.size() == 10);
        for (int i = 0; i != 20; ++i) {
            const bool there = find(table, static_cast<std::size_t>(i) % 4, i) != nullptr;
            CHECK(there == (i % 2 == 1));
        }
    }
    CHECK(alive == 0);
}
