// EXPECT: quorum: n must be 1 up to the number of calls; write fewer, or more
#include <posthaste/posthaste.hpp>

posthaste::task<posthaste::result<int>> one() { co_return 1; }
posthaste::task<> use() {
    auto nothing = co_await posthaste::quorum(0, one(), one());
    static_cast<void>(nothing);
}
