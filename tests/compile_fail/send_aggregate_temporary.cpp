// WARN: this compiler destroys a temporary message twice inside co_await
#include <posthaste/posthaste.hpp>

struct ask {
    std::string text;
};
posthaste::task<> use(posthaste::client<ask> c) {
    c.send(ask{"destroyed twice before g++ 13"});
    co_return;
}
