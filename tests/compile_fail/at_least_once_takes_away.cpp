// EXPECT: at_least_once: the handler takes the message away, but it may be needed again;
// EXPECT: write [](const M& m)
#include <posthaste/posthaste.hpp>

#include <memory>

struct parcel {
    std::unique_ptr<int> content;
};
void use(posthaste::bus& bus) {
    bus.handle<parcel>("x", posthaste::serial.at_least_once(), [](parcel) {});
}
