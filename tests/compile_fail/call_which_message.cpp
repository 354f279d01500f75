// EXPECT: these arguments make no message of this client;
// EXPECT: write the members as in M{...}, pass an M, or name M in bus.client<M...>(name)
#include <posthaste/posthaste.hpp>

struct deposit {
    int n;
};
struct withdraw {
    int n;
};
posthaste::task<> use(posthaste::client<deposit, withdraw> c) {
    const auto r = co_await c.call(3);
    r.or_throw();
}
