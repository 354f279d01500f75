// EXPECT: scope.spawn: the callable does not take these arguments; they are passed as values
#include <posthaste/posthaste.hpp>

posthaste::task<> count(int& n) {
    ++n;
    co_return;
}
void begin(posthaste::scope& s, int n) { s.spawn(count, n); }
