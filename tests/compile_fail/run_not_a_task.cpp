// EXPECT: bus.run: the callable must return a task; write [&]() -> task<T> { ... }
#include <posthaste/posthaste.hpp>

int use(posthaste::bus& bus) {
    return bus.run([] { return 1; });
}
