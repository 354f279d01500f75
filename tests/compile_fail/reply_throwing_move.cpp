// EXPECT: moving a reply must not throw; hold what throws in a std::unique_ptr
#include <posthaste/posthaste.hpp>

struct heavy {
    heavy() = default;
    heavy(const heavy&) {}  // and so no noexcept move
};
struct ask {
    using reply = heavy;
};
void use(posthaste::bus& bus) {
    bus.handle<ask>("x", [](ask) { return heavy(); });
}
