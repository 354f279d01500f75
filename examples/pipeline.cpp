// Shows    back-pressure to the source: three stages, each a bounded queue; the slowest sets the
//          pace of all, and nothing piles up.
// Prints   how long it took to hand in 200 pages, what became of them, and how many waited at most.
// Next     shutdown.cpp: the end of a program.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>

using namespace posthaste;
using namespace std::chrono_literals;

struct page {
    int number;
};

int main() {
    simulation world(7);
    bus app(world);
    const auto bounded = serial.capacity(4).full(when_full::wait);
    const auto next_stage = [&](const char* name) {
        return app.client<page>(name, deadline(forever));
    };

    int stored = 0;
    std::size_t most_waiting = 0;
    app.handle<page>("fetch", bounded, [to = next_stage("parse")](page p) -> task<> {
        co_await sleep_for(1ms);
        co_await to.send_when_room(p);
    });
    app.handle<page>("parse", bounded, [to = next_stage("store")](page p) -> task<> {
        co_await sleep_for(2ms);
        co_await to.send_when_room(p);
    });
    app.handle<page>("store", bounded, [&](page) -> task<> {  // the slowest
        co_await sleep_for(10ms);
        ++stored;
        for (const char* stage : {"fetch", "parse", "store"})
            most_waiting = std::max(most_waiting, std::size_t(app.counts(stage).left));
    });

    app.run([&]() -> task<> {
        const auto fetch = next_stage("fetch");
        for (int number = 0; number != 200; ++number) {
            auto place = co_await fetch.reserve();  // first a place, only then the work
            if (place) place->send(number);
        }
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(world.elapsed());
        std::printf("200 pages handed in after %lld ms\n", static_cast<long long>(ms.count()));
    });
    const auto all = app.drain(10s);
    std::printf("%d stored; accepted %llu, handled %llu, in time: %s\n", stored,
                static_cast<unsigned long long>(all->total.accepted),
                static_cast<unsigned long long>(all->total.handled), all->in_time ? "yes" : "no");
    std::printf("never more than %zu pages at one stage\n", most_waiting);
    return 0;
}
