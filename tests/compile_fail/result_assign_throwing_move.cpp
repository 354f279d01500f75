// EXPECT: result<T>: moving T must not throw; use result<std::unique_ptr<T>>
#include <posthaste/posthaste.hpp>

struct heavy {
    heavy() = default;
    heavy(const heavy&) {}  // and so no noexcept move
};
void replace(posthaste::result<heavy>& old) { old = heavy(); }
