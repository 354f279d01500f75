// The obvious code, in the spellings that also g++ 12 compiles right: see README, and patterns A to
// G of what it gets wrong. Each object that is made is counted: none may be destroyed twice.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

int failures = 0;
int alive = 0;  // tracked objects

void check(bool holds, const char* what) {
    if (holds) return;
    std::printf("not so: %s\n", what);
    ++failures;
}

// Notices a second destruction.
class tracked {
public:
    explicit tracked(int n = 0) : n_(std::make_unique<int>(n)) { ++alive; }
    tracked(const tracked& other) : tracked(*other.n_) {}
    tracked(tracked&& other) noexcept : n_(std::move(other.n_)) { ++alive; }
    tracked& operator=(tracked other) noexcept { return std::swap(n_, other.n_), *this; }
    ~tracked() { --alive; }
    int value() const { return n_ ? *n_ : -1; }

private:
    std::unique_ptr<int> n_;
};

constexpr const char* long_text = "a text that is too long to lie within its string object itself";

// Messages are aggregates with members that need destroying.
struct echo {
    using reply = std::string;
    int id;
    std::string text;
    tracked t;
};
struct count {
    using reply = int;
    int n;
};
struct note {
    std::string text;
    tracked t;
};
struct lookup {
    using reply = std::vector<std::string>;
    std::vector<std::string> keys;
};

struct pair_of {  // an aggregate that a task returns
    std::string text;
    tracked t;
};

task<pair_of> make_pair_of(std::string text, int n) {
    co_return pair_of{std::move(text), tracked(n)};
}
task<bool> is_positive(int n) { co_return n > 0; }
task<std::optional<int>> countdown(int& n) {
    if (n == 0) co_return std::nullopt;
    co_return n--;
}
task<int> sum(std::vector<int> v) {
    int s = 0;
    for (const int n : v) s += n;
    co_return s;
}

// A. Messages are made in place, from their members; or passed with a name.
task<> messages(const client<echo>& c, const client<note>& notes) {
    const auto a = co_await c.call(1, long_text, tracked(1));
    check(a && *a == std::string(long_text) + "1", "a call with members");
    const std::string text = long_text;
    const auto b = co_await c.call(2, text, tracked(2));
    check(b && *b == text + "2", "a call with members that have names");
    echo named{3, long_text, tracked(3)};
    const auto d = co_await c.call(named);
    check(d && *d == text + "3" && named.text == long_text, "a call with a copy");
    const auto e = co_await c.call<echo>(std::move(named));
    check(e && *e == text + "3", "a call with a named message, moved");
    check(static_cast<bool>(notes.send(long_text, tracked(4))), "a send with members");
    note n{long_text, tracked(5)};
    check(static_cast<bool>(notes.send<note>(std::move(n))), "a send with a named message, moved");
    // in the middle of an expression, twice
    const std::size_t both = (co_await c.call(6, long_text, tracked(6))).value_or("").size() +
                             (co_await c.call(7, long_text, tracked(7))).value_or("").size();
    check(both == 2 * text.size() + 2, "two calls in an expression");
}

// What a task gives may be an aggregate; it may be taken apart, once it has a name.
task<> aggregates() {
    const pair_of p = co_await make_pair_of(long_text, 1);
    check(p.text == long_text && p.t.value() == 1, "an aggregate comes back");
    auto q = co_await make_pair_of(long_text, 2);
    auto& [text, t] = q;
    check(text == long_text && t.value() == 2, "and can be taken apart");
    check((co_await make_pair_of(long_text, 3)).t.value() == 3, "or used at once");
    check((co_await make_pair_of(std::string(long_text), 4)).text == long_text, "with a temporary");
}

// B. A lambda that is a coroutine has a name, and lives as long as it; in a scope it need not.
task<> lambdas(const client<echo>& c) {
    const tracked t(5);
    const auto by_value = [t, text = std::string(long_text)](int n) -> task<std::string> {
        co_await yield();
        co_return text + std::to_string(t.value() + n);
    };
    check(co_await by_value(1) == std::string(long_text) + "6", "a named lambda");
    const auto calls = [c, t]() -> task<int> {
        const auto r = co_await c.call(1, long_text, t);
        co_return r ? t.value() : -1;
    };
    check(co_await calls() == 5, "a named lambda that calls");
    const auto both = co_await when_all(by_value(2), calls());
    check(std::get<1>(both) == 5, "named lambdas in when_all");

    scope s(co_await this_context);
    int ran = 0;
    s.spawn([&ran, t, text = std::string(long_text)]() -> task<> {
        co_await yield();
        ran += t.value() == 5 && text == long_text;
    });
    s.spawn(
        [&ran](const tracked& given, const std::string& text) -> task<> {
            co_await yield();
            ran += given.value() == 6 && text == long_text;
        },
        tracked(6), long_text);
    co_await s.join();
    check(ran == 2, "temporaries in a scope");
}

// C. Awaiters of ours, as they come, and with a name.
task<> awaiters() {
    event ready;
    ready.set();
    semaphore slots(2);
    check((co_await ready.wait()).has_value(), "an event at once");
    auto slot = co_await slots.acquire();
    check(slot && slots.available() == 1, "a permit");
    {
        const auto second = co_await slots.acquire();
        check(slots.available() == 0, "a second one");
    }
    auto nap = sleep_for(1ms);
    check((co_await nap).has_value(), "a sleep with a name");
    const auto first = co_await when_any(sleep_for(1ms), sleep_for(1h), make_pair_of("x", 1));
    check(first.index() == 2, "awaiters in when_any");
}

// D. What was made for co_yield has a name; tasks do not yield values at all.
// E. Instead of ?: around co_await, if and else.
task<int> choice(bool left, const client<count>& c) {
    int n = 0;
    std::vector<int> list{1, 2, 3};
    if (left) n = (co_await c.call(1)).value_or(-1);
    else n = co_await sum(std::move(list));
    co_return n;
}

// F. A list is made before.
task<> lists(const client<lookup>& c) {
    std::vector<std::string> keys{long_text, long_text};
    const auto found = co_await c.call(std::move(keys));
    check(found && found->size() == 2 && found->front() == long_text, "a list in a message");
    std::vector<task<int>> tasks;
    for (int i = 0; i != 3; ++i) tasks.push_back(sum(std::vector<int>{i, i}));
    int all = 0;
    for (const int n : co_await when_all(std::move(tasks))) all += n;
    check(all == 6, "a loop over what is awaited");
}

// G. Conditions: in a coroutine with local variables co_await may stand in them.
task<int> conditions(const client<count>& c) {
    int turns = 0, left = 3;
    if (co_await is_positive(1)) ++turns;
    if (auto r = co_await c.call(5); r && *r == 5) ++turns;
    while (auto n = co_await countdown(left)) turns += *n;
    for (int i = 0; i != 3; ++i) {
        if (!co_await is_positive(i)) continue;
        ++turns;
    }
    do {
        ++turns;
    } while (turns < 100 && co_await is_positive(50 - turns));
    switch (const auto r = co_await c.call(2); r.value_or(0)) {
        case 2: ++turns; break;
        default: break;
    }
    co_return turns;
}
// In one without any: the condition's own variable, plain statements, co_return.
task<int> no_locals(const client<count>& c) {
    if (auto r = co_await c.call(1)) co_return *r + (co_await c.call(2)).value_or(0);
    co_return co_await sum(std::vector<int>(3, 1));
}

// Several calls at once.
task<> several(const client<echo>& e, const client<count>& c) {
    const auto page = co_await gather(e.call(1, long_text, tracked(1)), c.call(2));
    const auto& [text, n] = page;
    check(text && *text == std::string(long_text) + "1" && n && *n == 2, "gather of calls");
    const auto all = co_await when_all(e.call(2, long_text, tracked(2)), c.call(3), sleep_for(1ms));
    check(std::get<0>(all) && std::get<1>(all).value_or(0) == 3, "when_all of calls");
    const auto first = co_await when_any(c.call(4), sleep_for(1h));
    check(first.index() == 0 && std::get<0>(first).value_or(0) == 4, "when_any of calls");
    auto held = e.call(5, long_text, tracked(5));  // a call with a name
    const auto answer = co_await std::move(held);
    check(answer.has_value(), "a call with a name");
    { const auto dropped = e.call(6, long_text, tracked(6)); }  // never awaited
}

void all_of_it(executor& at) {
    bus app(at);
    app.handle<echo>("echo", [](echo m) -> task<std::string> {
        co_await yield();
        co_return m.text + std::to_string(m.t.value());
    });
    app.handle<count>("count", [](count m) { return m.n; });
    app.handle<note>("notes", [](const note& m) -> task<> {
        co_await yield();
        check(m.text == long_text, "a note");
    });
    app.handle<lookup>("lookup", parallel(2), [](lookup m) -> task<std::vector<std::string>> {
        std::vector<std::string> found;
        for (auto& key : m.keys) found.push_back(std::move(key));
        co_return found;
    });
    const auto e = app.client<echo>("echo");
    const auto c = app.client<count>("count");
    const auto notes = app.client<note>("notes");
    const auto l = app.client<lookup>("lookup");
    const int turns = app.run([&]() -> task<int> {
        co_await messages(e, notes);
        co_await aggregates();
        co_await lambdas(e);
        co_await awaiters();
        check(co_await choice(true, c) == 1, "the one");
        check(co_await choice(false, c) == 6, "the other");
        co_await lists(l);
        check(co_await no_locals(c) == 3, "conditions without locals");
        co_await several(e, c);
        co_return co_await conditions(c);
    });
    check(turns == 51, "conditions with locals");
    if (turns != 51) std::printf("turns: %d\n", turns);
    check(static_cast<bool>(app.drain(1s)), "the end");
}

}  // namespace

int main() {
    {
        simulation world;
        all_of_it(world);
    }
    {
        run_loop loop;
        all_of_it(loop);
    }
    check(alive == 0, "all that was made was destroyed, once");
    if (alive != 0) std::printf("alive: %d\n", alive);
    check(detail::live_frames.load(std::memory_order_relaxed) == 0, "no frame is left");
    return failures == 0 ? 0 : 1;
}
