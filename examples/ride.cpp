// Shows    messages that are not lost: rides are accepted by a call, at once; their payments and
//          notices are decoupled by queues. Payment is down for a while at the peak: rides are
//          still accepted, payments are delivered again until they are taken, each rider's in
//          order. A ride that cannot be entered in the book is refused, and nobody pays for it: its
//          payment and its notice are in an outbox until then.
// Prints   what became of 400 rides. Time is virtual, so it takes no time, and is always the same.
// Next     activity.cpp: real flight records, and a queue that waits.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <chrono>
#include <cstdio>
#include <map>
#include <set>
#include <vector>

using namespace std::chrono_literals;
using posthaste::delivery;
using posthaste::outbox;
using posthaste::result;
using posthaste::task;

struct ride_accepted {
    int ride;
};
struct request_ride {
    using reply = ride_accepted;
    static constexpr bool idempotent = true;  // one that failed has done nothing: it may be retried
    int rider;
};
struct payment {
    int ride;
    int rider;
};
struct notice {
    int ride;
};

/// The bank: it is down from second 2 to second 6, and of every seventh payment its answer is lost
/// after it was made.
class bank {
public:
    explicit bank(posthaste::simulation& world) : world_(world) {}

    result<void> pay(const payment& p) {
        const auto time = world_.elapsed();
        if (time >= 2s && time < 6s) return delivery::retry(500ms);
        const bool first_time = paid_.insert(p.ride).second;  // the same ride is never paid twice
        if (first_time) made_.push_back(p);
        else ++repeated_;
        if (first_time && p.ride % 7 == 0) return delivery::retry(100ms);  // the answer is lost
        return {};
    }
    const std::vector<payment>& made() const { return made_; }
    int repeated() const { return repeated_; }

private:
    posthaste::simulation& world_;
    std::set<int> paid_;
    std::vector<payment> made_;
    int repeated_ = 0;
};

/// Where rides are entered: every fiftieth time it is busy.
class book {
public:
    result<void> enter(const request_ride& r) {
        if (++times_ % 50 == 0) {
            ++busy_;
            return posthaste::failure(posthaste::code::unavailable);
        }
        rides_.push_back(r);
        return {};
    }
    int next() const { return static_cast<int>(rides_.size()) + 1; }
    int busy() const { return busy_; }

private:
    std::vector<request_ride> rides_;
    int times_ = 0, busy_ = 0;
};

/// Rides are numbered as they come, so each rider's payments must be in that order.
bool in_order(const std::vector<payment>& made) {
    std::map<int, int> last;
    for (const payment& p : made) {
        if (p.ride < last[p.rider]) return false;
        last[p.rider] = p.ride;
    }
    return true;
}

task<int> peak(posthaste::client<request_ride> rides, int requests, int riders) {
    int accepted = 0;
    for (int i = 0; i != requests; ++i) {
        const auto answer = co_await rides.call(i % riders);
        accepted += answer.has_value();
        co_await posthaste::sleep_for(20ms);
    }
    co_return accepted;
}

void print(const char* endpoint, const posthaste::account& a) {
    std::printf("%-8s %3d accepted, %3d handled, %d failed, %d left: %s\n", endpoint,
                static_cast<int>(a.accepted), static_cast<int>(a.handled),
                static_cast<int>(a.failed), static_cast<int>(a.left),
                a.adds_up() ? "it adds up" : "it does not add up");
}

int main() {
    posthaste::simulation world(1);
    posthaste::bus bus(world);
    bank provider(world);
    book entries;
    int told = 0;

    bus.handle<payment>("payment",
                        posthaste::keyed(&payment::rider).at_least_once({.attempts = 20}),
                        [&](const payment& p) { return provider.pay(p); });
    bus.handle<notice>("notice", posthaste::parallel(4).at_least_once(), [&](const notice& n) {
        if (n.ride % 50 == 0) return result<void>(delivery::reject("no such phone"));
        ++told;
        return result<void>();
    });
    bus.handle<request_ride>(
        "rides",
        [&entries, pay = bus.client<payment>("payment"), tell = bus.client<notice>("notice")](
            const request_ride& r, outbox& out) -> result<ride_accepted> {
            const int ride = entries.next();
            if (auto queued = out.send(pay, ride, r.rider); !queued) return queued.error();
            if (auto queued = out.send(tell, ride); !queued) return queued.error();
            if (auto entered = entries.enter(r); !entered) return entered.error();
            return ride_accepted{ride};  // and now the two are sent
        });

    const auto rides = bus.client<request_ride>("rides", posthaste::retry());
    const int accepted = bus.run([&] { return peak(rides, 400, 40); });
    std::printf("8 s of peak, payment down for 4 s of it: %d of 400 rides accepted\n", accepted);
    std::printf("%d requests could not be entered: not paid, and made again\n", entries.busy());
    std::printf("at its end %s\n",
                provider.made().size() < 400 ? "some payments are not made yet" : "all is paid");

    const auto all = bus.drain(1min);
    if (!all) return 1;
    std::printf("in the end %d, %s; repeated without effect: %d\n",
                static_cast<int>(provider.made().size()),
                in_order(provider.made()) ? "in order for each rider" : "out of order",
                provider.repeated());
    for (const auto& line : all->endpoints) print(line.endpoint.c_str(), line.messages);
    std::printf("%d riders told; not told, and why:\n", told);
    bus.dead_letters().for_each([](const posthaste::dead_letter& l) {
        if (const notice* n = l.get<notice>())
            std::printf("  ride %d: %s\n", n->ride, l.reason().message().c_str());
    });
    return 0;
}
