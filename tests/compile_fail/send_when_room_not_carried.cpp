// EXPECT: this client does not carry that message; name it in bus.client<M...>(name)
#include <posthaste/posthaste.hpp>

struct ask {
    int n;
};
struct other {
    int n;
};
posthaste::task<> use(posthaste::client<ask> c) {
    const auto r = co_await c.send_when_room<other>(3);
    r.or_throw();
}
