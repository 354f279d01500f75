// Shows    a shop that stays on its feet: the buyer waits for a call with a deadline, while what
//          comes after is sent: fulfilment in order for each order, the news to whom it concerns.
// Prints   what each buyer is told, and after how long, while the inventory is healthy, slow,
//          failing, full and gone; then the parcels, the news, and the account of every message.
// Next     ride.cpp: messages that are not lost while somebody is down.
#include <posthaste/posthaste.hpp>

#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

using namespace std::chrono_literals;
using posthaste::result;
using posthaste::task;

// --- the inventory: another team's, on a bus of its own ------------------------------------------
struct check {
    using reply = int;  // how many there are
    std::string article;
};
struct count_everything {};

enum class mood { healthy, slow, failing };

struct inventory {
    const mood& how;
    int& gave_up;

    task<int> operator()(check c) const {
        if (how == mood::failing) throw std::runtime_error("the database is on fire");
        const auto slept = co_await posthaste::sleep_for(how == mood::slow ? 2000ms : 20ms);
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

struct shop {
    posthaste::client<check> stock;
    posthaste::client<parcel_step> fulfilment;
    posthaste::client<order_placed> mail, loyalty, statistics;

    task<confirmation> operator()(const checkout& c) const {
        const result<int> left = co_await stock.call(c.article);
        if (!left) {  // the order is not lost with the inventory
            const posthaste::failure& why = left.error();
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

    mood how = mood::healthy;
    int gave_up = 0;
    warehouse->handle<check, count_everything>("inventory", posthaste::serial.capacity(2),
                                               inventory{how, gave_up});

    std::map<int, std::string> parcels;
    const auto parcel_desk = [&](const parcel_step& s) -> task<> {
        static_cast<void>(co_await posthaste::sleep_for(s.what == "pick" ? 90ms : 10ms));
        parcels[s.order] += " " + s.what;
    };
    bus.handle<parcel_step>("fulfilment", posthaste::keyed(&parcel_step::order), parcel_desk);
    std::map<std::string_view, int> news;
    for (const char* name : {"mail", "loyalty", "statistics"})
        bus.handle<order_placed>(name, [&news, name](order_placed) { ++news[name]; });

    bus.handle<checkout>(
        "checkout", posthaste::parallel(64),
        shop{warehouse->client<check>("inventory", posthaste::deadline(300ms)),
             bus.client<parcel_step>("fulfilment"), bus.client<order_placed>("mail"),
             bus.client<order_placed>("loyalty"), bus.client<order_placed>("statistics")});

    const auto buyers = bus.client<checkout>("checkout", posthaste::deadline(500ms));
    bool well = true;
    const auto buy = [&](const char* inventory_is, int order, const char* article) {
        const auto began = world.now();
        const result<confirmation> answer = bus.run([&]() -> task<result<confirmation>> {
            co_return co_await buyers.call(order, article);
        });
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(world.now() - began);
        well = well && answer && ms <= 500ms;
        std::printf("inventory %-8s order %d, after %3d ms: %s\n", inventory_is, order,
                    static_cast<int>(ms.count()),
                    answer ? answer->to_buyer.c_str() : answer.error().message().c_str());
        if (answer && !answer->to_us.empty()) std::printf("%20s%s\n", "", answer->to_us.c_str());
    };

    buy("healthy", 1, "lamp");
    buy("healthy", 2, "unicorn");
    how = mood::slow;
    buy("slow", 3, "lamp");
    how = mood::failing;
    buy("failing", 4, "lamp");
    how = mood::healthy;
    buy("healthy", 5, "lamp");  // it has recovered: nothing is left of the trouble

    const auto stocktaking = warehouse->client<count_everything>("inventory");
    while (stocktaking.send()) world.advance(1ms);  // until the queue takes no more
    buy("full", 6, "lamp");
    world.advance(2s);
    buy("healthy", 7, "lamp");
    const result<posthaste::drain_account> theirs = warehouse->drain(1s);
    warehouse.reset();
    buy("gone", 8, "lamp");

    const result<posthaste::drain_account> ours = bus.drain(1s);
    if (!theirs || !ours) return 1;
    std::puts("");
    for (const auto& [order, steps] : parcels) std::printf("parcel %d:%s\n", order, steps.c_str());
    for (const auto& [who, heard] : news) {
        std::printf("%.*s: %d orders placed\n", static_cast<int>(who.size()), who.data(), heard);
    }
    std::printf("checks given up by the inventory, as nobody waited any more: %d\n\n", gave_up);
    for (const posthaste::drain_account& end : {*theirs, *ours}) {
        well = well && end.in_time && end.total.adds_up();
        for (const auto& [endpoint, m] : end.endpoints) {
            std::printf("%-11s %d accepted, %d handled, %d failed, %d left; %d refused\n",
                        endpoint.c_str(), static_cast<int>(m.accepted), static_cast<int>(m.handled),
                        static_cast<int>(m.failed), static_cast<int>(m.left),
                        static_cast<int>(m.refused));
        }
    }
    return well ? 0 : 1;
}
