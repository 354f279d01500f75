// EXPECT: the handler does not take this message;
// EXPECT: write [](M m) or [](const M& m), with or without a second parameter context& or outbox&
#include <posthaste/posthaste.hpp>

struct ask {
    int n;
};
struct other {
    int n;
};
void use(posthaste::bus& bus) {
    bus.handle<ask>("x", [](ask&) {});
}
