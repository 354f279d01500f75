// Contract 9: an exception of any type from any of the user's callbacks reaches who should hear of
// it; nothing that was accepted is lost, nothing leaks or hangs, and all works as before after it.
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include <cstdio>

#if defined(__cpp_exceptions)  // without, there is nothing to show

#  include <array>
#  include <atomic>
#  include <chrono>
#  include <coroutine>
#  include <cstddef>
#  include <cstdint>
#  include <exception>
#  include <functional>
#  include <memory>
#  include <stdexcept>
#  include <string>
#  include <thread>
#  include <utility>
#  include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

// --- what is thrown, and where -------------------------------------------------------------------

enum class kind { std_exception, number, odd_class, nested, without_text };
constexpr std::array kinds{kind::std_exception, kind::number, kind::odd_class, kind::nested,
                           kind::without_text};

struct odd {
    std::unique_ptr<int> cannot_be_copied = std::make_unique<int>(7);
    odd() = default;
    odd(const odd& other) : cannot_be_copied(std::make_unique<int>(*other.cannot_be_copied)) {}
};
struct silent : std::exception {
    const char* what() const noexcept override { return nullptr; }
};

[[noreturn]] void throw_one(kind k) {
    switch (k) {
        case kind::std_exception: throw std::runtime_error("thrown");
        case kind::number: throw 42;
        case kind::odd_class: throw odd();
        case kind::without_text: throw silent();
        case kind::nested: break;
    }
    try {
        throw 42;
    } catch (...) {
        std::throw_with_nested(std::logic_error("around it"));
    }
}
bool is_one(const std::exception_ptr& thrown, kind k) {
    if (!thrown) return false;
    try {
        std::rethrow_exception(thrown);
    } catch (const silent&) {
        return k == kind::without_text;
    } catch (const std::logic_error& e) {
        const bool nests = dynamic_cast<const std::nested_exception*>(&e) != nullptr;
        return nests ? k == kind::nested : false;
    } catch (const std::runtime_error& e) {
        return k == kind::std_exception && e.what() == std::string("thrown");
    } catch (int n) {
        return k == kind::number && n == 42;
    } catch (const odd& o) {
        return k == kind::odd_class && *o.cannot_be_copied == 7;
    } catch (...) {
        return false;
    }
}

enum class place {
    nowhere,
    // of a conversation
    function,
    before_task,
    task_at_once,
    task_later,
    nested_call,
    conversion,
    later_conversion,
    construction,
    copy,
    key_of,
    hash,
    equality,
    key_copy,
    hook,
    // of a coroutine
    scope_function,
    scope_task,
    scope_copy,
    all_child,
    any_child,
    run_function,
    run_task,
    ready,
    suspend,
    suspend_bool,
    suspend_handle,
    resume,
    co_await_operator,
    visitor,
    moved_in,
};
std::atomic<place> armed = place::nowhere;
std::atomic<kind> armed_kind = kind::number;
std::atomic<long> thrown_there = 0;
void pass(place p) {
    if (p == place::nowhere || armed != p) return;
    ++thrown_there;
    throw_one(armed_kind);
}
struct arm {
    arm(place p, kind k) noexcept {
        armed_kind = k;
        armed = p;
        thrown_there = 0;
    }
    arm(const arm&) = delete;
    ~arm() { armed = place::nowhere; }
};

int errors = 0;
std::string where;
void demand(bool holds, const char* what) {
    if (holds) return;
    std::printf("not so, %s, kind %d: %s\n", where.c_str(), static_cast<int>(armed_kind.load()),
                what);
    ++errors;
}

// --- a conversation whose every part may throw ---------------------------------------------------

std::atomic<long> alive = 0;
class part {
public:
    part(int n) : n_((pass(place::construction), std::make_unique<int>(n))) { ++alive; }
    part(const part& other) : n_((pass(place::copy), std::make_unique<int>(*other.n_))) { ++alive; }
    part(part&& other) noexcept : n_(std::move(other.n_)) { ++alive; }
    part& operator=(const part&) = delete;
    ~part() { --alive; }
    int value() const noexcept { return n_ ? *n_ : -1; }

private:
    std::unique_ptr<int> n_;
};
struct key {
    int n;
    explicit key(int k) noexcept : n(k) {}
    key(const key& other) : n((pass(place::key_copy), other.n)) {}
    key(key&& other) noexcept : n(other.n) {}
    key& operator=(const key&) = delete;
    bool operator==(const key& other) const { return pass(place::equality), n == other.n; }
};
struct raw {
    int n;
};
struct answer {
    int n;
    explicit answer(int m) noexcept : n(m) {}
    answer(raw r) : n((pass(place::conversion), pass(place::later_conversion), r.n)) {}
};
struct ask {
    using reply = answer;
    key which;
    part what;
};

}  // namespace

template <>
struct std::hash<key> {
    std::size_t operator()(const key& k) const {
        pass(place::hash);
        return static_cast<std::size_t>(k.n) % 2;  // so that keys are compared, too
    }
};

namespace {

task<answer> answered(int n) { co_return answer(n); }

struct tally {
    std::atomic<std::uint64_t> accepted = 0, handled = 0, dead = 0;
    std::atomic<bool> hold = false, holding = false;
};
constexpr int holds_its_key = 50;  // a message's content: its handler does so while `hold`

void make_endpoints(bus& app, tally& t) {
    app.dead_letters().on_letter([&t](const dead_letter&) {
        ++t.dead;
        pass(place::hook);
    });
    app.handle<ask>("function", [&t](const ask& a) {
        pass(place::function);
        if (armed == place::hook) throw_one(armed_kind);  // for the hook to hear of
        ++t.handled;
        return answer(a.what.value());
    });
    app.handle<ask>("before_task", [&t](ask a) {
        pass(place::before_task);
        ++t.handled;
        return answered(a.what.value());
    });
    app.handle<ask>("task", [&t](ask a) -> task<answer> {
        pass(place::task_at_once);
        co_await yield();
        pass(place::task_later);
        ++t.handled;
        co_return answer(a.what.value());
    });
    app.handle<ask>("converted", [&t](const ask& a) {
        if (armed != place::conversion) ++t.handled;
        return raw{a.what.value()};
    });
    app.handle<ask>("converted_later", [&t](ask a) -> task<raw> {
        co_await yield();
        if (armed != place::later_conversion) ++t.handled;
        co_return raw{a.what.value()};
    });
    app.handle<ask>("keyed", keyed([](const ask& a) -> const key& {
                        pass(place::key_of);
                        return a.which;
                    }),
                    [&t](ask a) -> task<answer> {
                        co_await yield();
                        if (a.what.value() == holds_its_key) {
                            t.holding = true;
                            while (t.hold) co_await yield();
                        }
                        ++t.handled;
                        co_return answer(a.what.value());
                    });
    const auto inner = app.client<ask>("function");
    app.handle<ask>("nested", [&t, inner](ask a) -> task<answer> {
        const int n = a.what.value();
        answer got = (co_await inner.call(key(1), n)).or_throw();
        pass(place::nested_call);
        ++t.handled;
        co_return got;
    });
}

struct row {
    place at;
    const char* name;
    const char* endpoint;
    code expected;  // of a call
};
constexpr std::array rows{
    row{place::function, "function", "function", code::handler_failed},
    row{place::function, "function, through another", "nested", code::handler_failed},
    row{place::before_task, "before the task", "before_task", code::handler_failed},
    row{place::task_at_once, "task, at once", "task", code::handler_failed},
    row{place::task_later, "task, later", "task", code::handler_failed},
    row{place::nested_call, "task, after a call", "nested", code::handler_failed},
    row{place::conversion, "conversion", "converted", code::handler_failed},
    row{place::later_conversion, "conversion, later", "converted_later", code::handler_failed},
    row{place::construction, "construction of a message", "task", code::overloaded},
    row{place::copy, "copy of a message", "task", code::overloaded},
    row{place::key_of, "key function", "keyed", code::overloaded},
    row{place::hash, "hash", "keyed", code::overloaded},
    row{place::equality, "equality", "keyed", code::overloaded},
    row{place::key_copy, "copy of a key", "keyed", code::overloaded},
    row{place::hook, "hook", "function", code::handler_failed},
};

// Three keys; two of them share their hash, so that what is compared has something to throw.
task<> talk(client<ask> c, const part& content, tally& t, code expected, kind k,
            long& as_expected) {
    const auto check = [&](const result<answer>& r, int n) {
        if (r) return demand(r->n == n, "the right answer");
        demand(r.error().code() == expected, "it fails as expected");
        const bool kept = expected != code::handler_failed || is_one(r.error().exception(), k);
        demand(kept, "the exception is kept");
        ++as_expected;
        t.hold = false;
    };
    for (int n = 0; n != 6; ++n) {
        if (c.send(key(n % 3), n)) ++t.accepted;
        auto r = co_await c.call(key(n % 3), n);
        check(r, n);
        if (c.send(key(1), content)) ++t.accepted;  // a copy
        r = co_await c.call(key(3), content);
        check(r, 5);
        const auto room = co_await c.send_when_room(key(n), n);
        if (room) ++t.accepted;
    }
}

void converse(executor& at, const row& r, kind k) {
    where = r.name;
    tally t;
    std::uint64_t answered_calls = 0;
    {
        bus app(at);
        make_endpoints(app, t);
        const auto c = app.client<ask>(r.endpoint);
        long as_expected = 0;
        app.run([&]() -> task<> {  // what is known to the endpoint already
            const auto first = co_await c.call(key(7), 7);
            demand(first && first->n == 7, "it works before");
        });
        if (r.at == place::equality) {  // only what is held is compared with
            t.hold = true;
            const auto sent = c.send(key(5), holds_its_key);
            app.run([&]() -> task<> {
                while (sent && !t.holding) co_await yield();
            });
        }
        const part content(5);
        {
            const arm now(r.at, k);
            sync_wait(at, talk(c, content, t, r.expected, k, as_expected));
            t.hold = false;
            const auto letters = app.drain(1min);  // what was sent is handled
            demand(thrown_there > 0 && as_expected > 0, "it was thrown, and told");
            demand(letters->in_time && letters->total.adds_up(), "the account adds up");
            demand(letters->total.left == 0, "nothing is left");
            if (r.at == place::hook)
                demand(app.dead_letters().hook_failures() == t.dead && t.dead > 0, "it is counted");
        }
        const account a = app.counts(r.endpoint);
        answered_calls = a.handled;
        demand(a.handled + a.failed + a.dropped == a.accepted, "each message has one end");
    }
    demand(answered_calls <= t.handled, "what was handled is counted");
    demand(alive == 0, "no message is left");
    demand(detail::live_frames == 0, "no frame is left");

    // the same again, sends only, and then without exceptions
    tally sends;
    {
        bus app(at);
        make_endpoints(app, sends);
        const auto c = app.client<ask>(r.endpoint);
        const part content(5);
        {
            const arm now(r.at, k);
            const auto flood = [&]() -> task<> {
                for (int n = 0; n != 20; ++n) {
                    if (c.send(key(n % 4), n)) ++sends.accepted;
                    if (c.send(key(n % 4), content)) ++sends.accepted;
                    const auto room = co_await c.send_when_room(key(n), n);
                    if (room) ++sends.accepted;
                }
                while (app.counts(r.endpoint).left != 0) co_await yield();
            };
            sync_wait(at, flood());
        }
        const int n = app.run([&]() -> task<int> {
            const auto last = co_await c.call(key(2), 9);
            co_return last ? last->n : -1;
        });
        demand(n == 9, "it works afterwards");
        const auto drained = app.drain(1min);
        demand(drained->in_time && drained->total.adds_up(), "the account adds up");
        const account a = app.counts(r.endpoint);
        demand(a.accepted == sends.accepted + 1, "all that was accepted is in the account");
        demand(a.failed + a.dropped == sends.dead, "what was not handled is a dead letter");
    }
    demand(alive == 0, "no message is left");
    demand(detail::live_frames == 0, "no frame is left");
}

// --- coroutines ----------------------------------------------------------------------------------

struct lands {
    lands() noexcept {}
    bool await_ready() { return pass(place::ready), false; }
    void await_suspend(std::coroutine_handle<> h) { pass(place::suspend), h.resume(); }
    void await_resume() { pass(place::resume); }
};
struct lands_bool : lands {
    bool await_suspend(std::coroutine_handle<>) { return pass(place::suspend_bool), false; }
};
struct lands_handle : lands {
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) {
        return pass(place::suspend_handle), h;
    }
};
struct converts {
    converts() noexcept {}
    lands operator co_await() const { return pass(place::co_await_operator), lands(); }
};

task<> throws(place p) {
    co_await yield();
    pass(p);
}
struct throwing_row {
    place at;
    const char* name;
    task<> (*go)(bus&);
};
task<> in_scope(bus&) {
    scope s(co_await this_context);
    s.spawn(throws, place::scope_task);
    s.spawn([](int) -> task<> { return pass(place::scope_function), throws(place::nowhere); }, 1);
    s.spawn([]() -> task<> { static_cast<void>(co_await sleep_for(1h)); });
    if (armed == place::nowhere) s.request_stop();
    co_await s.join();
}
task<> copy_into_scope(bus&) {
    scope s(co_await this_context);
    const part p(1);
    std::exception_ptr thrown;
    try {
        s.spawn([](const part&) -> task<> { co_await yield(); }, p);
    } catch (...) {
        thrown = std::current_exception();
    }
    co_await s.join();
    if (thrown) std::rethrow_exception(thrown);
}
task<> all(bus&) {
    co_await when_all(throws(place::nowhere), throws(place::all_child), sleep_for(1us));
}
task<> all_in_vector(bus&) {
    std::vector<task<>> tasks;
    for (int i = 0; i != 3; ++i)
        tasks.push_back(throws(i == 1 ? place::all_child : place::nowhere));
    co_await when_all(std::move(tasks));
}
task<> any(bus&) { static_cast<void>(co_await when_any(throws(place::any_child), sleep_for(1h))); }
task<> run_task(bus&) { co_await throws(place::run_task); }
task<> land(bus&) { co_await lands(); }
task<> land_bool(bus&) { co_await lands_bool(); }
task<> land_handle(bus&) { co_await lands_handle(); }
task<> convert(bus&) { co_await converts(); }
task<> visit(bus& app) {
    co_await yield();
    app.dead_letters().for_each([](const dead_letter&) { pass(place::visitor); });
}
task<> furnish(bus& app) {
    const part p(1);
    co_await yield();
    static int n = 0;
    const std::string name = "endpoint" + std::to_string(++n);
    const auto handler = [p](const ask&) { return answer(p.value()); };
    app.handle<ask>(name, handler);
}
constexpr std::array throwing_rows{
    throwing_row{place::scope_function, "function in a scope", &in_scope},
    throwing_row{place::scope_task, "task in a scope", &in_scope},
    throwing_row{place::copy, "copy into a scope", &copy_into_scope},
    throwing_row{place::all_child, "one of all", &all},
    throwing_row{place::all_child, "one of a vector", &all_in_vector},
    throwing_row{place::any_child, "the first", &any},
    throwing_row{place::run_task, "run()'s task", &run_task},
    throwing_row{place::ready, "await_ready", &land},
    throwing_row{place::suspend, "await_suspend", &land},
    throwing_row{place::suspend_bool, "await_suspend, bool", &land_bool},
    throwing_row{place::suspend_handle, "await_suspend, handle", &land_handle},
    throwing_row{place::resume, "await_resume", &land},
    throwing_row{place::resume, "await_resume, bool", &land_bool},
    throwing_row{place::resume, "await_resume, handle", &land_handle},
    throwing_row{place::co_await_operator, "operator co_await", &convert},
    throwing_row{place::visitor, "visitor", &visit},
    throwing_row{place::copy, "copy of a handler", &furnish},
};

void come_out(executor& at, const throwing_row& r, kind k) {
    where = r.name;
    {
        bus app(at);
        app.handle<ask>("fails", [](const ask&) -> answer { throw 1; });
        app.client<ask>("fails").send(key(1), 1);  // a dead letter to look at
        app.run([&]() -> task<> {
            while (app.dead_letters().total() == 0) co_await yield();
        });
        std::exception_ptr thrown;
        {
            const arm now(r.at, k);
            detail::guarded([&] { app.run([&] { return r.go(app); }); },
                            [&](const std::exception_ptr& e) { thrown = e; });
        }
        demand(is_one(thrown, k), "it comes out as it is");
        app.run([&] { return r.go(app); });  // and now nothing throws
    }
    demand(alive == 0, "nothing is left");
    demand(detail::live_frames == 0, "no frame is left");
}
void run_function(executor& at, kind k) {
    where = "run()'s function";
    bus app(at);
    const arm now(place::run_function, k);
    std::exception_ptr thrown;
    detail::guarded(
        [&] {
            app.run([]() -> task<> { return pass(place::run_function), throws(place::nowhere); });
        },
        [&](const std::exception_ptr& e) { thrown = e; });
    demand(is_one(thrown, k), "it comes out as it is");
}

void all_on(executor& at, kind k) {
    for (const row& r : rows) converse(at, r, k);
    for (const throwing_row& r : throwing_rows) come_out(at, r, k);
    run_function(at, k);
}

// An awaiter that throws where it should have suspended does not stand still.
void not_parked() {
    where = "simulation's report";
    simulation world;
    bus app(world);
    const arm now(place::suspend, kind::number);
    app.run([&]() -> task<> {
        try {
            co_await lands();
        } catch (int) {
            demand(world.report().find("parked: 0") != std::string::npos, "nobody is parked");
        }
    });
}

}  // namespace

int main() {
    for (const kind k : kinds) {
        {
            simulation world(static_cast<std::uint64_t>(k) + 1);
            all_on(world, k);
        }
        {
            run_loop loop;
            all_on(loop, k);
        }
        {
            thread_pool pool(2);
            all_on(pool, k);
        }
    }
    not_parked();
    return errors == 0 ? 0 : 1;
}

#else

int main() { return 0; }

#endif
