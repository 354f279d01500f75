// Contract 4 and 10 on real threads: messages that fail and are delivered again, while buses are
// drained and destroyed. Each that was accepted was handled, or is a dead letter, and there is an
// attempt for each; per sender and per key the order is kept.
// redelivery_race [buses]
#include <posthaste/posthaste.hpp>

#include "../support/race.hpp"
#include "watchdog.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;
using posthaste::testing::outcome;

namespace {

constexpr int senders = 3, messages = 60, keys = 5;
const std::array<std::string, 3> names{"serial", "parallel", "keyed"};

struct job {
    int from;
    int n;
    int key() const { return n % keys; }
};

posthaste::testing::mistakes wrong;
outcome handled("handled"), again("handled after a failure"), exhausted("given up after the last"),
    left("left at the end of the grace"), rejected("rejected"), in_time("drained in time"),
    cut_short("cut short");

struct one_bus {
    std::unique_ptr<bus> app;
    std::atomic<long> accepted = 0, done = 0, dead = 0;
    std::array<int, senders> last{};  // of a serial endpoint, by sender
    std::array<std::array<int, senders>, keys> last_of_key{};

    explicit one_bus(int round) {
        bus_options options;
        options.threads = 2;
        options.grace = std::chrono::microseconds(round % 7 * 300);
        app = std::make_unique<bus>(options);
        const redelivery how{.attempts = 4,
                             .in_place = static_cast<unsigned>(round % 3),
                             .delay = std::chrono::microseconds(20),
                             .max_delay = std::chrono::microseconds(100)};
        make(names[0], serial.at_least_once(how));
        make(names[1], parallel(2).at_least_once(how));
        make(names[2], keyed(&job::key).at_least_once(how));
        app->dead_letters().on_letter([this](const dead_letter& l) {
            ++dead;
            wrong.expect(l.get<job>() != nullptr, "a dead letter is whole");
            if (l.reason().code() == code::closed) left.seen();
            else if (l.reason().code() == code::rejected) rejected.seen();
            else if (l.attempts() == 4) exhausted.seen();
        });
    }
    template <typename Mode>
    void make(const std::string& name, const Mode& mode) {
        app->handle<job>(
            name, mode, [this, name](const job& j, context& ctx) -> task<result<void>> {
                if (name == names[0]) in_order(last[static_cast<std::size_t>(j.from)], j.n);
                if (name == names[2])
                    in_order(last_of_key[static_cast<std::size_t>(j.key())]
                                        [static_cast<std::size_t>(j.from)],
                             j.n);
                const unsigned chance =
                    testing::scatter(static_cast<unsigned>(j.n + 100 * j.from), ctx.attempt());
                if (chance % 3 == 0) co_await sleep_for(std::chrono::microseconds(chance % 50));
                if (chance % 5 < 2) co_return failure(code::handler_failed);
                if (chance % 29 == 0) co_return delivery::reject("no");
                ++done;
                handled.seen();
                if (ctx.attempt() > 1) again.seen();
                co_return {};
            });
    }
    static void in_order(int& last, int n) {
        wrong.expect(n >= last, "the order is kept");
        last = n;
    }
    void send_all(int from) {
        for (int n = 1; n <= messages; ++n) {
            for (const std::string& name : names)
                accepted += app->client<job>(name).send(from, n).has_value();
            testing::stumble(testing::scatter(static_cast<unsigned>(n), 7));
        }
    }
    void end(int round) {
        if (round % 2 == 0) {
            const auto drained =
                app->drain(round % 4 == 0 ? 1min : std::chrono::microseconds(round % 1000));
            wrong.expect(drained->total.adds_up(), "the account adds up");
            (drained->in_time ? in_time : cut_short).seen();
        }
        app.reset();
        wrong.expect(done + dead == accepted, "each was handled, or is a dead letter");
    }
};

void one_round(int round) {
    one_bus b(round);
    {
        std::vector<std::jthread> threads;
        for (int from = 0; from != senders; ++from)
            threads.emplace_back([&b, from] { b.send_all(from); });
    }
    b.end(round);
}

}  // namespace

int main(int argc, char** argv) {
    testing::watchdog dog("a bus");
    const int buses = argc > 1 ? std::atoi(argv[1]) : 60;
    for (int round = 0; round != buses; ++round) {
        one_round(round);
        dog.pat("a bus");
    }
    wrong.expect(detail::live_frames == 0, "no frame is left");
    return testing::summary(wrong, handled, again, exhausted, left, rejected, in_time, cut_short);
}
