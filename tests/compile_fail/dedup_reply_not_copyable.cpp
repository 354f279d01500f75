// EXPECT: dedup: a message that comes again gets a copy of the reply;
// EXPECT: write a reply that can be copied
#include <posthaste/guard/dedup.hpp>
#include <posthaste/serve/bus.hpp>

#include <chrono>
#include <memory>

struct ask {
    using reply = std::unique_ptr<int>;
    int n;
};

void f(posthaste::bus& app) {
    app.handle<ask>("ask", posthaste::dedup(std::chrono::minutes(1))(
                               [](ask) { return std::unique_ptr<int>(); }));
}
