// EXPECT: many share this message, so none may change it;
// EXPECT: write [](const E& e), or [](E e) for a copy
#include <posthaste/posthaste.hpp>

struct note {
    int n;
};
void use(posthaste::bus& bus) {
    auto s = bus.subscribe<note>("x", [](note&& m) { m.n = 1; });
}
