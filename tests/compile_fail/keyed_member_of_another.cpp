// EXPECT: keyed: the key cannot be had from every message;
// EXPECT: write keyed(&M::key), or a function that takes each of them
#include <posthaste/posthaste.hpp>

struct ask {
    int n;
};
struct other {
    int n;
};
void use(posthaste::bus& bus) {
    bus.handle<ask>("x", posthaste::keyed(&other::n), [](ask) {});
}
