// EXPECT: bus.handle: name the messages; write bus.handle<M>(name, fn)
#include <posthaste/posthaste.hpp>

struct ask {};
void use(posthaste::bus& bus) {
    bus.handle("x", [](ask) {});
}
