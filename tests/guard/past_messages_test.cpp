#include <posthaste/guard/past_messages.hpp>

#include "../support/catch.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {
time_point at(duration d) { return time_point(1h) + d; }
using past = past_messages<int, std::string>;

void handled(past& p, int key, const char* reply, time_point now) {
    auto turn = p.come(key, now);
    REQUIRE_FALSE(turn.reply);
    REQUIRE_FALSE(turn.first);
    turn.keep(std::string(reply), now);
}
bool is_new(past& p, int key, time_point now) {
    const auto turn = p.come(key, now);
    return !turn.reply && !turn.first;
}
}  // namespace

TEST_CASE("past_messages: remembers what came of a message, for so long") {
    past p(10s, 100);
    handled(p, 1, "one", at(0s));
    handled(p, 2, "two", at(1s));
    CHECK(**p.come(1, at(9999ms)).reply == "one");
    CHECK(is_new(p, 1, at(10s)));
    CHECK(**p.come(2, at(10s)).reply == "two");
    CHECK(is_new(p, 2, at(11s)));
    CHECK(p.size() == 0);
}

TEST_CASE("past_messages: remembers so many, the latest") {
    past p(forever, 3);
    for (int i = 0; i != 1000; ++i) {
        handled(p, i, "it", at(0s));
        CHECK(p.size() <= 3);
    }
    for (int i = 997; i != 1000; ++i) CHECK(p.come(i, at(1h)).reply);
    CHECK(is_new(p, 996, at(1h)));
}

TEST_CASE(
    "past_messages: a message that is being handled is waited for, and forgotten if it fails") {
    past p(10s, 1);
    std::shared_ptr<event> over;
    {
        const auto first = p.come(1, at(0s));
        const auto second = p.come(1, at(1h));  // however long it takes
        REQUIRE(second.first);
        CHECK(p.come(1, at(1h)).first == second.first);
        over = second.first;
        CHECK_FALSE(over->is_set());
    }
    CHECK(over->is_set());
    auto again = p.come(1, at(1h));
    CHECK_FALSE(again.first);
    over = p.come(1, at(1h)).first;
    again.keep(std::string("well"), at(1h));
    CHECK(over->is_set());
    CHECK(**p.come(1, at(1h)).reply == "well");
}
