// EXPECT: a reply is a value; write using reply = T
#include <posthaste/posthaste.hpp>

struct ask {
    using reply = int&;
};
void use(posthaste::bus& bus) { auto c = bus.client<ask>("x"); }
