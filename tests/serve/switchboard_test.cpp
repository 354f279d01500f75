#include <posthaste/serve/switchboard.hpp>

#include "../support/conversation.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

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

    std::unique_ptr<subscriber> make(const std::string& pattern, const std::string& name = "name") {
        const auto fn = [](const note&) {};
        using handler_type = detail::subscriber_handler<decltype(fn), note>;
        return std::make_unique<subscriber>(
            board, pattern, name,
            std::make_unique<detail::plan_of<serial_mode, const note>>(
                sim, dead, std::make_unique<handler_type>(fn), serial));
    }
    subscriber& add(const std::string& pattern, const std::string& name = "name") {
        auto s = make(pattern, name);
        REQUIRE(board.add(*s, draining, [] {}));
        return *s.release();
    }
    static void end(subscriber& s) {
        s.end(false);
        s.let_go();
    }
    void send(subscriber& s) {
        envelope& e =
            detail::copies<note>::make(*shared_message<note>::make(1), 1)->number(0, s.how());
        CHECK(s.needed()->put(e, false) == endpoint_core::admission::accepted);
        sim.drive_ready();
    }
    std::size_t listed() {
        std::size_t n = 0;
        board.for_each([&](subscriber&) { ++n; });
        return n;
    }
};

std::vector<drain_account::subscriber_line> accounts_of(switchboard& s) {
    std::vector<drain_account::subscriber_line> all;
    s.for_each_account(false, [&](auto& line) { all.push_back(std::move(line)); });
    return all;
}

}  // namespace

TEST_CASE("switchboard: a topic's listeners are found once for each version") {
    parts p;
    topic_line line;
    line.type = &detail::type_of<note>;
    line.topic = "a.b";
    p.board.join(line);
    const listeners* const none = &*p.board.hear(line);
    CHECK(none->size() == 0);
    subscriber& first = p.add("a.*");
    const auto one = p.board.hear(line);
    CHECK(one->size() == 1);
    CHECK(&*p.board.hear(line) == &*one);
    subscriber& second = p.add("a.b");
    subscriber& elsewhere = p.add("c");
    CHECK(p.board.hear(line)->size() == 2);
    CHECK(p.board.look_up(detail::type_of<note>, "c")->size() == 1);
    CHECK(p.board.look_up(detail::type_of<int>, "c")->size() == 0);
    CHECK(p.board.recall(detail::type_of<note>, "c")->size() == 1);
    CHECK_FALSE(p.board.recall(detail::type_of<note>, "d"));
    parts::end(first);
    CHECK_FALSE(p.board.recall(detail::type_of<note>, "c"));  // of an old version
    CHECK(p.board.hear(line)->size() == 1);
    parts::end(second), parts::end(elsewhere);
    p.board.leave(line);
}

TEST_CASE("switchboard: who has gone is freed, though no one publishes to what he listened to") {
    parts p;
    topic_line line;
    line.type = &detail::type_of<note>;
    line.topic = "a";
    p.board.join(line);
    for (int i = 0; i != 5000; ++i) {
        subscriber& s = p.add("a");
        CHECK(p.board.look_up(detail::type_of<note>, "a")->size() == 1);  // now the table holds it
        if (i % 100 == 0) CHECK(p.board.hear(line)->size() == 1);  // and the line
        parts::end(s);
        REQUIRE(p.listed() <= 300);
    }
    p.board.leave(line);
}

TEST_CASE("switchboard: one that drains takes nobody more") {
    parts p;
    p.draining = true;
    const auto s = p.make("a");
    bool called = false;
    CHECK_FALSE(p.board.add(*s, p.draining, [&] { called = true; }));
    CHECK_FALSE(called);
    CHECK(p.listed() == 0);
}

TEST_CASE("switchboard: a walk meets everyone who stays, while others come and go") {
    parts p;
    std::vector<subscriber*> all;
    for (int i = 0; i != 10; ++i) all.push_back(&p.add("t"));
    std::set<subscriber*> met;
    subscriber* came = nullptr;
    p.board.for_each([&](subscriber& s) {
        met.insert(&s);
        if (met.size() == 2) {
            parts::end(s);  // where the walk stands
            *std::find(all.begin(), all.end(), &s) = nullptr;
            for (subscriber*& other : all) {
                if (!other || met.contains(other)) continue;
                parts::end(*std::exchange(other, nullptr));  // and one it has not come to
                break;
            }
            came = &p.add("t");
        }
        if (met.size() == 3) CHECK(p.listed() == 9);  // another walk, within
    });
    for (subscriber* s : all) {
        if (!s) continue;
        CHECK(met.contains(s));
        parts::end(*s);
    }
    parts::end(*came);
    CHECK(p.listed() == 0);
}

TEST_CASE("switchboard: the accounts of those who have gone are kept, within bounds") {
    parts p;
    for (int i = 0; i != 3; ++i) {
        subscriber& s = p.add("a", "one");
        p.send(s);
        parts::end(s);
    }
    subscriber& idle = p.add("b", "never heard anything");
    parts::end(idle);
    auto all = accounts_of(p.board);
    REQUIRE(all.size() == 1);
    CHECK(all.front().name == "one");
    CHECK(all.front().pattern == "a");
    CHECK(all.front().messages.handled == 3);
    const std::uint64_t begun = p.board.begun();
    CHECK(begun == 3);
    for (std::size_t i = 0; i != 2 * switchboard::max_past; ++i) {
        subscriber& s = p.add("b", std::to_string(i));
        p.send(s);
        parts::end(s);
    }
    all = accounts_of(p.board);
    CHECK(all.size() == switchboard::max_past + 1);
    account sum, unsubscribed;
    for (const auto& l : all) {
        sum += l.messages;
        if (l.name == "(unsubscribed)" && l.pattern == ">") unsubscribed += l.messages;
    }
    CHECK(unsubscribed.handled == switchboard::max_past + 1);
    CHECK(sum.handled == 3 + 2 * switchboard::max_past);
}

TEST_CASE("switchboard: a kept message lasts until another is kept, or the end") {
    parts p;
    struct holds {
        std::shared_ptr<int> what;
    };
    topic_line line;
    line.type = &detail::type_of<holds>;
    line.topic = "a.b";
    const auto held = std::make_shared<int>(0);
    kept_message& place = p.board.place_for_latest(*line.type, line.topic);
    CHECK(&place == &p.board.place_for_latest(*line.type, line.topic));
    const auto keep = [&] {
        auto* const m = shared_message<holds>::make(held);
        CHECK(p.board.hear_and_keep(line, place, *m));
        m->let_go();
    };
    const auto latest = [&](const char* pattern) {
        int n = 0;
        p.board.for_each_latest<holds>(pattern, [&](shared_message<holds>&) { ++n; });
        return n;
    };
    CHECK(latest(">") == 0);
    keep(), keep();
    CHECK(held.use_count() == 2);
    CHECK(latest("a.*") == 1);
    CHECK(latest("a") == 0);
    int of_another_type = 0;
    p.board.for_each_latest<note>("a.*", [&](shared_message<note>&) { ++of_another_type; });
    CHECK(of_another_type == 0);
    p.board.end();
    CHECK(held.use_count() == 1);
    CHECK(latest(">") == 0);
}
