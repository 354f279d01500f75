// EXPECT: moving a message must not throw; hold what throws in a std::unique_ptr
#include <posthaste/posthaste.hpp>

struct heavy {
    heavy() = default;
    heavy(const heavy&) {}  // and so no noexcept move
};
struct ask {
    heavy load;
};
void use(posthaste::client<ask> c) { c.send(heavy()); }
