// EXPECT: many share this message, and it cannot be copied; write [](const E& e)
#include <posthaste/posthaste.hpp>

#include <memory>

struct parcel {
    std::unique_ptr<int> what;
};
void use(posthaste::bus& bus) {
    auto s = bus.subscribe<parcel>("x", [](parcel) {});
}
