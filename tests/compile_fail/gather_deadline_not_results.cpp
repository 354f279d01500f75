// EXPECT: gather() takes calls, which end in a result; for other awaitables write when_all()
#include <posthaste/posthaste.hpp>

#include <chrono>

posthaste::task<int> one() { co_return 1; }
posthaste::task<> use() {
    auto both = co_await posthaste::gather(std::chrono::milliseconds(5), one(), one());
    static_cast<void>(both);
}
