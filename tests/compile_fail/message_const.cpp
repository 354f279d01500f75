// EXPECT: a message is a plain type; name it without const, & or *
#include <posthaste/posthaste.hpp>

struct ask {};
void use(posthaste::client<const ask> c) { c.send(); }
