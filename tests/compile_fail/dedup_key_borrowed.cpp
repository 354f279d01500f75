// EXPECT: dedup: the key is remembered when its message is gone;
// EXPECT: return a std::string, not a std::string_view or a char*
#include <posthaste/guard/dedup.hpp>
#include <posthaste/serve/bus.hpp>

#include <chrono>
#include <string>
#include <string_view>

struct pay {
    std::string id;
};

void f(posthaste::bus& app) {
    app.handle<pay>("pay", posthaste::dedup(std::chrono::minutes(1), [](const pay& p) {
                        return std::string_view(p.id);
                    })([](const pay&) {}));
}
