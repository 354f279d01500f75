#include "../support/catch.hpp"

#include <posthaste/detail/shared_list.hpp>

#include <memory>
#include <utility>
#include <vector>

using namespace posthaste;

namespace {

struct item {
    explicit item(int n) noexcept : number(n) { ++alive; }
    item(const item&) = delete;
    ~item() { --alive; }
    const int number;
    std::shared_ptr<item> next_;
    static inline int alive = 0;
};
using list = detail::shared_list<item>;

void add(list& l, int from, int end) {
    for (int n = from; n != end; ++n) l.add(std::make_shared<item>(n));
}
std::shared_ptr<item> take(list& l, int n) {
    return l.take([&](const item& i) { return i.number == n; });
}
std::vector<int> numbers(const list& l) {
    std::vector<int> all;
    l.for_each([&](const std::shared_ptr<item>& i) { all.push_back(i->number); });
    REQUIRE(l.size() == all.size());
    return all;
}

}  // namespace

TEST_CASE("shared_list: keeps the order, and gives back any") {
    list l;
    REQUIRE(numbers(l).empty());
    add(l, 1, 5);
    REQUIRE(numbers(l) == std::vector{1, 2, 3, 4});
    REQUIRE(take(l, 7) == nullptr);
    REQUIRE(l.get([](const item& i) { return i.number > 1; })->number == 2);
    for (const int n : {1, 4, 3}) {  // the first, the last, one behind another
        const auto taken = take(l, n);
        REQUIRE(taken->number == n);
        REQUIRE(taken->next_ == nullptr);
        REQUIRE(taken.use_count() == 1);
    }
    REQUIRE(numbers(l) == std::vector{2});
    add(l, 5, 7);
    REQUIRE(numbers(l) == std::vector{2, 5, 6});
    for (const int n : {2, 5, 6}) REQUIRE(take(l, n));
    add(l, 8, 9);
    REQUIRE(numbers(l) == std::vector{8});
}

TEST_CASE("shared_list: all of one comes after all of another") {
    list l, other;
    l.append(other);
    REQUIRE(numbers(l).empty());
    add(other, 1, 3);
    l.append(other);
    REQUIRE(numbers(other).empty());
    add(other, 3, 5);
    l.append(other);
    add(l, 5, 6);
    REQUIRE(numbers(l) == std::vector{1, 2, 3, 4, 5});
    add(other, 6, 7);
    REQUIRE(numbers(other) == std::vector{6});
}

TEST_CASE("shared_list: goes one by one, however long it is, and leaves what others hold") {
    const int before = item::alive;
    std::shared_ptr<item> held;
    {
        list l;
        add(l, 0, 1'000'000);
        held = l.get([](const item& i) { return i.number == 5; });
    }
    REQUIRE(item::alive == before + 1);
    REQUIRE(held->next_ == nullptr);
}
