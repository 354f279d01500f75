// EXPECT: the handler returns a value, but the message names no reply;
// EXPECT: write using reply = T in the message, or return nothing
#include <posthaste/posthaste.hpp>

struct ask {
    int n;
};
struct other {
    int n;
};
void use(posthaste::bus& bus) {
    bus.handle<ask>("x", [](ask a) -> posthaste::task<int> { co_return a.n; });
}
