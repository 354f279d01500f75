// EXPECT: these arguments make no message of this client;
// EXPECT: write the members as in M{...}, pass an M, or name M in bus.client<M...>(name)
#include <posthaste/posthaste.hpp>

struct ask {
    int n;
};
posthaste::task<> use(posthaste::client<ask> c) {
    const auto r = co_await c.call("three");
    r.or_throw();
}
