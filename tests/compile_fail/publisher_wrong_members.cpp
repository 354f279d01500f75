// EXPECT: these arguments make no message of this publisher;
// EXPECT: write the members as in M{...}, or pass an M
#include <posthaste/posthaste.hpp>

struct note {
    int n;
};
void use(posthaste::bus& bus) { bus.publisher<note>("x").publish("text"); }
