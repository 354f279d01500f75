// The examples of the headers' comments, compiled and run: cmake/check_examples.cmake sees that
// each of their lines stands here. Comments and blanks do not count, and `...` is for anything.
#include <posthaste/detail/concurrentqueue.hpp>
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/faults.hpp>
#include <posthaste/prove/simulation.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <tuple>
#include <vector>

using namespace posthaste;
using namespace std::chrono_literals;

namespace {

int bad = 0;
void demand(bool right, const char* what) {
    if (right) return;
    std::printf("not so: %s\n", what);
    ++bad;
}

struct profile {
    std::string name;
};
struct get_profile {
    using reply = profile;
    int user_id;
};  // clang-format off
// clang-format on
struct order {
    using reply = int;
    int id;
    int customer;
};
struct deposit {
    using reply = long;
    long cents;
};
struct withdraw {
    using reply = long;
    long cents;
};
struct check {
    using reply = int;
    static constexpr bool idempotent = true;  // beside its reply
    int sku;
};
struct price_of {
    using reply = long;
    int sku;
};
struct make_report {};
struct send_mail {
    int to;
};
struct line {
    int n;
};

// --- wait, run -----------------------------------------------------------------------------------
task<result<void>> event_example() {
    event ready;
    ready.set();
    if (auto ok = co_await ready.wait(); !ok) co_return ok.error();  // cancelled
    co_return result<void>();
}

int in_use = 0;
void use(semaphore::permit&) { ++in_use; }

task<result<void>> semaphore_example() {
    semaphore slots(4);
    auto slot = co_await slots.acquire();
    if (!slot) co_return slot.error();  // cancelled
    use(*slot);  // is given back at the end of the scope
    co_return result<void>();
}

task<int> twice(int n) { co_return 2 * n; }
task<int> answer() { co_return co_await twice(21); }

int spawned = 0;
task<> scope_example() {
    scope s(co_await this_context);
    s.spawn(
        [](int n) -> task<> {
            spawned += n;
            co_return;
        },
        1);  // clang-format off
    // clang-format on
    co_await s.join();
}

task<std::string> name_of(int n) { co_return std::to_string(n); }

task<std::string> when_all_example() {
    auto both = co_await when_all(name_of(1), name_of(2));
    co_return std::get<0>(both) + std::get<1>(both);
}
task<int> part_of(int n) { co_return 10 * n; }
task<int> when_all_of_an_array_example() {
    int sum = 0;
    std::array parts{part_of(1), part_of(2)};
    for (int n : co_await when_all<task<int>>(std::move(parts))) sum += n;
    co_return sum;
}

task<int> fetch() {
    static_cast<void>(co_await sleep_for(1h));
    co_return 1;
}
task<std::string> when_any_example() {
    auto first = co_await when_any(fetch(), sleep_for(100ms));
    if (first.index() == 1) co_return "too slow";
    co_return "in time";
}

// --- conversations -------------------------------------------------------------------------------
std::string used;
void use(const std::string& name) { used = name; }

task<std::string> result_example(client<get_profile> users) {
    result<profile> answer = co_await users.call(123);
    if (!answer) co_return answer.error().message();
    use(answer->name);
    co_return "no failure";
}

task<int> client_example(bus& bus) {
    auto users = bus.client<get_profile>("users");
    result<profile> p = co_await users.call(123);  // builds get_profile{123} in place
    result<void> ok = users.send(122);  // accepted, or refused at once
    co_return (p.has_value() ? 1 : 0) + (ok.has_value() ? 1 : 0);
}

task<std::string> send_when_room_example(client<line> log, line line) {
    if (auto ok = co_await log.send_when_room(line); !ok) co_return ok.error().message();
    co_return "accepted";
}

struct order_placed {
    int id;
    std::string what;
};
task<int> subscription_example(bus& bus) {
    std::atomic<int> heard = 0;  // both subscribers may be at work at once
    const auto handler = [&](const order_placed& o) { heard += o.id; };
    auto& app = bus;
    auto audit = app.subscribe<order_placed>("orders.*", serial.capacity(64), handler);
    subscription s = bus.subscribe<order_placed>("orders.*", handler);
    auto placed = bus.publisher<order_placed>("orders.placed");
    placed.publish(7, "tea");  // builds order_placed{7, "tea"} in place, once
    app.publish<order_placed>("orders.placed", 7, "tea");
    static_cast<void>(co_await audit.finish());
    auto mine = co_await s.finish();  // or: takes nothing more, and handles what is queued
    static_cast<void>(mine);
    s = bus.subscribe<order_placed>(topics("orders.*").named("audit").latest(), handler);
    s.unsubscribe();  // nothing more is started; what is queued is given up
    s.keep();  // or: it stays until the bus ends
    co_return heard;
}

line make_line() { return {1}; }
task<std::string> permit_example(client<line> log) {
    auto place = co_await log.reserve();  // waits while the queue is full
    if (!place) co_return place.error().message();
    auto ok = place->send(make_line());  // only now is there anything to be sent
    co_return ok ? "sent" : "refused";
}

task<long> gather_example(client<check> stock, client<price_of> price, int sku) {
    auto page = co_await gather(stock.call(sku), price.call(sku));
    auto& [left, cents] = page;  // result<int>, result<long>
    co_return *left** cents;
}

bool scheduled_example(client<get_profile> users, time_point time) {
    users.send_after(250ms, 122);
    bool right = users.send_at(time, 122).cancel();
    {
        auto reminder = users.send_at(time, 122);  // reminder.cancel() says if it was in time
        right = right && reminder.cancel();
    }
    auto reminder = users.send_after(30min, 122);
    if (reminder.cancel()) right = right && true;  // it was not sent, and will not be
    auto beat = users.send_every(1s, 122);  // beat.cancel() ends it
    return right && beat.cancel();
}

std::vector<std::string> notes;
void note(const failure& why) { notes.push_back(why.message()); }
task<long> gather_in_time_example(client<check> stock, client<price_of> price, int sku) {
    auto page = co_await gather(200ms, stock.call(sku), price.call(sku));
    if (auto& left = std::get<0>(page); !left) note(left.error());  // deadline_exceeded, maybe
    co_return std::get<1>(page).value_or(0);
}

task<int> first_of_example(client<check> near, client<check> far, int sku) {
    result<int> left = co_await first_of(near.call(sku), far.call(sku));
    co_return left.value_or(0);
}

int used_replies = 0;
void use(int n) { used_replies += n; }
task<result<void>> quorum_example(client<check> a, client<check> b, client<check> c, int x) {
    auto written = co_await quorum(2, a.call(x), b.call(x), c.call(x));
    if (!written) co_return written.error();  // result<std::array<result<reply>, 3>>
    for (auto& r : *written)
        if (r) use(*r);  // two of them are good, or all three
    co_return result<void>();
}

struct list_orders {
    using reply = stream<order>;
    int customer;
};  // clang-format off
// clang-format on
int orders_used = 0;
void use(const order& o) { orders_used += o.id; }

void handle_list_orders(bus& app) {
    app.handle<list_orders>("orders", [](list_orders q) -> stream<order> {
        for (int id = 1; id <= 3; ++id) co_yield order{id, q.customer};
    });
}
task<result<void>> stream_example(client<list_orders> client) {
    auto orders = co_await client.call(42);  // as soon as the handler is taken up
    if (!orders) co_return orders.error();
    for (;;) {
        auto next = co_await orders->next();
        if (!next) co_return next.error();  // it failed, after all that came before
        if (!*next) break;  // the end
        use(**next);
    }
    co_return result<void>();
}

class account {
public:
    long operator()(deposit d) { return cents_ += d.cents; }
    long operator()(withdraw w) { return cents_ -= w.cents; }

private:
    long cents_ = 0;
};

void bus_examples() {
    bus app;
    app.handle<get_profile>("users", [](get_profile q) -> task<profile> {
        co_return profile{std::to_string(q.user_id)};
    });
    auto users = app.client<get_profile>("users");
    demand(app.run([&] { return result_example(users); }) == "no failure", "result");
    demand(used == "123", "result: the value");
    demand(scheduled_example(users, app.home().now() + 1h), "send_after, send_at, send_every");
    demand(app.run([&] { return client_example(app); }) == 2, "client");

    const auto handler = [](order o) { return o.id; };
    app.handle<order>("shop", keyed(&order::customer).capacity(64), handler);
    app.handle<deposit, withdraw>("account", account{});  // it has an operator() for each
    const auto money = app.client<deposit, withdraw>("account");
    demand(sync_wait(money.call<deposit>(5)).value_or(0) == 5,
           "client: with several message types");

    handle_list_orders(app);
    demand(app.run([&] { return stream_example(app.client<list_orders>("orders")); }).has_value(),
           "stream");
    demand(orders_used == 6, "stream: all values");
    app.handle<line>("log", [](line) {});
    demand(
        app.run([&] { return send_when_room_example(app.client<line>("log"), {1}); }) == "accepted",
        "send_when_room");
    demand(app.run([&] { return permit_example(app.client<line>("log")); }) == "sent", "permit");
    demand(app.run([&] { return subscription_example(app); }) == 28, "subscription");
    app.handle<check>("stock", [](check f) { return f.sku; });
    app.handle<price_of>("price", [](price_of p) { return 10L * p.sku; });
    demand(app.run([&] {
        return gather_example(app.client<check>("stock"), app.client<price_of>("price"), 3);
    }) == 90,
           "gather");
    const auto stock = app.client<check>("stock");
    demand(app.run([&] { return first_of_example(stock, app.client<check>("nobody"), 3); }) == 3,
           "first_of");
    demand(app.run([&] { return quorum_example(stock, stock, stock, 3); }).has_value() &&
               used_replies == 6,
           "quorum");
}

void gather_in_time_examples() {
    simulation world;  // where all that needs no time is in time
    bus app(world);
    app.handle<price_of>("price", [](price_of p) { return 10L * p.sku; });
    demand(app.run([&] {
        return gather_in_time_example(app.client<check>("nobody"), app.client<price_of>("price"),
                                      3);
    }) == 30 && notes.size() == 1,
           "gather: with a deadline");
}

struct payment {
    int rider;
    int amount;
};
task<result<void>> pay(const payment& p) {
    if (p.rider < 0) co_return delivery::reject("there is no such card");
    co_return delivery::retry(2s);
}

struct picture {
    int width;
};
struct resizer {
    void run(const picture& p) { pixels += p.width; }
    int pixels = 0;
};
struct page {
    using reply = int;
    int number;
};

void mode_and_policy_examples() {
    std::array<resizer, 4> resizers;
    bus bus;
    const auto handler = [](order o) { return o.id; };
    bus.handle<order>("shop", serial.capacity(64).full(when_full::wait), handler);
    bus.handle<order>("shipping", keyed(&order::id), handler);
    demand(sync_wait(bus.client<order>("shop").call(1, 2)).value_or(0) == 1, "serial");
    demand(sync_wait(bus.client<order>("shipping").call(2, 2)).value_or(0) == 2, "keyed");

    bus.handle<picture>("resize", parallel(4),
                        [&](const picture& p, context& ctx) { resizers[ctx.slot()].run(p); });
    demand(
        sync_wait(bus.client<picture>("resize").call(16)).has_value() && resizers[0].pixels == 16,
        "parallel");

    bus.handle<page>("press.old", [](page p) { return p.number; });
    bus.handle<page>("press.new", [](page p) { return p.number; });
    std::array group{bus.client<page>("press.old"), bus.client<page>("press.new")};
    bus.handle<page>("print", parallel(2).at_least_once({.in_place = 0}),
                     [&](const page& p, context& ctx) -> task<result<int>> {
                         co_return co_await group[ctx.slot()].call(p);
                     });
    demand(sync_wait(bus.client<page>("print").call(7)).value_or(0) == 7, "a group");

    bus.handle<payment>("pay", keyed(&payment::rider).at_least_once({.attempts = 8}), pay);
    demand(sync_wait(bus.client<payment>("pay").call(0, 1)).error().retry_after() == 2s, "retry");
    demand(sync_wait(bus.client<payment>("pay").call(-1, 1)).error().code() == code::rejected,
           "reject");
}

struct sale {
    int rider;
    int price;
};
struct sold_one {
    int rider;
};
int attempts_at_the_book = 0;
task<result<void>> enter_in_the_book(sale) {
    static_cast<void>(co_await sleep_for(1ms));
    if (++attempts_at_the_book < 3) co_return failure(code::unavailable);
    co_return {};
}

void outbox_example() {
    simulation world;
    bus bus(world);
    int paid = 0, heard = 0;
    bus.handle<payment>("pay", [&](payment p) { paid += p.amount; });
    bus.subscribe<sold_one>("sales.*", [&](const sold_one& s) { heard += s.rider; }).keep();
    const auto pay = bus.client<payment>("pay");
    const auto sold = bus.publisher<sold_one>("sales.made");
    bus.handle<sale>("sales", serial.at_least_once(),
                     [pay, sold](const sale& s, outbox& out) -> task<result<void>> {
                         out.send(pay, s.rider, s.price);  // as pay.send(s.rider, s.price)
                         out.publish(sold, s.rider);  // as sold.publish(s.rider)
                         co_return co_await enter_in_the_book(s);  // if it fails, none is sent
                     });
    demand(bus.client<sale>("sales").send(7, 30).has_value(), "outbox");
    world.advance(1min);
    demand(attempts_at_the_book == 3 && paid == 30 && heard == 7, "outbox: sent once");
}

struct charge {
    using reply = int;
    int order;
};

void dedup_examples() {
    int charged = 0;
    const auto handler = [&](charge) { return ++charged; };
    {
        bus app;
        app.handle<charge>("payment", dedup(10min, &charge::order)(handler));
        for (int i = 0; i != 2; ++i)
            demand(sync_wait(app.client<charge>("payment").call(7)).value_or(0) == 1, "dedup");
    }
    bus app;
    app.handle<charge>("payment", dedup(10min)(handler));  // by context::message_id()
    demand(sync_wait(app.client<charge>("payment").call(7)).value_or(0) == 2, "dedup by id");
}

int told = 0;
void tell(const std::string&) { ++told; }

void guard_examples() {
    simulation world;  // whose time is nobody else's: all calls are in time
    bus bus(world);
    {
        auto stock = bus.client<check>("inventory", deadline(300ms));
        auto report = bus.client<make_report>("reports", deadline(forever));  // none, spelled out
        demand(sync_wait(world, stock.call(1)).error().code() == code::no_handler, "deadline");
        demand(!report.send(), "deadline: none");
    }
    bus.handle<check>("inventory", [](check c) { return c.sku; });
    {
        auto b = breaker({.ratio = 0.3, .open_for = 2s});
        auto stock = bus.client<check>("inventory", deadline(300ms) | b);
        if (b.state() == circuit::open) tell(b.last_cause()->message());
        demand(sync_wait(world, stock.call(1)).value_or(0) == 1 && told == 0, "breaker");
    }
    {
        auto few = limit(100);
        auto stock = bus.client<check>("inventory", few);
        auto price = bus.client<price_of>("prices", few);  // 100 for both together
        demand(sync_wait(world, stock.call(1)).value_or(0) == 1 && few.in_flight() == 0, "limit");
    }
    {
        auto stock = bus.client<check>("inventory", deadline(300ms) | retry({.attempts = 5}));
        demand(sync_wait(world, stock.call(1)).value_or(0) == 1, "retry");
    }
    {
        auto quick = deadline(300ms) | retry() | attempt_timeout(100ms);
        const auto stock = bus.client<check>("inventory", quick);
        demand(sync_wait(world, stock.call(1)).value_or(0) == 1, "attempt_timeout");
    }
    {
        auto spare = budget();
        auto stock = bus.client<check>("inventory", spare | retry());
        auto price = bus.client<price_of>("prices", spare | retry());  // out of the same purse
        demand(sync_wait(world, stock.call(1)).value_or(0) == 1 && spare.taken() == 0, "budget");
    }
    {
        auto spare = budget();
        auto stock = bus.client<check>("inventory", deadline(300ms) | spare | retry() | hedge());
        demand(sync_wait(world, stock.call(1)).value_or(0) == 1 && spare.taken() == 0, "hedge");
    }
    {
        auto stock = bus.client<check>("inventory", fallback(0) | deadline(300ms));
        const long last_price = 5;
        auto price =
            bus.client<price_of>("prices", fallback([](const failure&) -> result<long> {
                                     return last_price;  // or a failure, which is the call's then
                                 }));
        demand(sync_wait(world, stock.call(1)).value_or(2) == 1, "fallback, not used");
        demand(sync_wait(world, price.call(1)).value_or(0) == 5, "fallback");
    }
    {
        auto stock = bus.client<check>("inventory", adaptive_limit());
        auto tcp = adaptive_limit({.by = adapt::aimd, .most = 50});
        auto price = bus.client<price_of>("prices", tcp);
        demand(sync_wait(world, stock.call(1)).value_or(0) == 1 && tcp.most() == 20,
               "adaptive_limit");
    }
    {
        auto mails = bus.client<send_mail>("mail", rate({.per_second = 10, .burst = 5}));
        auto slow = bus.client<check>("partner", rate({.per_second = 2, .wait = 3s}));
        demand(sync_wait(world, mails.call(1)).error().code() == code::no_handler, "rate");
        demand(sync_wait(world, slow.call(1)).error().code() == code::no_handler,
               "rate, with a wait");
    }
    {
        auto stock = bus.client<check>("inventory", deadline(300ms) | shed());
        demand(sync_wait(world, stock.call(1)).value_or(0) == 1, "shed");
    }
}

void simulation_example() {
    const auto my_test = []() -> task<> { static_cast<void>(co_await sleep_for(1h)); };
    simulation world(42);
    bus app(world);
    app.run(my_test);  // returns at once, whatever the time it took in there
    demand(world.now() >= time_point(1h), "simulation: an hour has gone by");
}

void faults_example() {
    simulation world;
    bus bus(world);
    const fault_mix mix = fault_mix().delay(0.2, 1ms, 50ms).fail(0.1, code::unavailable).drop(0.05);
    faults weather(42);  // calm, as yet
    auto stock = bus.client<check>("inventory", deadline(300ms) | weather);
    weather.set(mix);
    weather.set(faults::slow(100ms, 2s));  // from now on
    weather.plan(bus.home().now(),
                 {{1s, faults::failing(0.5)}, {2s, faults::dead()}, {3s, faults::healthy()}});
    demand(!sync_wait(world, stock.call(1)), "faults: nobody is there");
}

// --- the ground ----------------------------------------------------------------------------------
struct job {
    void run() { ran = true; }
    bool ran = false;
};
bool refused = false;
void refuse(job&) { refused = true; }

void queue_example() {
    job some_job;
    detail::shared_queue<job> jobs;
    if (!jobs.put(&some_job)) refuse(some_job);
    while (job* next = jobs.take()) next->run();
    demand(some_job.ran && !refused, "shared_queue");
}

}  // namespace

int main() {
    demand(sync_wait(event_example()).has_value(), "event");
    demand(sync_wait(semaphore_example()).has_value() && in_use == 1, "semaphore");
    demand(sync_wait(answer()) == 42, "task");
    sync_wait(scope_example());
    demand(spawned == 1, "scope");
    demand(sync_wait(when_all_example()) == "12", "when_all");
    demand(sync_wait(when_all_of_an_array_example()) == 30, "when_all of an array");
    demand(sync_wait(when_any_example()) == "too slow", "when_any");
    bus_examples();
    gather_in_time_examples();
    mode_and_policy_examples();
    outbox_example();
    guard_examples();
    dedup_examples();
    simulation_example();
    faults_example();
    queue_example();
    return bad == 0 ? 0 : 1;
}
