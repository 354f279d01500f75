// EXPECT: at_least_once: the handler takes the message away, but it may be needed again;
// EXPECT: write [](const M& m)
#include <posthaste/posthaste.hpp>

struct note {
    int n;
};
void use(posthaste::bus& bus) {
    bus.handle<note>("x", posthaste::parallel(2).at_least_once({.attempts = 3}), [](note&&) {});
}
