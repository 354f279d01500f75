// EXPECT: keyed: the keys of its messages are of several types;
// EXPECT: write a function that gives the same type for each of them
#include <posthaste/posthaste.hpp>

struct order {
    int id;
};
struct cancel {
    long id;
};
struct shop {
    void operator()(const order&) {}
    void operator()(const cancel&) {}
};
void use(posthaste::bus& bus) {
    bus.handle<order, cancel>("shop", posthaste::keyed([](const auto& m) { return m.id; }), shop{});
}
