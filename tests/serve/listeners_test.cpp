#include <posthaste/serve/listeners.hpp>

#include "../support/conversation.hpp"

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

using namespace posthaste;

namespace {

struct note {
    int n;
};

}  // namespace

TEST_CASE("listeners: hold the subscribers, until the last who knows them lets go") {
    simulation sim;
    dead_letters dead;
    switchboard board;
    const std::atomic<bool> draining = false;
    std::vector<subscriber*> all;
    for (int i = 0; i != 3; ++i) {
        const auto fn = [](const note&) {};
        using handler_type = detail::subscriber_handler<decltype(fn), note>;
        all.push_back(new subscriber(board, "t", "",
                                     std::make_unique<detail::plan_of<serial_mode, const note>>(
                                         sim, dead, std::make_unique<handler_type>(fn), serial)));
        REQUIRE(board.add(*all.back(), draining, [] {}));
    }
    auto known = listeners::make(3, 17);
    REQUIRE(known);
    CHECK(known->version() == 17);
    CHECK(known->size() == 0);
    for (subscriber* s : all) CHECK(known->add(*s));
    CHECK(known->size() == 3);
    std::size_t i = 0;
    for (const listeners::one& l : *known) {
        CHECK(l.who == all[i]);
        CHECK(l.to == all[i]->endpoint().made());
        CHECK(l.how == &all[i++]->how());
    }
    for (subscriber* s : all) {
        s->end(false);
        s->let_go();
    }
    const auto count = [&] {
        int n = 0;
        board.for_each([&](subscriber&) { ++n; });
        return n;
    };
    CHECK(count() == 3);
    listeners::reference copy = known;
    known = listeners::reference();
    CHECK_FALSE(known);
    CHECK(count() == 3);
    listeners* list = nullptr;
    copy.move_to(list);
    CHECK_FALSE(copy);
    copy.move_to(list);  // nothing to move
    CHECK(count() == 3);
    listeners::reference::release_all(list);
    CHECK(count() == 0);
}
