// Shows    a scope: tasks that run beside the one that opened it, and never longer. What a task
//          needs is passed by value, so nothing it uses can go away before it.
// Prints   three errands that are run at the same time, and one that is called off.
// Next     shutdown.cpp: how a whole program comes to its end.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

using namespace std::chrono_literals;
using posthaste::result;
using posthaste::scope;
using posthaste::task;

task<> errand(std::string what, std::chrono::milliseconds takes) {
    const result<void> slept = co_await posthaste::sleep_for(takes);
    std::printf("  %s: %s\n", what.c_str(), slept ? "done" : slept.error().message().c_str());
}

task<> in_the_morning() {
    scope s(co_await posthaste::this_context);
    s.spawn(errand, "bread", 30ms);
    s.spawn(errand, "newspaper", 10ms);
    s.spawn(errand, "post", 20ms);
    std::puts("three errands, at the same time:");
    co_await s.join();  // waits for all of them
    std::puts("  all are back");
}

task<> in_the_evening() {
    scope s(co_await posthaste::this_context);
    s.spawn(errand, "a very long walk", 24h);
    std::puts("one that takes too long:");
    static_cast<void>(co_await posthaste::sleep_for(100ms));
    co_await s.cancel();  // asks all of them to stop, and waits until they have
    std::puts("  nobody is out");
}

task<> at_night() {
    scope s(co_await posthaste::this_context);
    s.spawn(errand, "counting sheep", 8h);
    s.spawn([]() -> task<> {  // no capture: see README on lambdas
        static_cast<void>(co_await posthaste::sleep_for(1h));
        throw std::runtime_error("the dog barks");
    });
    std::puts("one that goes wrong stops the others:");
    co_await s.join();  // throws what it threw, when all have ended
}

int main() {
    posthaste::simulation night_and_day;  // virtual time: nobody has to wait a day
    posthaste::sync_wait(night_and_day, in_the_morning());
    posthaste::sync_wait(night_and_day, in_the_evening());
    try {
        posthaste::sync_wait(night_and_day, at_night());
    } catch (const std::exception& e) {
        std::printf("  and then: %s\n", e.what());
    }
    return 0;
}
