// Shows    a page that is made of what several services say: all are asked at once, under one
//          deadline, and what came in time is shown, with what is missing, and why.
// Prints   the page while all is well, and while one service after the other is slow, failing or
//          dead; and how a breaker keeps callers from waiting for what does not come.
// Next     ride.cpp: messages that are not lost while somebody is down.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/faults.hpp>
#include <posthaste/prove/simulation.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

using namespace std::chrono_literals;
using posthaste::breaker;
using posthaste::client;
using posthaste::deadline;
using posthaste::faults;
using posthaste::result;
using posthaste::task;

// --- what the page is made of --------------------------------------------------------------------
struct price_of {
    using reply = std::string;
    std::string article;
};
struct stock_of {
    using reply = std::string;
    std::string article;
};
struct reviews_of {
    using reply = std::string;
    std::string article;
};

struct page {
    std::vector<std::string> parts;
    std::vector<std::string> missing;
};
struct get_page {
    using reply = page;
    std::string article;
};

// --- who makes it --------------------------------------------------------------------------------
struct gateway {
    client<price_of> price;
    client<stock_of> berlin, paris;  // the same stock, in two places
    client<reviews_of> reviews;

    task<page> operator()(const get_page& q) const {
        auto all = co_await posthaste::gather(
            200ms, price.call(q.article), reviews.call(q.article),
            posthaste::first_of(berlin.call(q.article), paris.call(q.article)));
        page made;
        put(made, "price", std::get<0>(all));
        put(made, "reviews", std::get<1>(all));
        put(made, "stock", std::get<2>(all));
        co_return made;
    }

private:
    static void put(page& on, const char* what, const result<std::string>& said) {
        if (said) on.parts.push_back(*said);
        else on.missing.push_back(std::string(what) + ": " + said.error().message());
    }
};

int main() {
    posthaste::simulation world;  // virtual time: it ends at once, and is the same each time
    posthaste::bus bus(world);

    bus.handle<price_of>("price", posthaste::parallel(8), [](price_of) -> task<std::string> {
        static_cast<void>(co_await posthaste::sleep_for(10ms));
        co_return "19.99";
    });
    for (const char* where : {"berlin", "paris"}) {
        bus.handle<stock_of>(where, posthaste::parallel(8), [where](stock_of) -> task<std::string> {
            const bool far = std::string_view(where) == "paris";
            static_cast<void>(co_await posthaste::sleep_for(far ? 60ms : 20ms));
            co_return std::string("7 in ") + where;
        });
    }
    bus.handle<reviews_of>("reviews", posthaste::parallel(8), [](reviews_of) -> task<std::string> {
        static_cast<void>(co_await posthaste::sleep_for(40ms));
        co_return "\"it shines\"";
    });

    // What may befall them: the gateway's clients go through it.
    faults at_price(1), at_berlin(2), at_reviews(3);
    breaker reviews_breaker({.least_calls = 4, .window = 1s, .open_for = 2s});
    bus.handle<get_page>(
        "page", posthaste::parallel(64),
        gateway{bus.client<price_of>("price", at_price), bus.client<stock_of>("berlin", at_berlin),
                bus.client<stock_of>("paris"),
                bus.client<reviews_of>("reviews", reviews_breaker | at_reviews)});

    const auto visitors = bus.client<get_page>("page", deadline(250ms));
    bool well = true;
    const auto visit = [&](const char* when) {
        const auto began = world.now();
        const result<page> got =
            bus.run([&]() -> task<result<page>> { co_return co_await visitors.call("lamp"); });
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(world.now() - began);
        well = well && got && ms <= 200ms;
        std::printf("%-17s after %3d ms:", when, static_cast<int>(ms.count()));
        if (!got) return std::printf(" %s\n", got.error().message().c_str()), void();
        for (const std::string& part : got->parts) std::printf("  %s", part.c_str());
        std::puts("");
        for (const std::string& part : got->missing)
            std::printf("%32smissing %s\n", "", part.c_str());
    };

    visit("all is well");
    at_price.set(faults::failing());
    visit("the price fails");
    at_price.set(faults::healthy());
    at_berlin.set(faults::dead());
    visit("berlin is dead");
    at_berlin.set(faults::healthy());
    at_reviews.set(faults::slow(1s, 2s));
    for (int i = 0; i != 4; ++i) visit("reviews are slow");  // until nobody waits for them
    at_reviews.set(faults::healthy());
    visit("and nobody knows");
    world.advance(2s);
    visit("all is well");
    return well ? 0 : 1;
}
