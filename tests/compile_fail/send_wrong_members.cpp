// EXPECT: these arguments make no message of this client;
// EXPECT: write the members as in M{...}, pass an M, or name M in bus.client<M...>(name)
#include <posthaste/posthaste.hpp>

struct ask {
    int n;
};
void use(posthaste::client<ask> c) { c.send(1, 2); }
