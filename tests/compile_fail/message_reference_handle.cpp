// EXPECT: a message is a plain type; name it without const, & or *
#include <posthaste/posthaste.hpp>

struct ask {};
void use(posthaste::bus& bus) {
    bus.handle<ask&>("x", [](ask&) {});
}
