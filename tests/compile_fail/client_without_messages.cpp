// EXPECT: a client carries messages; write bus.client<M>(name)
#include <posthaste/posthaste.hpp>

void use(posthaste::bus& bus) { auto c = bus.client("x"); }
