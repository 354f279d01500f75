#include "../support/catch.hpp"

#include <posthaste/base/result.hpp>

#include <any>
#include <array>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace posthaste;

namespace {
failure no(const char* why = "no") { return failure(code::rejected, effect::none, why); }

/// Counts itself, so that a double or a forgotten destruction shows.
struct counted {
    static inline int alive = 0;
    int value = 0;
    counted() { ++alive; }
    explicit counted(int v) : value(v) { ++alive; }
    counted(const counted& other) : value(other.value) { ++alive; }
    counted(counted&& other) noexcept : value(std::exchange(other.value, -1)) { ++alive; }
    counted& operator=(const counted&) = delete;  // a result needs only construction
    ~counted() { --alive; }
};

struct throws_when_copied {
    throws_when_copied() = default;
    throws_when_copied(const throws_when_copied&) { throw std::runtime_error("copy"); }
    throws_when_copied(throws_when_copied&&) noexcept {}
};

struct no_default {
    explicit no_default(int v) : value(v) {}
    int value;
};
}  // namespace

TEST_CASE("result: holds a value") {
    result<std::string> r = std::string("here");
    CHECK(r.has_value());
    CHECK(static_cast<bool>(r));
    CHECK(*r == "here");
    CHECK(r->size() == 4);
    r->append("!");
    CHECK(std::as_const(r)->size() == 5);
    CHECK(*std::as_const(r) == "here!");
    const std::string out = *std::move(r);
    CHECK(out == "here!");
}

TEST_CASE("result: or holds a failure") {
    const result<std::string> r = no("why not");
    CHECK_FALSE(r.has_value());
    CHECK_FALSE(static_cast<bool>(r));
    CHECK(r.error().code() == code::rejected);
    CHECK(r.error().detail() == "why not");
    result<int> s = no("moved");
    const failure out = std::move(s).error();
    CHECK(out.detail() == "moved");
}

TEST_CASE("result: by default is the default value, where there is one") {
    CHECK(*result<int>() == 0);
    CHECK(result<std::string>()->empty());
    CHECK(result<void>().has_value());
    CHECK_FALSE(std::is_default_constructible_v<result<no_default>>);
}

TEST_CASE("result: builds the value in place") {
    const result<std::string> r(std::in_place, 3, 'x');
    CHECK(*r == "xxx");
    CHECK(result<no_default>(std::in_place, 4)->value == 4);
}

TEST_CASE("result: takes and gives what can only be moved") {
    result<std::unique_ptr<int>> r = std::make_unique<int>(5);
    CHECK(**r == 5);
    result<std::unique_ptr<int>> s = std::move(r);
    CHECK(**s == 5);
    r = no();
    CHECK_FALSE(r);
    r = std::move(s);
    const std::unique_ptr<int> out = std::move(r).or_throw();
    CHECK(*out == 5);
    CHECK_FALSE(std::is_copy_constructible_v<result<std::unique_ptr<int>>>);
    CHECK(std::is_nothrow_move_constructible_v<result<std::unique_ptr<int>>>);
    CHECK(std::move(s).value_or(std::make_unique<int>(6)) == nullptr);  // moved from, still a value
    result<std::unique_ptr<int>> t = no();
    CHECK(*std::move(t).value_or(std::make_unique<int>(6)) == 6);
}

TEST_CASE("result: copies, moves and assigns every state over every other") {
    {
        const std::array<result<counted>, 2> from{result<counted>(counted(1)), no("from")};
        for (const auto& source : from) {
            for (const auto& before : from) {
                result<counted> copied = before;
                copied = source;
                CHECK(copied.has_value() == source.has_value());
                if (source) CHECK(copied->value == 1);
                else CHECK(copied.error().detail() == "from");

                result<counted> given = source;
                result<counted> moved = before;
                moved = std::move(given);
                CHECK(moved.has_value() == source.has_value());
                if (source) CHECK(given->value == -1);

                auto& self = copied;
                copied = self;
                CHECK(copied.has_value() == source.has_value());
                if (source) CHECK(copied->value == 1);
            }
        }
    }
    CHECK(counted::alive == 0);
}

TEST_CASE("result: an assignment whose copy throws leaves it as it was") {
    result<throws_when_copied> r = no("as it was");
    const result<throws_when_copied> value{};
    CHECK_THROWS_AS(r = value, std::runtime_error);
    CHECK_FALSE(r.has_value());
    CHECK(r.error().detail() == "as it was");
}

TEST_CASE("result: or_throw() gives the value, or throws `failed` with the failure") {
    CHECK(result<int>(3).or_throw() == 3);
    const result<int> named = 4;
    CHECK(named.or_throw() == 4);
    const result<int> bad = no("late");
    CHECK_THROWS_AS(bad.or_throw(), failed);
    try {
        static_cast<void>(result<int>(no("late").path("users")).or_throw());
        FAIL("it did not throw");
    } catch (const failed& f) {
        CHECK(f.why().detail() == "late");
        CHECK(f.what() == std::string("rejected at users: late"));
    }
}

TEST_CASE("result: or_throw() throws what the handler threw, if it threw") {
    failure f(code::handler_failed, effect::complete);
    f.exception(std::make_exception_ptr(std::out_of_range("index")));
    const result<int> r = f;
    const result<void> v = f;
    CHECK_THROWS_AS(r.or_throw(), std::out_of_range);
    CHECK_THROWS_AS(v.or_throw(), std::out_of_range);
    f.exception(std::make_exception_ptr(7));  // no std::exception
    CHECK_THROWS_AS(result<int>(f).or_throw(), int);
}

TEST_CASE("result: value_or() gives the other one only for a failure") {
    CHECK(result<int>(1).value_or(2) == 1);
    CHECK(result<int>(no()).value_or(2) == 2);
    const result<std::string> kept = std::string("kept");
    CHECK(kept.value_or("other") == "kept");
    CHECK(*kept == "kept");
}

TEST_CASE("result: and_then(), transform() and or_else() follow the value or the failure") {
    const auto half = [](int n) -> result<int> {
        if (n % 2 != 0) return no("odd");
        return n / 2;
    };
    const auto text = [](int n) { return std::to_string(n); };
    const auto rescue = [](failure f) -> result<int> {
        if (f.detail() == "odd") return -1;
        return f;
    };
    CHECK(*result<int>(8).and_then(half).transform(text) == "4");
    CHECK(result<int>(7).and_then(half).transform(text).error().detail() == "odd");
    CHECK(*result<int>(7).and_then(half).or_else(rescue) == -1);
    CHECK(*result<int>(6).and_then(half).or_else(rescue) == 3);
    CHECK(result<int>(no("else")).or_else(rescue).error().detail() == "else");

    int seen = 0;
    CHECK(result<int>(9).transform([&](int n) { seen = n; }).has_value());
    CHECK(seen == 9);
    CHECK_FALSE(result<int>(no()).transform([&](int) { seen = 0; }).has_value());
    CHECK(seen == 9);

    result<std::unique_ptr<int>> only_moved = std::make_unique<int>(3);
    CHECK(*std::move(only_moved).transform([](std::unique_ptr<int> p) { return *p; }) == 3);
}

TEST_CASE("result<void>: done, or why not") {
    result<void> good;
    CHECK(good.has_value());
    *good;
    good.or_throw();
    const result<void> bad = no("full");
    CHECK_FALSE(bad.has_value());
    CHECK(bad.error().detail() == "full");
    CHECK_THROWS_AS(bad.or_throw(), failed);
    good = bad;
    CHECK(good.error().detail() == "full");

    int calls = 0;
    const auto count = [&]() -> result<int> { return ++calls; };
    CHECK(*result<void>().and_then(count) == 1);
    CHECK_FALSE(result<void>(no()).and_then(count));
    CHECK(*result<void>().transform([&] { return ++calls; }) == 2);
    CHECK(result<void>().transform([&] { ++calls; }).has_value());
    CHECK_FALSE(result<void>(no()).transform([&] { ++calls; }));
    CHECK(calls == 3);
    const auto forgive = [](const failure&) { return result<void>(); };
    CHECK(result<void>(no()).or_else(forgive));
    CHECK(result<void>().or_else([](failure f) { return result<void>(std::move(f)); }));
}

TEST_CASE("result: values that look like failures, or like truth, are values") {
    const result<bool> truth = false;
    CHECK(truth.has_value());
    CHECK_FALSE(*truth);
    const result<std::any> anything = std::any(no());
    CHECK(anything.has_value());
    CHECK_FALSE(result<std::any>(no()).has_value());
    const result<result<int>> inner = result<int>(no("inner"));
    REQUIRE(inner.has_value());
    CHECK(inner->error().detail() == "inner");
    const result<int*> nothing = nullptr;
    CHECK(nothing.has_value());
}
