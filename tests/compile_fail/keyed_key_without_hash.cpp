// EXPECT: keyed: the key has no std::hash; choose another key, or specialise std::hash
#include <posthaste/posthaste.hpp>

struct place {
    int x, y;
};
struct move_to {
    place where;
};
void use(posthaste::bus& bus) {
    bus.handle<move_to>("x", posthaste::keyed(&move_to::where), [](move_to) {});
}
