// An endpoint or subscriber that has had no message costs at most 256 bytes beyond its name and its
// handler, whatever its mode, and whatever it listens to, but for a pattern with a * in its midst.
#include <posthaste/posthaste.hpp>

#include "../support/memory.hpp"

#include <cstddef>
#include <cstdio>
#include <string>
#include <type_traits>

using namespace posthaste;

namespace {

struct note {
    long key;
};
constexpr auto ignore = [](const note&) {};
using ignoring = std::remove_const_t<decltype(ignore)>;

constexpr std::size_t most = 256, members = (1 << 14) + 1;  // tables have just grown

bool all_small = true;

/// `make` makes the i-th, on a bus; `its_own`: the object that holds its handler.
template <typename Make>
void measure(const char* what, const char* mode, std::size_t its_own, Make make) {
    run_loop loop;
    bus app(loop);
    const std::size_t before = testing::heap_in_use();
    for (std::size_t i = 0; i != members; ++i) make(app, std::to_string(i));
    const std::size_t each = (testing::heap_in_use() - before) / members;
    const std::size_t beyond = each - (each == 0 ? 0 : its_own + sizeof(std::string));
    std::printf("%4zu bytes, %s, %s\n", beyond, what, mode);
    if (beyond > most) all_small = false;
}

template <typename Mode>
void measure_all(const char* name, const Mode& mode) {
    measure("endpoint", name, sizeof(detail::handler_of<ignoring, note>),
            [&](bus& app, const std::string& i) { app.handle<note>(i, mode, ignore); });
    const auto subscribers = [&](const char* what, auto pattern) {
        measure(what, name, sizeof(detail::subscriber_handler<ignoring, note>),
                [&](bus& app, const std::string& i) {
                    app.subscribe<note>(pattern(i), mode, ignore).keep();
                });
    };
    subscribers("subscriber of one topic", [](const std::string&) { return "topic"; });
    subscribers("subscriber of its own", [](const std::string& i) { return i; });
    subscribers("subscriber of any below its own", [](const std::string& i) { return i + ".*"; });
    subscribers("subscriber of all below its own", [](const std::string& i) { return i + ".>"; });
}

}  // namespace

int main() {
    measure_all("serial", serial);
    measure_all("parallel", parallel(4));
    measure_all("keyed", keyed(&note::key));
    if (!all_small) std::printf("more than %zu\n", most);
    return all_small ? 0 : 1;
}
