// EXPECT: stop_callback: the callback takes no arguments; write [] { ... }
#include <posthaste/posthaste.hpp>

void listen(posthaste::stop_token stop) {
    posthaste::stop_callback on_stop(stop, [](int) {});
}
