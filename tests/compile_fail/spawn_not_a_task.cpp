// EXPECT: scope.spawn: the callable must return a task; write [] (...) -> task<> { ... }
#include <posthaste/posthaste.hpp>

void begin(posthaste::scope& s) {
    s.spawn([](int n) { return n; }, 1);
}
