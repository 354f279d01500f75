// EXPECT: quorum() takes calls, which end in a result; wrap others in a task<result<T>>
#include <posthaste/posthaste.hpp>

posthaste::task<int> one() { co_return 1; }
posthaste::task<> use() {
    auto two = co_await posthaste::quorum(2, one(), one());
    static_cast<void>(two);
}
