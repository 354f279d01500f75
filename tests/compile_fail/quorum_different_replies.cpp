// EXPECT: quorum() takes calls with replies of one type; write gather() for different ones
#include <posthaste/posthaste.hpp>

posthaste::task<posthaste::result<int>> one() { co_return 1; }
posthaste::task<posthaste::result<long>> other() { co_return 1L; }
posthaste::task<> use() {
    auto two = co_await posthaste::quorum(2, one(), other());
    static_cast<void>(two);
}
