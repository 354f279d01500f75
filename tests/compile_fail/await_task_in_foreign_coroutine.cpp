// EXPECT: co_await: a posthaste::task has no home in this coroutine;
// EXPECT: await it in a posthaste::task, or use sync_wait()
#include <posthaste/posthaste.hpp>

struct foreign {
    struct promise_type {
        foreign get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
};
posthaste::task<int> work() { co_return 1; }
foreign begin() { static_cast<void>(co_await work()); }
