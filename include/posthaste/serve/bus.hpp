// The place everything hangs on.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: all that a user may ask of a bus stands here.

#include <posthaste/base/name.hpp>
#include <posthaste/base/result.hpp>
#include <posthaste/detail/make_shared.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/bus_core.hpp>
#include <posthaste/serve/client.hpp>
#include <posthaste/serve/dead_letters.hpp>
#include <posthaste/serve/express.hpp>
#include <posthaste/serve/lazy_endpoint.hpp>
#include <posthaste/serve/mode.hpp>
#include <posthaste/serve/publisher.hpp>
#include <posthaste/serve/subscriber_handler.hpp>
#include <posthaste/serve/subscription.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace posthaste {

/// Carries messages between endpoints, each a handler with a name and a queue.
///
///     bus app;
///     app.handle<get_profile>("users", [](get_profile q) -> task<profile> { ... });
///     auto users = app.client<get_profile>("users");
///
/// It owns a thread_pool, or works on an executor it is given, which must outlive it.
///
/// Threads    any, but for the destructor: one, and none that runs work of its executor
///            (std::terminate()).
/// Errors     what cannot be, as two handlers for one name, is refused by an exception `failed`,
///            or by try_handle() as a value.
class bus {
public:
    explicit bus(bus_options options = {});
    explicit bus(executor& on, bus_options options = {});
    bus(const bus&) = delete;

    /// Drains with the options' grace, if drain() has not been called. Handlers that stand still
    /// and do not heed the stop are destroyed then, and their callers hear `no_reply`. What nothing
    /// can end is waited for: a handler that blocks its thread; and, on an executor of somebody
    /// else's whose threads run on, one that stands still on something of the user's own that heeds
    /// no stop, as it may be resumed at any moment.
    ~bus();

    executor& home() const noexcept;

    /// Makes an endpoint: `fn` handles the messages Ms sent or called under `name`.
    ///
    ///     app.handle<order>("shop", keyed(&order::customer).capacity(64), handler);
    ///     app.handle<deposit, withdraw>("account", account{});   // it has an operator() for each
    ///
    /// The callable takes (M) or (const M&), alone, with a context& or with an outbox&; it is a
    /// plain function or a task; it returns M::reply or a result of it. It is stored in the bus
    /// until the bus is destroyed.
    ///
    /// Errors     throws `failed` with code rejected: a bad name, a name that is taken, a bad
    ///            capacity.
    /// Cost       at most 256 bytes beyond the name and the callable; its queue and what else it
    ///            needs is made with its first message, which is refused as overloaded if there is
    ///            no memory for that.
    template <typename... Ms, typename Fn>
    void handle(std::string_view name, Fn fn) {
        handle<Ms...>(name, serial, std::move(fn));
    }
    template <typename... Ms, typename Mode, typename Fn>
    void handle(std::string_view name, const Mode& mode, Fn fn) {
        auto done = try_handle<Ms...>(name, mode, std::move(fn));
        if (!done) detail::raise(failed(std::move(done).error()));
    }
    template <typename... Ms, typename Mode, typename Fn>
    [[nodiscard]] result<void> try_handle(std::string_view name, const Mode& mode, Fn fn);

    /// A client of the endpoint of that name, which may also be made later.
    /// Errors     throws `failed` with code rejected: a bad name.
    template <typename... Ms>
    posthaste::client<Ms...> client(std::string_view name) const {
        return posthaste::client<Ms...>(address_of(name), call_settings{deadline()});
    }
    /// The same, calling by policies: `deadline(300ms) | retry() | breaker()`, the outermost
    /// first. What they do is for calls; a send does not ask them.
    /// Errors     rejected, too: more than `max_layers` of them; one of the user's that does not
    ///            say what it holds, see policy.
    template <typename... Ms, policy Policy>
    posthaste::client<Ms...> client(std::string_view name, const Policy& policy) const {
        static_assert(!detail::repeats<Policy> || (std::copy_constructible<Ms> && ...),
                      "policies: what repeats a call needs a message that can be copied; hold what "
                      "cannot be copied in a std::shared_ptr, or leave out retry");
        static_assert(!detail::repeats_within_hedge<Policy>,
                      "policies: what repeats a call cannot stand inside of hedge; write "
                      "retry() | hedge()");
        static_assert(detail::fits<Policy, reply_t<Ms>...>,
                      "policies: what is given instead of a reply has another type; write "
                      "fallback(T(...)), where T is the message's reply");
        call_settings settings{deadline()};
        policy.apply(settings);
        if ((settings.repeats && !detail::repeats<Policy>) ||
            (settings.hedge && !detail::hedges<Policy>)) {
            detail::raise(failed(failure::because(
                code::rejected, effect::none,
                "policies: one that holds a retry or a hedge must say so: repeats, hedges")));
        }
        settings.repeats = detail::repeats<Policy>;
        if (!settings.hedge)
            settings.express = detail::way_through(typename detail::layers_of<Policy>::type());
        if (settings.layers.size() > max_layers) {
            detail::raise(failed(failure::because(code::rejected, effect::none,
                                                  "policies: at most 12 for one client")));
        }
        return posthaste::client<Ms...>(address_of(name), std::move(settings));
    }

    /// Has `fn` listen to topics, for as long as the subscription lives: it handles each message E
    /// that is published to a topic that matches. Each subscriber has a queue of its own, so none
    /// waits for another.
    ///
    ///     auto audit = app.subscribe<order_placed>("orders.*", serial.capacity(64), handler);
    ///
    /// The callable takes (const E&), or (E) for a copy of its own, alone, with a context& or with
    /// an outbox&. It is destroyed once the subscription has ended and nothing of it runs any more.
    /// Any number may subscribe, at any time, also inside a handler.
    ///
    /// Errors     throws `failed` with code rejected: a bad pattern, name or capacity; closed: the
    ///            bus drains.
    /// Cost       as handle(); for a pattern with a `*` before its end 110 bytes more for each
    ///            token up to which no other one of those is the same.
    template <typename E, typename Fn>
    subscription subscribe(const topics& which, Fn fn) {
        return subscribe<E>(which, serial, std::move(fn));
    }
    template <typename E, typename Mode, typename Fn>
    subscription subscribe(const topics& which, const Mode& mode, Fn fn) {
        auto done = try_subscribe<E>(which, mode, std::move(fn));
        if (!done) detail::raise(failed(std::move(done).error()));
        return *std::move(done);
    }
    template <typename E, typename Mode, typename Fn>
    [[nodiscard]] result<subscription> try_subscribe(const topics& which, const Mode& mode, Fn fn);

    /// Publishes an E, built of the arguments, to a topic: see publisher::publish(). For a topic
    /// that is published to often, a publisher saves looking it up by its name.
    ///
    ///     app.publish<order_placed>("orders.placed", 7, "tea");
    ///
    /// Errors     as publisher::publish(); rejected: a bad topic, and error() says what is wrong
    ///            with it.
    template <typename E, typename... Args>
    published publish(std::string_view topic, Args&&... args) noexcept;

    /// Errors     throws `failed` with code rejected: a bad topic.
    template <typename E>
    posthaste::publisher<E> publisher(std::string_view topic) {
        return publisher_of<E>(topic, false);
    }
    /// One that keeps the latest message of its topic, for those who come later.
    template <typename E>
    posthaste::publisher<E> publisher(std::string_view topic, keep_latest_t) {
        return publisher_of<E>(topic, true);
    }

    /// Runs `fn()`, a task, on the bus and gives its value; the calling thread waits. `fn` is kept
    /// until then, so its captures are safe.
    /// Errors     throws what the task throws, and `failed` with code would_deadlock from a thread
    ///            that runs work of the bus.
    template <std::invocable Fn>
    auto run(Fn&& fn) {
        static_assert(detail::a_task<std::invoke_result_t<Fn&>>,
                      "bus.run: the callable must return a task; write [&]() -> task<T> { ... }");
        if (home().here())
            detail::raise(failed(
                failure::because(code::would_deadlock, effect::none, "run() inside the bus")));
        return sync_wait(home(), std::invoke(fn));
    }

    posthaste::dead_letters& dead_letters() noexcept;

    /// The account of one endpoint as it is now; exact at rest. Of the subscribers of that name
    /// together, where no endpoint has it. All zero for an unknown name.
    account counts(std::string_view name) const;

    /// Ends the bus: takes nothing more from outside, finishes what is under way, asks what
    /// remains at the end of `grace` to stop, gives up what is queued still, and says what became
    /// of everything.
    ///
    /// Errors     would_deadlock from a thread that runs work of its executor, and from what it
    ///            calls, as hooks; throws bad_alloc where there is no memory for the account. A
    ///            second call gives the first one's account.
    template <typename Rep, typename Period>
    result<drain_account> drain(std::chrono::duration<Rep, Period> grace) {
        return core_->drain<drain_account>(to_duration(grace));
    }

private:
    friend class outbox;
    duration deadline() const noexcept;
    template <typename... Ms, typename Mode>
    detail::owned<endpoint_plan> plan(std::string_view name, detail::owned<handler> h,
                                      const Mode& mode) const {
        return detail::make_plan<Mode, Ms...>(name, core_->home, core_->dead, std::move(h), mode);
    }
    std::shared_ptr<const address> address_of(std::string_view name) const;
    result<void> may_have(std::string_view name, std::string_view fault) const;
    result<void> add(std::string_view name, detail::owned<endpoint_plan> plan);
    template <typename E>
    posthaste::publisher<E> publisher_of(std::string_view topic, bool keeps) {
        if (const auto fault = name_fault(topic); !fault.empty())
            detail::raise(failed(detail::bad_name(topic, fault)));
        return posthaste::publisher<E>(core_, topic, keeps);
    }

    std::shared_ptr<bus_core> core_;
};

inline bus::bus(bus_options options) : core_(detail::make_shared<bus_core>(options, nullptr)) {}
inline bus::bus(executor& on, bus_options options)
    : core_(detail::make_shared<bus_core>(options, &on)) {}

inline executor& bus::home() const noexcept { return core_->home; }
inline dead_letters& bus::dead_letters() noexcept { return core_->dead; }
inline duration bus::deadline() const noexcept { return core_->options.deadline; }

inline std::shared_ptr<const address> bus::address_of(std::string_view name) const {
    if (const auto fault = name_fault(name); !fault.empty()) {
        detail::raise(failed(detail::bad_name(name, fault)));
    }
    return std::shared_ptr<const address>(core_, &core_->find_or_make(name));
}

inline account bus::counts(std::string_view name) const {
    account a;
    bool found = false;
    core_->for_each_named([&](address& at) {
        if (at.name == name) a = at.endpoint.counts(), found = true;
    });
    if (found) return a;
    core_->topics.for_each_account(false, [&](const drain_account::subscriber_line& l) {
        if (l.name == name) a += l.messages;
    });
    return a;
}

// Whether there may be an endpoint of that name; `fault`: of its mode.
inline result<void> bus::may_have(std::string_view name, std::string_view fault) const {
    if (!fault.empty()) return failure(code::rejected, effect::none, std::string(fault));
    fault = name_fault(name);
    if (!fault.empty()) return detail::bad_name(name, fault);
    if (core_->draining.load(std::memory_order_relaxed))
        return failure(code::closed).path(std::string(name));
    return {};
}

inline result<void> bus::add(std::string_view name, detail::owned<endpoint_plan> plan) {
    address& at = core_->find_or_make(name);
    const std::lock_guard guard(core_->mutex);
    if (core_->draining.load(std::memory_order_relaxed))  // else drain() sees the endpoint
        return failure(code::closed).path(at.name);
    if (!at.endpoint.give(std::move(plan)))
        return failure::because(code::rejected, effect::none, "that name has a handler already")
            .path(at.name);
    core_->add_named(at);
    return {};
}

template <typename... Ms, typename Mode, typename Fn>
result<void> bus::try_handle(std::string_view name, const Mode& mode, Fn fn) {
    static_assert(sizeof...(Ms) > 0,
                  "bus.handle: name the messages; write bus.handle<M>(name, fn)");
    if (auto may = may_have(name, mode.fault()); !may) return may;
    detail::owned<handler> h;
    if constexpr (detail::redelivers<Mode>) {
        static_assert((detail::takes_const<Fn, Ms> && ...),
                      "at_least_once: the handler takes the message away, but it may be needed "
                      "again; write [](const M& m)");
        using kept = detail::keeping_handler<Fn>;
        h.reset(new detail::handler_of<kept, Ms...>(kept(std::move(fn))));
    } else {
        h.reset(new detail::handler_of<Fn, Ms...>(std::move(fn)));
    }
    return add(name, plan<Ms...>(name, std::move(h), mode));
}

template <typename E, typename Mode, typename Fn>
result<subscription> bus::try_subscribe(const topics& which, const Mode& mode, Fn fn) {
    if (const auto fault = mode.fault(); !fault.empty())
        return failure(code::rejected, effect::none, std::string(fault));
    if (const auto fault = pattern_fault(which.pattern()); !fault.empty())
        return detail::bad_name(which.pattern(), fault);
    if (which.is_named()) {
        if (const auto fault = name_fault(which.name()); !fault.empty())
            return detail::bad_name(which.name(), fault);
    }
    detail::owned<handler> h(new detail::subscriber_handler<Fn, E>(std::move(fn)));
    const std::string name = which.is_named() ? which.name() : std::string();
    auto s = detail::make_owned<subscriber>(
        core_->topics, which.pattern(), name,
        plan<const E>(name.empty() ? which.pattern() : name, std::move(h), mode));
    if (!core_->topics.add(*s, core_->draining, [&] {
            if (which.wants_latest()) detail::hear_latest<E>(core_->topics, *s);
        })) {
        return failure(code::closed).path(which.name());
    }
    return subscription(core_, *s.release());
}

template <typename E, typename... Args>
published bus::publish(std::string_view topic, Args&&... args) noexcept {
    static_assert(detail::checked_message<E>());
    static_assert(
        requires { E{std::forward<Args>(args)...}; },
        "these arguments make no message E; write the members as in E{...}, or pass an E");
    if (core_->shut()) return {.why_not = code::closed};
    auto to = core_->topics.recall(detail::type_of<E>, topic);
    if (!to) {
        if (const auto fault = name_fault(topic); !fault.empty())
            return {.why_not = code::rejected, .fault = fault.data()};
        to = core_->topics.look_up(detail::type_of<E>, topic);
    }
    return detail::publish_to<E>(*core_, to.get(), std::forward<Args>(args)...);
}

namespace detail {
/// A topic by its name, for an outbox.
template <typename E>
struct held_topic {
    using text = std::basic_string<char, std::char_traits<char>, recycling_allocator<char>>;
    std::shared_ptr<bus_core> on;
    text topic;
    bus_core& core() const noexcept { return *on; }
    listeners::reference hear(shared_message<E>&) const noexcept {
        auto to = on->topics.recall(type_of<E>, topic);
        return to ? to : on->topics.look_up(type_of<E>, topic);
    }
};
}  // namespace detail

template <typename E, typename... Args>
result<void> outbox::publish(bus& on, std::string_view topic, Args&&... args) noexcept {
    static_assert(detail::checked_message<E>());
    static_assert(
        requires { E{std::forward<Args>(args)...}; },
        "these arguments make no message E; write the members as in E{...}, or pass an E");
    if (on.core_->shut()) return detail::failure_at(topic, code::closed);
    using to = detail::held_topic<E>;
    return detail::guarded(
        [&]() -> result<void> {
            if (const auto fault = name_fault(topic); !fault.empty())
                return detail::bad_name(topic, fault);
            return detail::hold_publication<E>(*this, to{on.core_, typename to::text(topic)},
                                               std::forward<Args>(args)...);
        },
        [&](const std::exception_ptr&) -> result<void> {
            return detail::failure_at(topic, code::overloaded, effect::none,
                                      "no memory for the message");
        });
}

inline bus::~bus() { core_->end(); }

}  // namespace posthaste
