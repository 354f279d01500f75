// The first program of design.md, as a user writes it. (That of README.md has a test of its own.)
#include <posthaste/posthaste.hpp>

#include <cstdio>
#include <string>

struct profile {
    std::string name;
};
struct get_profile {
    using reply = profile;
    int user_id;
};

int main() {
    posthaste::bus bus;
    bus.handle<get_profile>("users", [](get_profile q) -> posthaste::task<profile> {
        co_return profile{"user " + std::to_string(q.user_id)};
    });
    auto users = bus.client<get_profile>("users");

    auto answer = bus.run([&]() -> posthaste::task<posthaste::result<profile>> {
        users.send(122);                     // asynchronous: goes on at once
        co_return co_await users.call(123);  // synchronous style: goes on with the reply
    });
    std::puts(answer ? answer->name.c_str() : answer.error().message().c_str());
    return answer && answer->name == "user 123" ? 0 : 1;
}
