// Contract 3: what one sender sends to one serial or keyed endpoint is handled in that order, also
// if the sender is a coroutine that goes on on another thread after every few messages.
// order_race [messages]
#include <posthaste/posthaste.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

using namespace posthaste;

namespace {

constexpr int senders = 8;

struct note {
    int from;
    long n;
};

struct pass {};

struct watch {
    std::array<long, senders> next{};  // no lock: the endpoint is serial, or the key is the sender
    std::atomic<long> out_of_order = 0;
    std::atomic<long> handled = 0;
    void see(const note& n) {
        long& expected = next[static_cast<std::size_t>(n.from)];
        if (n.n != expected) ++out_of_order;
        expected = n.n + 1;
        handled.fetch_add(1, std::memory_order_relaxed);
    }
};

}  // namespace

int main(int argc, char** argv) {
    const long messages = argc > 1 ? std::atol(argv[1]) : 1'000'000;
    const long each = messages / (2 * senders);
    watch serial_watch, keyed_watch;
    std::atomic<long> moves = 0, refused = 0;

    bus_options options;
    options.threads = std::max(4u, std::thread::hardware_concurrency());
    bus app(options);
    app.handle<note>("serial", serial.capacity(unbounded),
                     [&](const note& n) { serial_watch.see(n); });
    app.handle<note>("keyed", keyed(&note::from).capacity(unbounded), [&](note n) -> task<> {
        keyed_watch.see(n);
        if (n.n % 64 == 0) co_await yield();  // it goes on elsewhere, and keeps its turn
    });
    const auto one = app.client<note>("serial"), other = app.client<note>("keyed");

    thread_pool elsewhere(1);
    bus other_bus(elsewhere);
    other_bus.handle<pass>("away", [](pass) {});
    const auto away = other_bus.client<pass>("away", deadline(forever));

    const auto sender = [&](int from) -> task<> {
        for (long n = 0; n != each; ++n) {
            if (!one.send(from, n)) ++refused;
            if (!other.send(from, n)) ++refused;
            if (n % 5 != from % 5) continue;  // now and then it moves
            const void* const before = &detail::this_thread();
            if (n % 10 == from) co_await yield();
            else static_cast<void>(co_await away.call());  // comes back on any thread
            if (before != &detail::this_thread()) moves.fetch_add(1, std::memory_order_relaxed);
            // Not to fill the memory: a few thousand ahead of the handlers at most.
            while (2 * senders * n - serial_watch.handled - keyed_watch.handled > 100'000)
                co_await yield();
        }
    };
    app.run([&]() -> task<> {
        scope all(co_await this_context);
        for (int from = 0; from != senders; ++from) all.spawn(sender, from);
        co_await all.join();
    });
    const auto drained = app.drain(std::chrono::minutes(5));

    const long sent = 2 * senders * each;
    std::printf("%ld messages, %ld moves between threads, %ld + %ld out of order\n", sent,
                moves.load(), serial_watch.out_of_order.load(), keyed_watch.out_of_order.load());
    const bool passed = serial_watch.out_of_order == 0 && keyed_watch.out_of_order == 0 &&
                        refused == 0 && moves > 0 && drained->total.adds_up() &&
                        drained->total.handled == static_cast<std::uint64_t>(sent) &&
                        serial_watch.handled + keyed_watch.handled == sent;
    return passed ? 0 : 1;
}
