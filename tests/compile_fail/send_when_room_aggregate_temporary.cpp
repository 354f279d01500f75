// WARN: this compiler destroys a temporary message twice inside co_await
#include <posthaste/posthaste.hpp>

struct ask {
    std::string text;
};
posthaste::task<> use(posthaste::client<ask> c) {
    const auto r = co_await c.send_when_room(ask{"destroyed twice before g++ 13"});
    r.or_throw();
}
