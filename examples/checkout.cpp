// Shows    a shop that stays on its feet: the buyer waits for a call with a deadline, a retry and
//          a breaker; what comes after is sent: fulfilment in order for each order, and delivered
//          again if it fails; the news, to whom it concerns.
// Prints   what each buyer is told, and after how long, while the inventory is well, slow, failing,
//          dead, overloaded and gone; then the parcels, the news, and the account of every message.
// Next     page.cpp: a page of what several services say in time.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

using namespace std::chrono_literals;
using posthaste::client;
using posthaste::failure;
using posthaste::result;
using posthaste::task;

// --- the inventory: another team's, on a bus of its own ------------------------------------------
struct check {
    using reply = int;  // how many there are
    static constexpr bool idempotent = true;  // asking twice does no harm: it may be tried again
    std::string article;
};
struct count_everything {};

enum class mood { well, slow, failing, dead };

struct inventory {
    const mood& how;
    int &asked, &gave_up;

    task<int> operator()(check c) const {
        ++asked;
        if (how == mood::failing && asked % 2 == 0) throw std::runtime_error("the disk is full");
        const auto takes = how == mood::slow ? 2s : how == mood::dead ? 24h : 20ms;
        const auto slept = co_await posthaste::sleep_for(takes);
        if (!slept) ++gave_up;  // asked to stop: nobody waits for the answer any more
        co_return c.article == "unicorn" ? 0 : 7;
    }
    task<> operator()(count_everything) const {
        static_cast<void>(co_await posthaste::sleep_for(400ms));
    }
};

// --- the shop ------------------------------------------------------------------------------------
struct confirmation {
    std::string to_buyer;
    std::string to_us;
};
struct checkout {
    using reply = confirmation;
    int order;
    std::string article;
};
struct parcel_step {
    int order;
    std::string what;
};
struct order_placed {
    int order;
};
struct browse {
    using reply = std::string;
    std::string article;
};

struct shop {
    client<check> stock;
    client<parcel_step> fulfilment;
    client<order_placed> mail, loyalty, statistics;

    task<confirmation> operator()(const checkout& c) const {
        const result<int> left = co_await stock.call(c.article);
        if (!left) {  // the order is not lost with the inventory
            const failure& why = left.error();
            co_return confirmation{"noted; we write to you when we know whether we have it",
                                   why.message() + " (effect: " +
                                       std::string(posthaste::to_string(why.effect())) + ")"};
        }
        if (*left == 0) co_return confirmation{"sorry, it is sold out", ""};

        for (const char* step : {"pick", "pack", "ship"}) fulfilment.send(c.order, step);
        for (const auto* who : {&mail, &loyalty, &statistics}) who->send(c.order);
        co_return confirmation{"thank you, it is on its way", ""};
    }
};

int main() {
    posthaste::simulation world;  // virtual time: it ends at once, and is the same each time
    posthaste::bus bus(world);
    std::optional<posthaste::bus> warehouse(std::in_place, world);

    mood how = mood::well;
    int asked = 0, gave_up = 0;
    warehouse->handle<check, count_everything>("inventory", posthaste::serial.capacity(2),
                                               inventory{how, asked, gave_up});

    std::map<int, std::string> parcels;
    int steps = 0, stuck = 0;
    const auto parcel_desk = [&](const parcel_step& s) -> task<> {
        static_cast<void>(co_await posthaste::sleep_for(s.what == "pick" ? 90ms : 10ms));
        if (++steps % 5 == 0) {  // then once more
            ++stuck;
            throw std::runtime_error("the tape is stuck");
        }
        parcels[s.order] += " " + s.what;
    };
    bus.handle<parcel_step>("fulfilment", posthaste::keyed(&parcel_step::order).at_least_once(),
                            parcel_desk);
    std::map<std::string_view, int> news;
    for (const char* name : {"mail", "loyalty", "statistics"})
        bus.handle<order_placed>(name, [&news, name](order_placed) { ++news[name]; });
    bus.handle<browse>("catalogue", posthaste::parallel(64), [](browse b) -> task<std::string> {
        static_cast<void>(co_await posthaste::sleep_for(5ms));
        co_return b.article + ": it shines";
    });

    // At most 300 ms in all, in up to three attempts of 100 ms; and none at all for a while, when
    // half of the last ones failed.
    posthaste::breaker guard({.least_calls = 4, .window = 2s, .open_for = 1s});
    const auto careful =
        posthaste::deadline(300ms) | posthaste::retry() | guard | posthaste::attempt_timeout(100ms);
    bus.handle<checkout>(
        "checkout", posthaste::parallel(64),
        shop{warehouse->client<check>("inventory", careful), bus.client<parcel_step>("fulfilment"),
             bus.client<order_placed>("mail"), bus.client<order_placed>("loyalty"),
             bus.client<order_placed>("statistics")});

    const auto buyers = bus.client<checkout>("checkout", posthaste::deadline(500ms));
    const auto catalogue = bus.client<browse>("catalogue");
    const auto milliseconds_since = [&](posthaste::time_point began) {
        return static_cast<int>((world.now() - began) / 1ms);
    };
    bool well = true;
    int orders = 0, slowest_look = 0;
    const auto looks = [&]() -> task<result<std::string>> {  // another one, who only looks
        const auto began = world.now();
        auto seen = co_await catalogue.call("lamp");
        slowest_look = std::max(slowest_look, milliseconds_since(began));
        co_return seen;
    };
    const auto buy = [&](const char* inventory_is, const char* article = "lamp") {
        const auto began = world.now();
        result<confirmation> answer = failure(posthaste::code::no_reply);
        int took = 0;
        const auto buys = [&]() -> task<result<void>> {
            ++orders;
            answer = co_await buyers.call(orders, article);
            took = milliseconds_since(began);
            co_return result<void>();
        };
        bus.run(
            [&]() -> task<> { static_cast<void>(co_await posthaste::gather(buys(), looks())); });
        well = well && answer && took <= 300;
        std::printf("inventory %-8s order %2d, after %3d ms: %s\n", inventory_is, orders, took,
                    answer ? answer->to_buyer.c_str() : answer.error().message().c_str());
        if (answer && !answer->to_us.empty()) std::printf("%20s%s\n", "", answer->to_us.c_str());
    };

    buy("well");
    buy("well", "unicorn");
    how = mood::failing;
    buy("failing");  // each second time: the buyer does not notice
    buy("failing");
    how = mood::slow;
    buy("slow");
    buy("slow");
    how = mood::well;
    buy("well");  // which nobody knows yet
    world.advance(1s);
    buy("well");
    how = mood::dead;
    buy("dead");
    buy("dead");
    buy("dead");
    how = mood::well;
    world.advance(5s);
    buy("well");

    const auto counting = warehouse->client<count_everything>("inventory");
    counting.send();
    world.advance(1ms);
    for (int i = 0; i != 2; ++i) counting.send();  // one is at work, two wait: the queue is full
    buy("full");
    world.advance(5s);
    buy("well");

    const result<posthaste::drain_account> theirs = warehouse->drain(1s);
    warehouse.reset();
    buy("gone");

    const result<posthaste::drain_account> ours = bus.drain(5s);
    if (!theirs || !ours) return 1;
    std::puts("");
    for (const auto& [order, made] : parcels) std::printf("parcel %2d:%s\n", order, made.c_str());
    for (const auto& [who, heard] : news) {
        std::printf("%.*s: %d orders placed\n", static_cast<int>(who.size()), who.data(), heard);
    }
    std::printf("steps of a parcel done again, as the tape was stuck: %d\n", stuck);
    std::printf("checks given up by the inventory, as nobody waited any more: %d\n", gave_up);
    std::printf("who only looked at articles meanwhile waited at most %d ms\n\n", slowest_look);
    for (const posthaste::drain_account& end : {*theirs, *ours}) {
        well = well && end.in_time && end.total.adds_up();
        for (const auto& [endpoint, m] : end.endpoints) {
            std::printf("%-11s %2d accepted, %2d handled, %2d failed, %d left; %d refused\n",
                        endpoint.c_str(), static_cast<int>(m.accepted), static_cast<int>(m.handled),
                        static_cast<int>(m.failed), static_cast<int>(m.left),
                        static_cast<int>(m.refused));
        }
    }
    return well && slowest_look == 5 ? 0 : 1;
}
