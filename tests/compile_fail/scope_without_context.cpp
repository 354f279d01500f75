// EXPECT: its tasks work under a context: scope s(co_await this_context)
#include <posthaste/posthaste.hpp>

posthaste::task<> f() {
    posthaste::scope s;
    co_await s.join();
}
