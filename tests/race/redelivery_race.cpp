// Contract 4 and 10 on real threads: messages that fail and are delivered again, while buses are
// drained and destroyed. Each that was accepted was handled, or is a dead letter, and there is an
// attempt for each; per sender and per key the order is kept. What their handlers send through an
// outbox, some of it from several threads at once, is sent once for each that was handled, in
// order.
// redelivery_race [buses]
#include <posthaste/posthaste.hpp>

#include "../support/race.hpp"
#include "watchdog.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
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

/// What the handler of a job sends.
struct done_note {
    std::size_t at;  // by which endpoint
    int from;
    int n;
    std::size_t part;
};
constexpr std::size_t parts = 4;  // two of them from a scope's tasks, the last one late
struct ask {};
struct mark {};

posthaste::testing::mistakes wrong;
outcome held("held by several threads at once"), dead_note("held, and then shut out"),
    shut_out("shut out at once"), handled("handled"), again("handled after a failure"),
    exhausted("given up after the last"), left("left at the end of the grace"),
    rejected("rejected"), in_time("drained in time"), cut_short("cut short");

struct one_bus {
    std::unique_ptr<bus> app;
    std::atomic<bool> ending = false;
    std::atomic<long> accepted = 0, done = 0, dead = 0;
    std::array<int, senders> last{};  // of a serial endpoint, by sender
    std::array<std::array<int, senders>, keys> last_of_key{};
    std::atomic<long> due = 0, noted = 0, dead_notes = 0;  // what is sent
    std::atomic<long> published = 0, heard = 0, unheard = 0;
    std::array<int, senders> last_noted{};  // of a serial endpoint, by sender
    std::array<std::array<std::array<std::array<std::atomic<int>, parts>, messages + 1>, senders>,
               names.size()>
        notes{};

    explicit one_bus(int round) {
        bus_options options;
        options.threads = 2;
        options.grace = std::chrono::microseconds(round % 7 * 300);
        app = std::make_unique<bus>(options);
        const redelivery how{.attempts = 4,
                             .in_place = static_cast<unsigned>(round % 3),
                             .delay = std::chrono::microseconds(20),
                             .max_delay = std::chrono::microseconds(100)};
        make(0, serial.at_least_once(how));
        make(1, parallel(2).at_least_once(how));
        make(2, keyed(&job::key).at_least_once(how));
        app->handle<done_note>("notes", serial.capacity(4096), [this](done_note d) {
            if (d.at == 0 && d.part == 0)
                in_order(last_noted[static_cast<std::size_t>(d.from)], d.n);
            count(d);
            ++noted;
        });
        app->subscribe<done_note>(topics("notes").named("listener"), parallel(2).capacity(4096),
                                  [this](const done_note&) { ++heard; })
            .keep();
        app->handle<mark>("marks", serial.capacity(4096), [](mark) {});
        app->handle<ask>("ask", parallel(2), [to = app->client<mark>("marks")](ask, outbox& out) {
            hold(out.send(to));
        });
        app->dead_letters().on_letter([this](const dead_letter& l) {
            if (l.endpoint() == "marks") return;
            if (const auto* d = l.get<done_note>()) return note_lost(l, *d);
            ++dead;
            wrong.expect(l.get<job>() != nullptr, "a dead letter is whole");
            if (l.reason().code() == code::closed) left.seen();
            else if (l.reason().code() == code::rejected) rejected.seen();
            else if (l.attempts() == 4) exhausted.seen();
        });
    }
    void count(const done_note& d) {
        const int before =
            notes[d.at][static_cast<std::size_t>(d.from)][static_cast<std::size_t>(d.n)][d.part]++;
        wrong.expect(before == 0, "what a handler sends is sent once");
    }
    void note_lost(const dead_letter& l, const done_note& d) {
        wrong.expect(l.reason().code() == code::closed, "there was room for all that was held");
        if (l.endpoint() != "notes") {
            ++unheard;
            return;
        }
        count(d);
        ++dead_notes;
        dead_note.seen();
    }
    template <typename Mode>
    void make(std::size_t at, const Mode& mode) {
        const auto to = app->client<done_note>("notes");
        const auto tell = app->publisher<done_note>("notes");
        app->handle<job>(
            names[at], mode, [this, at, to, tell](const job& j, outbox& out) -> task<result<void>> {
                const context& ctx = out.context();
                if (at == 0) in_order(last[static_cast<std::size_t>(j.from)], j.n);
                if (at == 2)
                    in_order(last_of_key[static_cast<std::size_t>(j.key())]
                                        [static_cast<std::size_t>(j.from)],
                             j.n);
                const unsigned chance =
                    testing::scatter(static_cast<unsigned>(j.n + 100 * j.from), ctx.attempt());
                std::atomic<int> sent = hold(out.send(to, at, j.from, j.n, std::size_t{0}));
                const int told = hold(out.publish(tell, at, j.from, j.n, std::size_t{0}));
                if (chance % 7 == 0) {
                    scope s(co_await this_context);
                    for (std::size_t part = 1; part != parts - 1; ++part) {
                        s.spawn(
                            [&](std::size_t p) -> task<> {
                                sent += hold(out.send(to, at, j.from, j.n, p));
                                co_return;
                            },
                            part);
                    }
                    co_await s.join();
                    held.seen();
                }
                if (chance % 3 == 0) {
                    co_await sleep_for(std::chrono::microseconds(chance % 50));
                    // at the end of the grace it has been woken, and all is shut
                    sent += hold(out.send(to, at, j.from, j.n, parts - 1));
                }
                if (chance % 5 < 2) co_return failure(code::handler_failed);
                if (chance % 29 == 0) co_return delivery::reject("no");
                ++done;
                due += sent;
                published += told;
                handled.seen();
                if (ctx.attempt() > 1) again.seen();
                co_return {};
            });
    }
    /// 1 if it is held; what is refused is refused because all is shut.
    static int hold(const result<void>& r) {
        wrong.expect(r || r.error().code() == code::closed, "it is held");
        if (!r) shut_out.seen();
        return r ? 1 : 0;
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
    void ask_all() {
        const auto to = app->client<ask>("ask");
        for (std::uint64_t n = 1; n <= 500; ++n) {
            const bool answered = sync_wait(to.call()).has_value();
            const bool sent = app->counts("marks").accepted == n;
            if (ending) return;
            wrong.expect(answered, "it is answered");
            wrong.expect(sent, "all is sent before the reply");
        }
    }
    void drain(int round) {
        ending = true;
        const auto drained =
            app->drain(round % 4 == 0 ? 1min : std::chrono::microseconds(round % 1000));
        wrong.expect(drained->total.adds_up(), "the account adds up");
        (drained->in_time ? in_time : cut_short).seen();
        const auto refused = static_cast<long>(drained->subscribers.front().messages.refused);
        wrong.expect(heard + unheard + refused == published, "what was held is published once");
    }
    void end() {
        app.reset();
        wrong.expect(done + dead == accepted, "each was handled, or is a dead letter");
        wrong.expect(noted + dead_notes == due, "what was held is sent, or is a dead letter");
    }
};

void one_round(int round) {
    one_bus b(round);
    std::vector<std::thread> threads;
    for (int from = 0; from != senders; ++from)
        threads.emplace_back([&b, from] { b.send_all(from); });
    threads.emplace_back([&b] { b.ask_all(); });
    if (round % 4 == 2) {  // in the midst of it
        while (b.accepted <= round % 32) std::this_thread::yield();
        b.drain(round);
    }
    for (auto& t : threads) t.join();
    if (round % 4 == 0) b.drain(round);
    b.end();
}

}  // namespace

int main(int argc, char** argv) {
    testing::watchdog dog("a bus");
    const int buses = argc > 1 ? std::atoi(argv[1]) : 60;
    const auto seen = [] {
        return testing::all_seen(held, dead_note, shut_out, handled, again, exhausted, left,
                                 rejected, in_time, cut_short);
    };
    for (int round = 0; round < buses || (!seen() && round < 50 * buses); ++round) {
        one_round(round);
        dog.pat("a bus");
    }
    wrong.expect(detail::live_frames == 0, "no frame is left");
    return testing::summary(wrong, held, dead_note, shut_out, handled, again, exhausted, left,
                            rejected, in_time, cut_short);
}
