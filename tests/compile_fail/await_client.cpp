// EXPECT: co_await: this cannot be awaited;
// EXPECT: write co_await on a task, a call, a wait or another awaitable
#include <posthaste/posthaste.hpp>

struct ask {};
posthaste::task<> wait(posthaste::client<ask> c) { co_await c.send(); }
