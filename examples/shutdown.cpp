// Shows    the end of a program: drain() takes nothing more, finishes what it can in the time it is
//          given, asks the rest to stop, and says what became of every message.
// Prints   the account of a printer that is switched off with too much to print, and what was not
//          printed.
// Next     testing.cpp: how to test all this.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using posthaste::result;
using posthaste::task;

struct document {
    std::string title;
    int pages;
};

struct printer {
    // It only looks at the document, so a dead letter has it still.
    task<> operator()(const document& d, posthaste::context& ctx) const {
        if (d.pages == 0) throw std::invalid_argument("it has no pages");
        for (int page = 1; page <= d.pages; ++page) {
            static_cast<void>(co_await posthaste::sleep_for(1s));
            if (ctx.stop_requested()) {  // switched off: out with the page, and no further
                std::printf("printer: stopped on page %d of %s\n", page, d.title.c_str());
                co_return;
            }
        }
        std::printf("printer: %s\n", d.title.c_str());
    }
};

int main() {
    posthaste::simulation world;
    posthaste::bus bus(world);
    bus.handle<document>("printer", posthaste::serial.capacity(5), printer());
    bus.dead_letters().on_letter([](const posthaste::dead_letter& letter) {
        const document* d = letter.get<document>();
        std::printf("not printed: %s (%s)\n", d ? d->title.c_str() : "?",
                    letter.reason().message().c_str());
    });

    const auto prints = bus.client<document>("printer");
    prints.send("a letter", 2);
    prints.send("a mistake", 0);
    prints.send("a poem", 1);
    prints.send("a novel", 300);
    prints.send("an invoice", 1);
    const result<void> sent = prints.send("one more", 1);
    if (!sent) std::printf("refused: one more (%s)\n", sent.error().message().c_str());

    std::puts("draining, for 10 seconds at most");
    const result<posthaste::drain_account> end = bus.drain(10s);
    if (!end) return 1;
    const result<void> late = prints.send("too late", 1);
    if (!late) std::printf("refused: too late (%s)\n", late.error().message().c_str());

    for (const auto& [endpoint, m] : end->endpoints) {
        std::printf("%s: %d accepted = %d handled + %d failed + %d left; %d refused; in time: %s\n",
                    endpoint.c_str(), static_cast<int>(m.accepted), static_cast<int>(m.handled),
                    static_cast<int>(m.failed), static_cast<int>(m.left),
                    static_cast<int>(m.refused), end->in_time ? "yes" : "no");
    }
    return end->total.adds_up() ? 0 : 1;
}
