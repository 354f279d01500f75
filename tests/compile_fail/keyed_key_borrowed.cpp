// EXPECT: keyed: the key is known longer than its message;
// EXPECT: return a std::string, not a std::string_view or a char*
#include <posthaste/posthaste.hpp>

#include <string>
#include <string_view>

struct order {
    std::string customer;
};
void use(posthaste::bus& bus) {
    bus.handle<order>("x",
                      posthaste::keyed([](const order& o) { return std::string_view(o.customer); }),
                      [](const order&) {});
}
