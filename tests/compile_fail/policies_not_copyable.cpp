// EXPECT: policies: what repeats a call needs a message that can be copied; hold what
// EXPECT: cannot be copied in a std::shared_ptr, or leave out retry
#include <posthaste/posthaste.hpp>

#include <memory>

struct parcel {
    std::unique_ptr<int> content;
};
struct again_and_again {
    static constexpr bool repeats = true;
    void apply(posthaste::call_settings&) const {}
};
void use(const posthaste::bus& bus) {
    static_cast<void>(bus.client<parcel>("post", again_and_again()));
}
