// EXPECT: policies: what is given instead of a reply has another type; write fallback(T(...))
#include <posthaste/posthaste.hpp>

#include <string>

struct name_of {
    using reply = std::string;
    int id;
};
void use(posthaste::bus& app) {
    auto c = app.client<name_of>("names", posthaste::retry() | posthaste::fallback("nobody"));
    static_cast<void>(c);
}
