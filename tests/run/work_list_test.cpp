#include "../support/catch.hpp"

#include <posthaste/run/work_list.hpp>

#include <array>
#include <vector>

using namespace posthaste;

namespace {

std::vector<work*> all_of(work_list& list) {
    std::vector<work*> all;
    while (work* w = list.take()) all.push_back(w);
    return all;
}

}  // namespace

TEST_CASE("work_list: gives work in order of arrival") {
    std::array<work, 3> w;
    work_list list;
    CHECK(list.empty());
    CHECK(list.take() == nullptr);
    for (work& each : w) list.put(each);
    CHECK_FALSE(list.empty());
    CHECK(list.take() == &w[0]);
    list.put(w[0]);
    CHECK(all_of(list) == std::vector{&w[1], &w[2], &w[0]});
    CHECK(list.empty());
}

TEST_CASE("work_list: a node may come again as soon as it was taken, whatever it pointed to") {
    std::array<work, 2> w;
    work_list list;
    list.put(w[0]);
    list.put(w[1]);
    CHECK(list.take() == &w[0]);
    CHECK(list.take() == &w[1]);
    list.put(w[0]);
    CHECK(all_of(list) == std::vector{&w[0]});
}

TEST_CASE("work_list: takes in all of another one, after its own") {
    std::array<work, 4> w;
    work_list a, b;
    a.append(b);
    CHECK(a.empty());
    b.put(w[0]);
    b.put(w[1]);
    a.append(b);  // to an empty one
    CHECK(b.empty());
    b.put(w[2]);
    b.put(w[3]);
    a.append(b);
    CHECK(b.empty());
    a.append(b);  // an empty one
    CHECK(all_of(a) == std::vector{&w[0], &w[1], &w[2], &w[3]});
    b.put(w[1]);
    CHECK(all_of(b) == std::vector{&w[1]});
}
