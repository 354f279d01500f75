// EXPECT: first_of() takes calls, which end in a result; for others write when_any()
#include <posthaste/posthaste.hpp>

posthaste::task<int> one() { co_return 1; }
posthaste::task<> use() {
    auto first = co_await posthaste::first_of(one(), one());
    static_cast<void>(first);
}
