// EXPECT: policies: what repeats a call cannot stand inside of hedge; write
// EXPECT: retry() | hedge()
#include <posthaste/posthaste.hpp>

struct ask {
    using reply = int;
    static constexpr bool idempotent = true;
};
void use(const posthaste::bus& bus) {
    static_cast<void>(bus.client<ask>("stock", posthaste::hedge() | posthaste::retry()));
}
