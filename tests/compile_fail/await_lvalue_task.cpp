// EXPECT: co_await: a task is awaited once; write co_await std::move(the_task)
#include <posthaste/posthaste.hpp>

posthaste::task<int> twice(posthaste::task<int> n) { co_return 2 * co_await n; }
