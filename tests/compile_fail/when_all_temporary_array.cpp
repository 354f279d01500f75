// WARN: this compiler destroys a temporary array twice inside co_await (GCC PR 99576); name it
#include <posthaste/posthaste.hpp>

#include <array>

posthaste::task<int> one() { co_return 1; }
posthaste::task<> use() {
    const auto both = co_await posthaste::when_all(std::array{one(), one()});
    static_cast<void>(both);
}
