// EXPECT: the handler does not return the message's reply;
// EXPECT: return M::reply, result<M::reply>, or a task of either
#include <posthaste/posthaste.hpp>

struct answer {};
struct ask {
    using reply = answer;
};
void use(posthaste::bus& bus) {
    bus.handle<ask>("x", [](ask) -> posthaste::task<int> { co_return 1; });
}
