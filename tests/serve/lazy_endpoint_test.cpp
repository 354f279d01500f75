// That there may be no memory for it is in tests/plain/no_memory.cpp.
#include <posthaste/serve/lazy_endpoint.hpp>

#include "../support/conversation.hpp"

#include <memory>
#include <optional>
#include <type_traits>

using namespace posthaste;

namespace {

struct note {
    int n;
};
struct keeper final : endpoint_keeper {
    int times = 0;
    void hold() noexcept override { ++times; }
    void rested() noexcept override {}
};
struct parts {
    simulation sim;
    dead_letters dead;
    std::shared_ptr<int> heard = std::make_shared<int>(0);
    keeper who;

    template <typename Mode>
    detail::owned<endpoint_plan> plan(const Mode& mode) {
        const auto fn = [heard = heard](const note& n) { *heard += n.n; };
        using handler_type = detail::handler_of<std::remove_const_t<decltype(fn)>, note>;
        return std::make_unique<detail::plan_of<Mode, note>>(
            sim, dead, std::make_unique<handler_type>(fn), mode);
    }
    endpoint_core::admission put(endpoint_core& to, int n) {
        envelope* const e = detail::make_envelope<detail::sent<note>>(n);
        e->how = to.find(detail::type_of<note>);
        const auto became = to.put(*e, false);
        if (became != endpoint_core::admission::accepted) e->destroy();
        return became;
    }
};

}  // namespace

TEST_CASE("lazy_endpoint: is made when it is needed, once, as planned") {
    parts p;
    lazy_endpoint e;
    bool no_memory = false;
    CHECK_FALSE(e.make("n", nullptr, &no_memory));
    CHECK_FALSE(no_memory);
    CHECK(e.give(p.plan(serial.capacity(2))));
    CHECK_FALSE(e.give(p.plan(serial)));
    CHECK_FALSE(e.made());
    CHECK(e.idle());
    CHECK(e.begun() == 0);
    CHECK(e.counts().accepted == 0);
    e.count_refused();
    CHECK(e.counts().refused == 1);
    endpoint_core* const made = e.make("name", &p.who);
    REQUIRE(made);
    CHECK(e.made() == made);
    CHECK(e.make("name", &p.who) == made);
    CHECK_FALSE(e.give(p.plan(serial)));
    CHECK(made->name() == "name");
    CHECK(made->capacity() == 2);
    CHECK(p.put(*made, 3) == endpoint_core::admission::accepted);
    CHECK_FALSE(e.idle());
    CHECK(e.counts().left == 1);
    p.sim.drive_ready();
    CHECK(*p.heard == 3);
    CHECK(p.who.times == 1);
    CHECK(e.idle());
    CHECK(e.begun() == 1);
    CHECK(e.counts().handled == 1);
    made->count_refused();
    CHECK(e.counts().refused == 2);
}

TEST_CASE("lazy_endpoint: is made at once where that runs code of the user's") {
    struct by_n {
        explicit by_n(int& all) : copies(&all) {}
        by_n(const by_n& other) : copies(other.copies) { ++*copies; }
        by_n& operator=(const by_n&) = delete;
        int operator()(const note& n) const { return n.n; }
        int* copies;
    };
    simulation sim;
    int copies = 0;
    bus app(sim);
    app.handle<note>("keyed", keyed(by_n(copies)), [](note) {});
    app.subscribe<note>("notes", keyed(by_n(copies)).at_least_once(), [](const note&) {}).keep();
    const int before = copies;
    CHECK(app.client<note>("keyed").send(1));
    CHECK(app.publish<note>("notes", 1).accepted == 1);
    sim.drive_ready();
    CHECK(copies == before);
    CHECK(app.counts("keyed").handled == 1);
    CHECK(app.counts("notes").handled == 1);
}

TEST_CASE("lazy_endpoint: redelivers, if that is the plan") {
    parts p;
    lazy_endpoint e(p.plan(serial.at_least_once()));
    endpoint_core* const made = e.make("name");
    REQUIRE(made);
    envelope* const one = detail::make_envelope<detail::sent<note>>(1);
    one->how = made->find(detail::type_of<note>);
    CHECK(made->put(*one, false) == endpoint_core::admission::accepted);
    CHECK(one->tracked());
    p.sim.drive_ready();
    CHECK(*p.heard == 1);
}

TEST_CASE("lazy_endpoint: what is asked of it before it is made holds for it afterwards") {
    parts p;
    lazy_endpoint closed(p.plan(serial)), given_up(p.plan(serial));
    closed.close();
    endpoint_core* const shut = closed.make("closed");
    REQUIRE(shut);
    CHECK(p.put(*shut, 1) == endpoint_core::admission::closed);
    CHECK(closed.counts().refused == 1);
    given_up.discard();
    endpoint_core* const discards = given_up.make("given up");
    REQUIRE(discards);
    CHECK(p.put(*discards, 1) == endpoint_core::admission::accepted);
    p.sim.drive_ready();
    CHECK(*p.heard == 0);
    CHECK(given_up.counts().left == 1);
    CHECK(p.dead.size() == 1);
    p.dead.clear();
}

TEST_CASE("lazy_endpoint: its handler goes when it is to, also before it is made") {
    parts p;
    lazy_endpoint made(p.plan(serial)), not_made(p.plan(serial));
    REQUIRE(made.make("made"));
    CHECK(p.heard.use_count() == 3);
    made.forget_handler();
    CHECK(p.heard.use_count() == 2);
    not_made.forget_handler();
    CHECK(p.heard.use_count() == 1);
    CHECK_FALSE(not_made.make("not made"));
    CHECK(not_made.give(p.plan(serial)));
}

TEST_CASE("lazy_endpoint: once it owns no letters, it may outlive where they are kept") {
    parts p;
    auto dead = std::make_unique<dead_letters>();
    const auto fn = [](const note&) {};
    using handler_type = detail::handler_of<std::remove_const_t<decltype(fn)>, note>;
    lazy_endpoint e(std::make_unique<detail::plan_of<serial_mode, note>>(
        p.sim, *dead, std::make_unique<handler_type>(fn), serial));
    endpoint_core* const made = e.make("name");
    REQUIRE(made);
    e.discard();
    CHECK(p.put(*made, 1) == endpoint_core::admission::accepted);
    p.sim.drive_ready();
    CHECK(dead->size() == 1);
    e.disown_letters();
    CHECK(dead->requeue_if([](const dead_letter&) { return true; }) == 0);
    dead.reset();  // of a bus, say, that goes as the last lane of a subscriber destroys it
}
