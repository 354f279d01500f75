// EXPECT: a message must not be over-aligned; hold what is in a std::unique_ptr
#include <posthaste/posthaste.hpp>

struct alignas(64) wide {
    int n;
};
void use(posthaste::bus& bus) { bus.publish<wide>("x", 1); }
