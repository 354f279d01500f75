// EXPECT: a message must not be over-aligned; hold what is in a std::unique_ptr
#include <posthaste/posthaste.hpp>

struct alignas(128) ask {
    int n;
};
void use(posthaste::client<ask> c) { c.send(1); }
