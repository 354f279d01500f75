// EXPECT: stream: moving a value must not throw; hold what throws in a std::unique_ptr
#include <posthaste/posthaste.hpp>

struct throws {
    throws() = default;
    throws(throws&&) noexcept(false);
};
posthaste::stream<throws> produce() { co_yield throws(); }
