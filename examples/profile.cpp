// Shows    the same message in both styles: called, the sender goes on with the reply; sent, it
//          goes on at once, and is done before the handler has begun.
// Prints   who does what, in the order in which it happens.
// Next     checkout.cpp: what a caller does when the other side is slow, broken or gone.
#include <posthaste/posthaste.hpp>

#include <chrono>
#include <cstdio>
#include <string>

using namespace std::chrono_literals;
using posthaste::result;
using posthaste::task;

struct profile {
    std::string name;
};
struct get_profile {
    using reply = profile;
    int user_id;
};

task<profile> look_up(get_profile q) {
    std::printf("      users: looking for profile %d\n", q.user_id);
    co_await posthaste::sleep_for(20ms);  // a database; no thread is blocked meanwhile
    std::printf("      users: found profile %d\n", q.user_id);
    co_return profile{"user " + std::to_string(q.user_id)};
}

int main() {
    posthaste::bus_options one_thread;  // so that the lines always come in the same order
    one_thread.threads = 1;
    posthaste::bus bus(one_thread);
    bus.handle<get_profile>("users", look_up);
    const auto users = bus.client<get_profile>("users");

    bus.run([&]() -> task<> {
        std::puts("call: I ask for profile 123, and wait");
        const result<profile> answer = co_await users.call(123);
        std::printf("call: I go on with %s\n\n",
                    answer ? answer->name.c_str() : answer.error().message().c_str());
    });

    bus.run([&]() -> task<> {
        std::puts("send: I send for profile 123, and wait for nothing");
        const result<void> sent = users.send(123);
        std::printf("send: %s; I am done\n", sent ? "it is accepted" : "it is refused");
        co_return;
    });

    const result<posthaste::drain_account> end = bus.drain(1s);  // finishes what was sent
    if (!end) return 1;
    std::printf("\nat the end: %d accepted, %d handled, %d left\n",
                static_cast<int>(end->total.accepted), static_cast<int>(end->total.handled),
                static_cast<int>(end->total.left));
    return end->total.handled == 2 ? 0 : 1;
}
