// Shows    a stream of messages, fire-and-forget, into four consumers that know nothing of one
//          another: what to do so that nothing is lost where a queue is bounded, and what becomes
//          of the rest where one is slow, and may lose some.
// Usage    activity [file]: flight records as a JSON array, or one JSON object a line; `-`: stdin.
// Prints   totals for each airport of origin, a few recommendations, what the audit and the board
//          saw, and the account of every message. Malformed records are told on stderr, skipped
//          and counted.
// Next     account.cpp: a service that is an object.
#include "flight_records.hpp"

#include <posthaste/posthaste.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using posthaste::client;
using posthaste::event;
using posthaste::task;

// --- consumer 1: running totals for each airport of origin ---------------------------------------
// Behind a keyed endpoint: airports side by side, the flights of one airport one at a time, in
// order. So only finding a total needs a lock; changing it does not.
class totals {
public:
    struct total {
        std::int64_t flights = 0, delay = 0, distance = 0;
    };
    void add(const flight& f) {
        total& t = of(f.origin);
        ++t.flights;
        t.delay += f.delay;
        t.distance += f.distance;
    }
    void print() const {  // sorted, as a map is
        std::puts("origin flights  delay/min  distance/mi");
        for (const auto& [origin, t] : all_) {
            std::printf("%s %10lld %10lld %12lld\n", origin.c_str(),
                        static_cast<long long>(t.flights), static_cast<long long>(t.delay),
                        static_cast<long long>(t.distance));
        }
    }

private:
    total& of(const std::string& origin) {
        const std::lock_guard guard(finding_);
        return all_[origin];
    }
    std::mutex finding_;
    std::map<std::string, total> all_;
};

// --- consumer 2: where to come from, to be least late --------------------------------------------
// Behind a serial endpoint: one at a time, so no lock at all.
class recommendations {
public:
    void add(const flight& f) {
        destination& d = all_[f.destination];
        ++d.flights;
        ++d.from[f.origin].flights;
        d.from[f.origin].delay += f.delay;
    }
    void print(std::size_t how_many) const {
        std::vector<std::pair<std::string, const destination*>> busiest;
        for (const auto& [name, d] : all_) busiest.emplace_back(name, &d);
        std::sort(busiest.begin(), busiest.end(), [](const auto& a, const auto& b) {
            return std::pair(-a.second->flights, a.first) < std::pair(-b.second->flights, b.first);
        });
        busiest.resize(std::min(busiest.size(), how_many));
        for (const auto& [name, d] : busiest) {
            const auto best = std::min_element(
                d->from.begin(), d->from.end(),
                [](const auto& a, const auto& b) { return a.second.rank() < b.second.rank(); });
            std::printf("  to %s best from %s: %+.1f min, the mean of %lld flights\n", name.c_str(),
                        best->first.c_str(), best->second.mean(),
                        static_cast<long long>(best->second.flights));
        }
    }

private:
    struct route {
        std::int64_t flights = 0, delay = 0;
        double mean() const { return static_cast<double>(delay) / static_cast<double>(flights); }
        std::pair<bool, double> rank() const { return {flights < 3, mean()}; }  // one is no rule
    };
    struct destination {
        std::int64_t flights = 0;
        std::map<std::string, route> from;
    };
    std::map<std::string, destination> all_;
};

// --- consumer 3: an audit log --------------------------------------------------------------------
// Its hash (FNV-1a, 64 bits) depends on the order of the flights, which a serial endpoint keeps.
class audit {
public:
    void add(const flight& f) {
        ++count_;
        hash(f.date + ' ' + std::to_string(f.delay) + ' ' + std::to_string(f.distance) + ' ' +
             f.origin + ' ' + f.destination + '\n');
    }
    void print() const {
        std::printf("audit: %llu flights, hash %016llx\n", static_cast<unsigned long long>(count_),
                    static_cast<unsigned long long>(hash_));
    }

private:
    void hash(std::string_view line) {
        for (const char c : line) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    }
    std::uint64_t count_ = 0, hash_ = 0xcbf29ce484222325u;
};

// --- consumer 4: a board in the hall ------------------------------------------------------------
// It is slow: what it shows first stays there until the stream has ended. Its queue has room for
// eight flights, and the newest ones are worth more than old ones: so each that comes to the full
// queue drops the oldest. That slows nobody else.
class board {
public:
    task<> show(const flight& f) {
        last_ = f.origin + " to " + f.destination;
        ++shown_;
        shows_.set();
        static_cast<void>(co_await over_.wait());
    }
    event& shows() { return shows_; }
    event& over() { return over_; }
    void print() const {
        std::printf("board: %llu shown, the last one from %s\n",
                    static_cast<unsigned long long>(shown_), last_.c_str());
    }

private:
    std::uint64_t shown_ = 0;
    std::string last_ = "nowhere";
    event shows_, over_;
};

// --- the source ----------------------------------------------------------------------------------
// Two consumers are asked one by one: while the queue of one is full, the source waits for room in
// it. Whoever else cares has subscribed, and gets what is published; nobody waits for him.
task<std::uint64_t> stream(flight_records& from, client<flight> to_totals,
                           client<flight> to_recommendations, posthaste::bus& bus, board& hall) {
    std::uint64_t lost = 0;
    while (const auto f = from.next()) {
        const auto first = co_await to_totals.send_when_room(*f);
        const auto second = co_await to_recommendations.send_when_room(*f);
        const auto rest = bus.publish<flight>("flights." + f->origin, *f);
        lost += !first + !second + (2 - rest.accepted);
        static_cast<void>(co_await hall.shows().wait());  // the board is on
    }
    hall.over().set();
    co_return lost;
}

int main(int argc, char** argv) {
    const std::string path = argc > 1 ? argv[1] : "examples/data/flights-2k.json";
    std::ios::sync_with_stdio(false);
    std::ifstream file;
    if (path != "-") {
        file.open(path, std::ios::binary);
        if (!file) return std::fprintf(stderr, "activity: cannot read %s\n", path.c_str()), 2;
    }
    flight_records records(path == "-" ? std::cin : file,
                           [](std::size_t line, std::size_t record, std::string_view why) {
                               std::fprintf(stderr, "line %zu, record %zu: %.*s; skipped\n", line,
                                            record, static_cast<int>(why.size()), why.data());
                           });

    totals by_origin;  // what handlers refer to lives longer than the bus
    recommendations least_late;
    audit log;
    board hall;
    posthaste::bus bus;
    using posthaste::keyed, posthaste::serial, posthaste::unbounded, posthaste::when_full;
    bus.handle<flight>("totals", keyed(&flight::origin).capacity(64).full(when_full::wait),
                       [&](const flight& f) { by_origin.add(f); });
    bus.handle<flight>("recommendations", serial.capacity(64).full(when_full::wait),
                       [&](const flight& f) { least_late.add(f); });
    using posthaste::topics;
    const auto audits =
        bus.subscribe<flight>(topics("flights.>").named("audit"), serial.capacity(unbounded),
                              [&](const flight& f) { log.add(f); });
    const auto shows = bus.subscribe<flight>(topics("flights.*").named("board"),
                                             serial.capacity(8).full(when_full::drop_oldest),
                                             [&](const flight& f) { return hall.show(f); });

    const posthaste::deadline as_long_as_it_takes(posthaste::forever);
    const std::uint64_t lost = posthaste::sync_wait(  // on this thread; the consumers have others
        stream(records, bus.client<flight>("totals", as_long_as_it_takes),
               bus.client<flight>("recommendations", as_long_as_it_takes), bus, hall));
    const auto end = bus.drain(60s);
    if (!end) return std::fprintf(stderr, "activity: %s\n", end.error().message().c_str()), 1;

    by_origin.print();
    std::puts("");
    least_late.print(5);
    log.print();
    hall.print();
    std::printf("records: %zu read, %zu of them skipped\n\n", records.records(), records.skipped());
    const auto print = [](const std::string& name, const posthaste::account& m) {
        std::printf("%-15s %llu accepted = %llu handled", name.c_str(),
                    static_cast<unsigned long long>(m.accepted),
                    static_cast<unsigned long long>(m.handled));
        if (m.dropped != 0)
            std::printf(" + %llu dropped", static_cast<unsigned long long>(m.dropped));
        std::puts("");
    };
    for (const auto& [endpoint, m] : end->endpoints) print(endpoint, m);
    for (const auto& [name, pattern, m] : end->subscribers) print(name, m);
    const bool all = lost == 0 && end->in_time && end->total.adds_up() && end->total.failed == 0 &&
                     end->total.accepted == 4 * (records.records() - records.skipped());
    return all ? 0 : 1;
}
