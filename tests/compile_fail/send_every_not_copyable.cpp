// EXPECT: send_every: the message is copied each time it is sent; make it copyable, or
// EXPECT: write a task that loops over sleep_until() and send()
#include <posthaste/posthaste.hpp>

#include <chrono>
#include <memory>

struct parcel {
    std::unique_ptr<int> what;
};
void use(posthaste::client<parcel> c) {
    c.send_every(std::chrono::seconds(1), std::make_unique<int>(1));
}
