#include <posthaste/serve/subscriber_handler.hpp>

#include "../support/conversation.hpp"

#include <chrono>
#include <string>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

struct note {
    int n;
};
struct question {
    using reply = int;
    int n;
};
int heard = 0;
void plain(const note& m) { heard += m.n; }

struct counts {  // an object with state
    int sum = 0;
    void operator()(const note& m) { heard += sum += m.n; }
};

}  // namespace

TEST_CASE("subscriber_handler: takes the message by reference or value, with or without context") {
    testing::no_frames_left frames;
    simulation sim;
    bus app(sim);
    std::vector<subscription> all;
    const auto listen = [&](auto fn) { all.push_back(app.subscribe<note>("t", std::move(fn))); };
    heard = 0;
    listen(plain);
    listen(counts{});
    listen([](note m) { heard += m.n; });
    listen([](const note& m, context& ctx) { heard += m.n * (ctx.deadline() == never); });
    listen([](note m, context&) -> task<> {
        co_await yield();
        heard += m.n;
    });
    listen([](const auto& m) -> task<> {
        co_await sleep_for(1ms);
        heard += m.n;
    });
    listen([](const note& m) -> task<result<void>> {
        heard += m.n;
        co_return result<void>();
    });
    CHECK(app.publish<note>("t", 1).accepted == 7);
    sim.advance(1ms);
    CHECK(heard == 7);
    CHECK(app.publish<note>("t", 1).accepted == 7);
    sim.advance(1ms);
    CHECK(heard == 7 + 8);
}

TEST_CASE("subscriber_handler: the reply of a message that has one is dropped, a failure counted") {
    simulation sim;
    bus app(sim);
    const auto answers = app.subscribe<question>(topics("t").named("answers"),
                                                 [](const question& q) { return q.n; });
    const auto fails =
        app.subscribe<question>(topics("t").named("fails"), [](const question&) -> result<int> {
            return failure(code::unavailable, effect::none, "not today");
        });
    app.publish<question>("t", 5);
    sim.drive_ready();
    CHECK(app.counts("answers").handled == 1);
    CHECK(app.counts("fails").failed == 1);
    app.dead_letters().for_each([](const dead_letter& l) {
        CHECK(l.reason().code() == code::unavailable);
        REQUIRE(l.get<question>());
        CHECK(l.get<question>()->n == 5);
    });
    CHECK(app.dead_letters().total() == 1);
}
