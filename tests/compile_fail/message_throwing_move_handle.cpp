// EXPECT: moving a message must not throw; hold what throws in a
// std::unique_ptr
#include <posthaste/posthaste.hpp>

struct heavy {
    heavy() = default;
    heavy(const heavy&) {} // and so no noexcept move
};
struct ask {
    heavy load;
};
void use(posthaste::bus& bus) {
    bus.handle<ask>("x", [](const ask&) {});
}
