#include <posthaste/serve/crossing.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct probe : layer {
    probe(char n, std::string& l, outcomes o = outcomes::all) : layer(o), name(n), log(l) {}
    verdict enter(passage& p, slot& s) noexcept override {
        log += name;
        s.a = static_cast<std::uint64_t>(name);
        p.allowance -= 1ms;
        return {says, after};
    }
    verdict leave(passage& p, slot& s, const failure*) noexcept override {
        CHECK(s.a == static_cast<std::uint64_t>(name));
        log += static_cast<char>(name - 'a' + 'A');
        left_with = p.allowance;
        return {};
    }
    void abandon(slot& s) noexcept override {
        CHECK(s.a == static_cast<std::uint64_t>(name));
        log += '~';
        log += name;
    }
    char name;
    std::string& log;
    verdict::kind says = verdict::kind::pass;
    duration after{}, left_with{};
};

struct world {
    simulation sim;
    std::string log;
    std::shared_ptr<probe> a = std::make_shared<probe>('a', log);
    std::shared_ptr<probe> b = std::make_shared<probe>('b', log, layer::outcomes::failures);
    std::shared_ptr<probe> c = std::make_shared<probe>('c', log);
    call_settings by{10ms, {a, b, c}};
    struct at_home : frame {
        explicit at_home(home& h) : frame(nullptr) { at = &h; }
    } caller{sim};
};

}  // namespace

TEST_CASE("crossing: in through all, and out through those that hear of values, as they were") {
    world w;
    detail::crossing way(w.caller, w.by, false);
    CHECK(way.set_out(w.by).what == verdict::kind::pass);
    CHECK(way.inside == 3);
    CHECK(way.at_hand.allowance == 7ms);
    way.come_all_out(w.by);
    CHECK(way.inside == 0);
    CHECK(w.log == "abcCA");
    CHECK(w.c->left_with == 8ms);
    CHECK(w.a->left_with == 10ms);
}

TEST_CASE("crossing: up to the layer that does not let it pass, and on from there") {
    world w;
    w.b->says = verdict::kind::refuse;
    detail::crossing way(w.caller, w.by, false);
    CHECK(way.set_out(w.by).what == verdict::kind::refuse);
    CHECK(way.inside == 1);
    w.b->says = verdict::kind::pass;
    CHECK(way.pass(w.by).what == verdict::kind::pass);
    CHECK(way.inside == 3);
    CHECK(w.log == "abbc");
    way.abandon(w.by);
    CHECK(w.log == "abbc~c~b~a");
    CHECK(way.inside == 0);
}

TEST_CASE("crossing: it is in the layer that holds it back") {
    world w;
    w.b->says = verdict::kind::later;
    w.b->after = 1ms;
    detail::crossing way(w.caller, w.by, false);
    CHECK(way.set_out(w.by).what == verdict::kind::later);
    CHECK(way.inside == 2);
    detail::crossing rest(std::move(way));
    rest.abandon(w.by);
    CHECK(w.log == "ab~b~a");
}

TEST_CASE("crossing: whoever takes it along has all that it holds") {
    world w;
    detail::crossing way(w.caller, w.by, true);
    way.set_out(w.by);
    detail::crossing rest(std::move(way));
    CHECK(rest.inside == 3);
    CHECK(rest.at_hand.allowance == 7ms);
    CHECK(rest.at_hand.idempotent());
    rest.come_out(w.by);
    CHECK(w.log == "abcCA");
    CHECK(w.a->left_with == 10ms);
}
