// A worker's calls come and go while a watcher looks all the time: it ends some, each of them knows
// whether it was ended, and none is touched once it is over.
// inline_calls_race [calls]
#include "../support/race.hpp"
#include "watchdog.hpp"

#include <posthaste/run/inline_calls.hpp>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <thread>

using namespace posthaste;

namespace {

testing::mistakes wrong;
testing::outcome stayed("calls stayed"), ended("calls were ended");

// Plain data, for ThreadSanitizer.
struct call : inline_call {
    call() noexcept {
        expire = [](inline_call& c) noexcept {
            call& self = static_cast<call&>(c);
            wrong.expect(!self.over && !self.was_ended, "ended too late, or twice");
            return self.was_ended = true;
        };
    }
    void again(bool due) noexcept {
        deadline = due ? time_point::min() : never;
        taken = was_ended = over = false;
    }
    bool was_ended = false, over = true;
};
using places = std::array<call, 256>;

void one_call(inline_calls& calls, places& at, unsigned number, unsigned depth) {
    const unsigned chance = testing::scatter(number, depth);
    call& c = at[(number + depth * 64) % at.size()];
    c.again(chance % 4 == 0);
    calls.begin(c);
    if (chance / 4 % 4 == 0) testing::dawdle(chance / 16 % 64);
    if (chance / 256 % 256 == 0) std::this_thread::yield();  // for machines with one processor
    if (depth != 0) one_call(calls, at, number, depth - 1);
    const bool its_own = calls.end(c);
    wrong.expect(its_own != c.was_ended, "it does not know that it was ended");
    (its_own ? stayed : ended).seen();
    c.over = true;
}

void come_and_go(testing::watchdog& dog, const char* how, unsigned count,
                 const detail::asymmetric_fence& fence) {
    inline_calls calls{fence};
    std::atomic<bool> over = false;
    std::thread watcher([&] {
        for (unsigned i = 0; !over.load(std::memory_order_relaxed); ++i) {
            calls.announce();
            fence.heavy();
            calls.look(time_point());
            if (i % 16 == 0) testing::stumble(testing::scatter(i, 1));
        }
    });
    const auto at = std::make_unique<places>();
    for (unsigned i = 0; i != count; ++i) {
        one_call(calls, *at, i, i % 8 == 0 ? 2 : 0);
        if (i % 1024 == 0) dog.pat(how);
    }
    over.store(true, std::memory_order_relaxed);
    watcher.join();
    wrong.expect(!calls.look(time_point()), "something is left");
}

}  // namespace

int main(int argc, char** argv) {
    const unsigned count = argc > 1 ? static_cast<unsigned>(std::atol(argv[1])) : 500'000;
    testing::watchdog dog("inline_calls");
    come_and_go(dog, "with the fence the system offers", count, {});
    come_and_go(dog, "with ordinary fences", count, detail::asymmetric_fence(false));
    return testing::summary(wrong, stayed, ended);
}
