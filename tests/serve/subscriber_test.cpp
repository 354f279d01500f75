// What happens in between is in tests/race/publish_race.cpp.
#include <posthaste/serve/subscriber.hpp>

#include "../support/conversation.hpp"

#include <memory>
#include <string>

using namespace posthaste;

namespace {

struct note {
    int n;
};
struct parts {
    simulation sim;
    dead_letters dead;
    switchboard board;
    std::atomic<bool> draining = false;
    std::shared_ptr<int> held = std::make_shared<int>(0);

    subscriber* make(const char* pattern) {
        const auto fn = [held = held](const note&) {};
        using handler_type = detail::subscriber_handler<decltype(fn), note>;
        auto* const s = new subscriber(board, pattern, "name",
                                       std::make_unique<detail::plan_of<serial_mode, const note>>(
                                           sim, dead, std::make_unique<handler_type>(fn), serial));
        REQUIRE(board.add(*s, draining, [] {}));
        return s;
    }
    void put(subscriber& s, int n) {
        envelope& e =
            detail::copies<note>::make(*shared_message<note>::make(n), 1)->number(0, s.how());
        CHECK(s.needed()->put(e, false) == endpoint_core::admission::accepted);
    }
};

}  // namespace

TEST_CASE("subscriber: at rest its handler goes with its end, itself with the last who holds it") {
    parts p;
    subscriber* const s = p.make("a.*");
    CHECK(s->pattern() == "a.*");
    CHECK(s->name() == "name");
    CHECK(p.held.use_count() == 2);
    CHECK_FALSE(s->busy());
    CHECK_FALSE(s->retired().is_set());
    CHECK(s->end(false));
    CHECK_FALSE(s->end(false));
    CHECK_FALSE(s->end(true));
    CHECK(s->retired().is_set());
    CHECK(p.held.use_count() == 1);
    CHECK(s->try_hold());  // ours is still there
    s->let_go();
    s->let_go();
    int left = 0;
    p.board.for_each([&](subscriber&) { ++left; });
    CHECK(left == 0);
}

TEST_CASE(
    "subscriber: while it has messages its handler stays, and the lane that ends them destroys "
    "it") {
    parts p;
    subscriber* const s = p.make("a");
    p.put(*s, 1);
    CHECK(s->busy());
    CHECK(s->end(true));
    s->let_go();  // only its lane keeps it
    CHECK(p.held.use_count() == 2);
    CHECK(p.board.busy());
    p.sim.drive_ready();
    CHECK(p.held.use_count() == 1);
    CHECK_FALSE(p.board.busy());
    int accounts = 0;
    p.board.for_each_account(false, [&](const drain_account::subscriber_line& l) {
        ++accounts;
        CHECK(l.messages.handled == 1);
    });
    CHECK(accounts == 1);
}
