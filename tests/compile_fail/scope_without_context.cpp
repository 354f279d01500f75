// EXPECT: scope: its tasks work under a context; write scope s(co_await this_context)
#include <posthaste/posthaste.hpp>

posthaste::task<> f() {
    posthaste::scope s;
    co_await s.join();
}
