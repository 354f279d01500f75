#include "../support/catch.hpp"

#include <posthaste/base/failure.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {
struct spoken {
    code value;
    std::string_view words;
};
constexpr std::array all_codes{
    spoken{code::deadline_exceeded, "deadline exceeded"},
    spoken{code::cancelled, "cancelled"},
    spoken{code::rejected, "rejected"},
    spoken{code::overloaded, "overloaded"},
    spoken{code::circuit_open, "circuit open"},
    spoken{code::no_handler, "no handler"},
    spoken{code::would_deadlock, "would deadlock"},
    spoken{code::handler_failed, "handler failed"},
    spoken{code::no_reply, "no reply"},
    spoken{code::closed, "closed"},
    spoken{code::unavailable, "unavailable"},
    spoken{code::undecodable, "undecodable"},
};
}  // namespace

TEST_CASE("failure: every code and effect has words of its own") {
    for (const auto& [value, words] : all_codes) CHECK(to_string(value) == words);
    CHECK(to_string(effect::none) == "none");
    CHECK(to_string(effect::unknown) == "unknown");
    CHECK(to_string(effect::complete) == "complete");
}

TEST_CASE("failure: a code or effect that came from elsewhere and is none of ours is unknown") {
    CHECK(to_string(static_cast<code>(all_codes.size())) == "unknown");
    CHECK(to_string(static_cast<code>(255)) == "unknown");
    CHECK(to_string(static_cast<effect>(3)) == "unknown");
    CHECK(to_string(static_cast<effect>(255)) == "unknown");
}

TEST_CASE("failure: one of which only the code is known has no effect and nothing else") {
    const failure f(code::closed);
    CHECK(f.code() == code::closed);
    CHECK(f.effect() == effect::none);
    CHECK(f.detail().empty());
    CHECK(f.path().empty());
    CHECK(f.retry_after() == 0ns);
    CHECK_FALSE(f.exception());
    CHECK(f.message() == "closed");
}

TEST_CASE("failure: message() names the code, the way and the detail, where there are any") {
    CHECK(failure(code::overloaded, effect::none, "the queue is full").message() ==
          "overloaded: the queue is full");
    CHECK(failure(code::no_reply).path("users").message() == "no reply at users");
    CHECK(failure(code::rejected, effect::complete, "too young").path("users").message() ==
          "rejected at users: too young");
}

TEST_CASE("failure: through() puts each endpoint before those that were there") {
    failure f(code::deadline_exceeded, effect::unknown);
    f.through("warehouse");
    CHECK(f.path() == "warehouse");
    f.through("inventory").through("checkout");
    CHECK(f.path() == "checkout -> inventory -> warehouse");
    CHECK(f.message() == "deadline exceeded at checkout -> inventory -> warehouse");
}

TEST_CASE("failure: because() says a literal, wherever the failure goes") {
    failure f = failure::because(code::overloaded, effect::none, "the queue is full");
    CHECK(f.detail() == "the queue is full");
    CHECK(f.message() == "overloaded: the queue is full");
    const failure copy = f;
    const failure moved = std::move(f);
    CHECK(copy.detail() == "the queue is full");
    CHECK(moved.detail() == "the queue is full");
    CHECK(moved.code() == code::overloaded);
    CHECK(moved.effect() == effect::none);
}

TEST_CASE("failure: effect() changes what happened, and nothing else") {
    failure f(code::no_reply, effect::none, "why");
    CHECK(&f.effect(effect::complete) == &f);
    CHECK(f.effect() == effect::complete);
    CHECK(f.message() == "no reply: why");
}

TEST_CASE("failure: keeps what was thrown, and when to ask again") {
    const auto thrown = std::make_exception_ptr(std::runtime_error("boom"));
    failure f(code::handler_failed, effect::complete);
    f.exception(thrown).retry_after(3s);
    CHECK(f.exception() == thrown);
    CHECK(f.retry_after() == 3s);
    f.retry_after(-1ns);
    CHECK(f.retry_after() == -1ns);
    f.exception(nullptr);
    CHECK_FALSE(f.exception());
}

TEST_CASE("failure: texts of any length and content come back as they went in") {
    const std::string with_nul("a\0b\r\n", 5);
    const std::string large(100'000, 'x');
    const failure f(code::undecodable, effect::none, with_nul);
    CHECK(f.detail() == with_nul);
    CHECK(f.message() == "undecodable: " + with_nul);
    const failure g = failure(code::undecodable, effect::none, large).path(large);
    CHECK(g.message().size() == std::string("undecodable at : ").size() + 2 * large.size());
}

TEST_CASE("failure: a copy is one of its own") {
    failure first(code::rejected, effect::none, "why");
    first.path("a");
    failure second = first;
    second.through("b");
    CHECK(first.path() == "a");
    CHECK(second.path() == "b -> a");
    const failure third = std::move(second);
    CHECK(third.message() == "rejected at b -> a: why");
}

TEST_CASE("failure: a detail may be written later, instead of a literal") {
    failure f = failure::because(code::cancelled, effect::none, "short");
    f.detail("long, and put together");
    CHECK(f.detail() == "long, and put together");
    CHECK(f.message() == "cancelled: long, and put together");
}

TEST_CASE("failed: says what the failure says, and holds it") {
    try {
        throw failed(failure(code::would_deadlock, effect::none, "run() inside").path("x"));
    } catch (const std::runtime_error& e) {
        CHECK(e.what() == std::string("would deadlock at x: run() inside"));
        const auto* f = dynamic_cast<const failed*>(&e);
        REQUIRE(f);
        CHECK(f->why().code() == code::would_deadlock);
        CHECK(f->why().path() == "x");
    }
}
