// EXPECT: this client does not carry that message; name it in bus.client<M...>(name)
#include <posthaste/posthaste.hpp>

#include <chrono>

struct ask {
    int n;
};
struct other {
    int n;
};
void use(posthaste::client<ask> c) { c.send_after<other>(std::chrono::seconds(1), 3); }
