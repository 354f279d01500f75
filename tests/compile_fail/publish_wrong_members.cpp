// EXPECT: these arguments make no message E;
// EXPECT: write the members as in E{...}, or pass an E
#include <posthaste/posthaste.hpp>

struct note {
    int n;
};
void use(posthaste::bus& bus) { bus.publish<note>("x", "text"); }
