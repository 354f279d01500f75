// That slabs are given back is seen by AddressSanitizer, and counted by race/recycler_race.cpp.
#include "../support/catch.hpp"

#include <posthaste/detail/slab.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

using namespace posthaste::detail;

namespace {
constexpr std::size_t bytes = 192, in_smallest = (slabs::smallest - line_pair) / bytes;

std::vector<block*> carve_many(slabs& from, std::size_t count) {
    std::vector<block*> all(count);
    for (block*& b : all) b = from.carve(nullptr, 2, bytes);
    return all;
}
/// All that can be revived at once.
std::vector<block*> revived(slabs& from) {
    std::vector<block*> all;
    std::size_t count = 0;
    for (block* b = from.revive(count); b; b = links(b).next) all.push_back(b);
    CHECK(all.size() == count);
    return all;
}
std::set<block*> as_set(const std::vector<block*>& v) { return {v.begin(), v.end()}; }
}  // namespace

TEST_CASE("slabs: blocks are whole lines, and nobody else's") {
    slabs some;
    const auto all = carve_many(some, 2000);  // slabs of all sizes
    std::size_t wrong = 0;
    unsigned char mark = 0;
    for (block* b : all) {
        wrong += reinterpret_cast<std::uintptr_t>(b) % cache_line != 0;
        wrong += b->owner != nullptr || b->size_class != 2 || b->bytes != bytes || b->place == 0;
        std::memset(b + 1, mark++, bytes - sizeof(block));
    }
    mark = 0;
    for (block* b : all) {
        const auto* const memory = reinterpret_cast<const unsigned char*>(b + 1);
        constexpr std::ptrdiff_t size = bytes - sizeof(block);
        wrong += std::count(memory, memory + size, mark++) != size;
    }
    CHECK(wrong == 0);
    for (block* b : all) some.drop(b);
    CHECK(revived(some).empty());
}

TEST_CASE("slabs: a block of one line has a pair of lines for itself, or is told otherwise") {
    slabs some;
    std::vector<block*> all(1000);
    for (block*& b : all) b = some.carve(nullptr, 0, cache_line);
    std::set<std::uintptr_t> pairs;
    for (block* b : all) pairs.insert(reinterpret_cast<std::uintptr_t>(b) / line_pair);
    CHECK(pairs.size() == all.size());
    for (block* b : all) some.drop(b);
    CHECK(revived(some).empty());

    for (block*& b : all) b = some.carve(nullptr, 0, cache_line, cache_line);
    pairs.clear();
    for (block* b : all) pairs.insert(reinterpret_cast<std::uintptr_t>(b) / line_pair);
    CHECK(pairs.size() < 520);
    for (block* b : all) some.drop(b);
    CHECK(revived(some).empty());
}

TEST_CASE("slabs: what was dropped is revived, slab by slab, as long as some of it are in use") {
    slabs some;
    const auto first = carve_many(some, in_smallest), second = carve_many(some, 10);
    for (std::size_t i = 1; i != first.size(); ++i) some.drop(first[i]);
    for (std::size_t i = 1; i != second.size(); ++i) some.drop(second[i]);
    CHECK(as_set(revived(some)) == std::set<block*>(second.begin() + 1, second.end()));
    CHECK(as_set(revived(some)) == std::set<block*>(first.begin() + 1, first.end()));
    CHECK(revived(some).empty());
    for (block* b : first) some.drop(b);
    for (block* b : second) some.drop(b);
    CHECK(revived(some).empty());
}

TEST_CASE("slabs: one whose blocks have all been dropped is gone, in whatever order they were") {
    slabs some;
    std::vector<std::vector<block*>> all;  // by slab
    all.push_back(carve_many(some, in_smallest));
    all.push_back(carve_many(some, (2 * slabs::smallest - line_pair) / bytes));
    all.push_back(carve_many(some, 5));
    for (auto& slab : all) some.drop(slab.back()), slab.pop_back();  // all are listed
    for (const std::size_t i : {std::size_t{1}, std::size_t{2}, std::size_t{0}}) {
        for (block* b : all[i]) some.drop(b);
        std::reverse(all[i].begin(), all[i].end());
    }
    CHECK(revived(some).empty());
    const auto anew = carve_many(some, 100);
    CHECK(as_set(anew).size() == 100);
    for (block* b : anew) some.drop(b);
}

TEST_CASE("slabs: blocks that come back after the end give back their slab") {
    std::vector<block*> late;
    {
        slabs some;
        late = carve_many(some, 50);
        for (int i = 0; i != 10; ++i, late.pop_back()) some.drop(late.back());
    }
    for (block* b : late) slabs::drop_orphan(b);
}
