// The place everything hangs on.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/name.hpp>
#include <posthaste/base/result.hpp>
#include <posthaste/run/sync_wait.hpp>
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/bus_core.hpp>
#include <posthaste/serve/client.hpp>
#include <posthaste/serve/dead_letters.hpp>
#include <posthaste/serve/keyed_endpoint.hpp>
#include <posthaste/serve/mode.hpp>
#include <posthaste/serve/parallel_endpoint.hpp>
#include <posthaste/serve/serial_endpoint.hpp>

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
/// Threads    any, but for the destructor: one, and none that runs work of the bus
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
    /// The callable takes (M) or (const M&), with or without a context&; it is a plain function or
    /// a task; it returns M::reply or a result of it. It is stored in the bus until the bus is
    /// destroyed.
    ///
    /// Errors     throws `failed` with code rejected: a bad name, a name that is taken, a bad
    ///            capacity.
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
    /// The same, calling by policies: `deadline(300ms) | retry() | breaker()`, the outermost first.
    /// What they do is for calls; a send does not ask them.
    /// Errors     rejected, too: more than `max_layers` of them.
    template <typename... Ms, policy Policy>
    posthaste::client<Ms...> client(std::string_view name, const Policy& policy) const {
        static_assert(!detail::repeats<Policy> || (std::copy_constructible<Ms> && ...),
                      "policies: what repeats a call needs a message that can be copied; hold what "
                      "cannot be copied in a std::shared_ptr, or leave out retry and hedge");
        call_settings settings{deadline()};
        policy.apply(settings);
        settings.repeats = detail::repeats<Policy>;
        if (settings.layers.size() > max_layers) {
            detail::raise(failed(failure::because(code::rejected, effect::none,
                                                  "policies: at most 12 for one client")));
        }
        return posthaste::client<Ms...>(address_of(name), std::move(settings));
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

    /// The account of one endpoint as it is now; exact at rest. All zero for an unknown name.
    account counts(std::string_view name) const;

    /// Ends the bus: takes nothing more from outside, finishes what is under way, asks what
    /// remains at the end of `grace` to stop, gives up what is queued still, and says what became
    /// of everything.
    ///
    /// Errors     would_deadlock from a thread that runs work of the bus; throws bad_alloc where
    ///            there is no memory for the account. A second call gives the first one's account.
    template <typename Rep, typename Period>
    result<drain_account> drain(std::chrono::duration<Rep, Period> grace) {
        return drain_for(to_duration(grace));
    }

private:
    duration deadline() const noexcept;
    std::shared_ptr<const address> address_of(std::string_view name) const;
    result<void> add(
        std::string_view name, std::string_view fault,
        const std::function<std::unique_ptr<endpoint_core>(bus_core&, std::string)>& make);
    result<drain_account> drain_for(duration grace);
    template <typename... Ms, typename Mode>
    static std::unique_ptr<endpoint_core> make(bus_core& c, std::string name, const Mode& mode,
                                               std::unique_ptr<handler> h);

    // (1) releases an endpoint, as it was made, to the clients that find it: address (1).
    std::shared_ptr<bus_core> core_;
};

inline bus::bus(bus_options options) : core_(std::make_shared<bus_core>(options, nullptr)) {}
inline bus::bus(executor& on, bus_options options)
    : core_(std::make_shared<bus_core>(options, &on)) {}

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
    core_->for_each_endpoint([&](endpoint_core& e) {
        if (e.name() == name) a = e.counts();
    });
    return a;
}

inline result<void> bus::add(
    std::string_view name, std::string_view fault,
    const std::function<std::unique_ptr<endpoint_core>(bus_core&, std::string)>& make) {
    if (!fault.empty()) return failure(code::rejected, effect::none, std::string(fault));
    fault = name_fault(name);
    if (!fault.empty()) return detail::bad_name(name, fault);
    if (core_->draining.load(std::memory_order_relaxed))
        return failure(code::closed).path(std::string(name));
    address& at = core_->find_or_make(name);
    auto made = make(*core_, std::string(name));
    const std::lock_guard guard(core_->mutex);
    if (core_->draining.load(std::memory_order_relaxed))  // else drain() sees the endpoint
        return failure(code::closed).path(at.name);
    if (at.endpoint.load(std::memory_order_relaxed)) {
        return failure::because(code::rejected, effect::none, "that name has a handler already")
            .path(at.name);
    }
    core_->endpoints.push_back(std::move(made));
    at.endpoint.store(core_->endpoints.back().get(), std::memory_order_release);  // (1)
    return {};
}

template <typename... Ms, typename Mode, typename Fn>
result<void> bus::try_handle(std::string_view name, const Mode& mode, Fn fn) {
    static_assert(sizeof...(Ms) > 0,
                  "bus.handle: name the messages; write bus.handle<M>(name, fn)");
    return add(name, mode.fault(), [&](bus_core& c, std::string n) {
        if constexpr (detail::redelivers<Mode>) {
            static_assert((detail::takes_const<Fn, Ms> && ...),
                          "at_least_once: the handler takes the message away, but it may be needed "
                          "again; write [](const M& m)");
            using handler_type = detail::handler_of<detail::keeping_handler<Fn>, Ms...>;
            auto made = make<Ms...>(
                c, std::move(n), mode.mode(),
                std::make_unique<handler_type>(detail::keeping_handler<Fn>(std::move(fn))));
            made->deliver_at_least_once(mode.how());
            return made;
        } else {
            using handler_type = detail::handler_of<Fn, Ms...>;
            return make<Ms...>(c, std::move(n), mode,
                               std::make_unique<handler_type>(std::move(fn)));
        }
    });
}

template <typename... Ms, typename Mode>
std::unique_ptr<endpoint_core> bus::make(bus_core& c, std::string name, const Mode& mode,
                                         std::unique_ptr<handler> h) {
    if constexpr (std::same_as<Mode, serial_mode>) {
        return std::make_unique<serial_endpoint>(std::move(name), c.home, c.dead, std::move(h),
                                                 mode);
    } else if constexpr (std::same_as<Mode, parallel>) {
        return std::make_unique<parallel_endpoint>(std::move(name), c.home, c.dead, std::move(h),
                                                   mode);
    } else {
        using key_of = std::remove_cvref_t<decltype(mode.key_of())>;
        static_assert((std::invocable<const key_of&, const Ms&> && ...),
                      "keyed: the key cannot be had from every message; write keyed(&M::key), or a "
                      "function that takes each of them");
        using key = std::remove_cvref_t<
            std::invoke_result_t<const key_of&, const std::tuple_element_t<0, std::tuple<Ms...>>&>>;
        static_assert(
            requires(const key& k) {
                { std::hash<key>()(k) } -> std::convertible_to<std::size_t>;
            }, "keyed: the key has no std::hash; choose another key, or specialise std::hash");
        return std::make_unique<keyed_endpoint<key_of, key, Ms...>>(std::move(name), c.home, c.dead,
                                                                    std::move(h), mode);
    }
}

inline result<drain_account> bus::drain_for(duration grace) { return core_->drain(grace); }

inline bus::~bus() { core_->end(); }

}  // namespace posthaste
