// EXPECT: the handler does not take this message;
// EXPECT: write [](const E& e), with or without a second parameter context& or outbox&
#include <posthaste/posthaste.hpp>

struct note {
    int n;
};
struct other {
    int n;
};
void use(posthaste::bus& bus) {
    auto s = bus.subscribe<note>("x", [](const other&) {});
}
