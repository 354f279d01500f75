#include <posthaste/guard/breaker_options.hpp>

#include "../support/catch.hpp"

using namespace posthaste;

TEST_CASE("breaker_options: what tells of trouble, and what is somebody else's doing") {
    const auto tells = [](code c, effect e) { return tells_of_trouble(failure(c, e)); };
    for (const effect e : {effect::none, effect::unknown, effect::complete}) {
        for (const code c : {code::deadline_exceeded, code::overloaded, code::handler_failed,
                             code::no_reply, code::closed, code::unavailable}) {
            CHECK(tells(c, e));
        }
        for (const code c : {code::cancelled, code::rejected, code::no_handler,
                             code::would_deadlock, code::undecodable}) {
            CHECK_FALSE(tells(c, e));
        }
    }
    CHECK_FALSE(tells(code::circuit_open, effect::none));
    CHECK(tells(code::circuit_open, effect::complete));
}
