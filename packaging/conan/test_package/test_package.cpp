#include <posthaste/posthaste.hpp>

#include <cstdio>

struct twice {
    using reply = int;
    int value;
};

int main() {
    posthaste::bus bus;
    bus.handle<twice>("numbers", [](twice q) { return 2 * q.value; });
    auto numbers = bus.client<twice>("numbers");
    auto answer = bus.run(
        [&]() -> posthaste::task<posthaste::result<int>> { co_return co_await numbers.call(21); });
    std::printf("posthaste %d.%d.%d: %d\n", POSTHASTE_VERSION_MAJOR, POSTHASTE_VERSION_MINOR,
                POSTHASTE_VERSION_PATCH, answer ? *answer : -1);
    return answer && *answer == 42 ? 0 : 1;
}
