// What a bus and its clients share, and how it ends.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/detail/asymmetric_fence.hpp>
#include <posthaste/detail/hash_table.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/run/thread_pool.hpp>
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/address.hpp>
#include <posthaste/serve/dead_letters.hpp>
#include <posthaste/serve/endpoint_core.hpp>
#include <posthaste/serve/schedule.hpp>
#include <posthaste/serve/switchboard.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace posthaste {

struct bus_options {
    unsigned threads =
        std::max(1u, std::thread::hardware_concurrency());  ///< of the bus's own pool
    duration deadline = std::chrono::seconds(5);  ///< of a call, where its client says nothing else
    duration grace = std::chrono::seconds(1);  ///< what the destructor gives to what is under way
    std::size_t dead_letters = 1024;  ///< how many are kept
};

/// What a bus and its clients share.
class bus_core : public std::enable_shared_from_this<bus_core> {
public:
    explicit bus_core(bus_options o, executor* on)
        : options(o),
          own(on ? nullptr : detail::make_owned<thread_pool>(o.threads)),
          home(on ? *on : *own),
          dead(o.dead_letters) {
        // Not by the first message: with several threads about it takes milliseconds, once.
        if (home.one_by_one()) static_cast<void>(detail::asymmetric_fence());
    }
    bus_core(const bus_core&) = delete;

    address& find_or_make(std::string_view name) {
        const std::lock_guard guard(mutex);
        const std::size_t hash = std::hash<std::string_view>()(name);
        if (address* const found =
                addresses.find(hash, [&](const address& a) { return a.name == name; }))
            return *found;
        auto made = detail::make_owned<address>(std::string(name), home, draining, options.deadline,
                                                weak_from_this());
        made->later = &later;
        return addresses.insert(hash, std::move(made));
    }
    /// While the bus drains, only what already runs on it may still publish.
    bool shut() const noexcept {
        return gone.load(std::memory_order_relaxed) ||
               (draining.load(std::memory_order_relaxed) && !home.here());
    }
    /// The address has an endpoint. Under `mutex`.
    void add_named(address& a) noexcept {
        *named_end = &a;
        named_end = &a.next_named;
    }
    /// The addresses that have an endpoint.
    template <typename F>
    void for_each_named(F f) {
        for (address* a = guarded_by_mutex(first_named); a; a = guarded_by_mutex(a->next_named))
            f(*a);
    }
    /// Calls `f(lazy_endpoint&)` for those and the subscribers'.
    template <typename F>
    void for_each_endpoint(F f) {
        for_each_named([&](address& a) { f(a.endpoint); });
        topics.for_each([&](subscriber& s) { f(s.endpoint()); });
    }
    // False: all is at rest. One look does not tell, as a message may pass from an endpoint not
    // looked at yet to one that was: so two, and nothing was begun from before the first to after
    // the second.
    bool busy() {
        const std::uint64_t before = begun();
        return any_busy() || any_busy() || begun() != before;
    }
    bool rests_by(time_point end) {
        return home.drive_while([](void* c) { return static_cast<bus_core*>(c)->busy(); }, this,
                                end);
    }
    // A template, as the next one: few files drain, and an account takes long to compile.
    template <typename Account>
    Account accounts() {
        Account sum;
        for_each_named([&](address& a) {
            sum.endpoints.push_back({a.name, a.endpoint.counts(at_rest)});
            sum.total += sum.endpoints.back().messages;
        });
        sum.scheduled = later.given_up();
        topics.for_each_account(at_rest, [&](auto& l) {
            sum.total += l.messages;
            sum.subscribers.push_back(std::move(l));
        });
        sum.unheard = topics.unheard();
        sort(sum.endpoints,
             [](const auto& a, const auto& b) { return a.endpoint.compare(b.endpoint) < 0; });
        sort(sum.subscribers, [](const auto& a, const auto& b) {
            const int order = a.name.compare(b.name);
            return order != 0 ? order < 0 : a.pattern.compare(b.pattern) < 0;
        });
        return sum;
    }

    /// See bus::drain().
    template <typename Account>
    result<Account> drain(duration grace) {
        if (home.here() || drains_here())
            return failure::because(code::would_deadlock, effect::none, "drain() inside the bus");
        const std::lock_guard guard(drain_mutex);
        if (!drained) {
            come_to_rest(grace);
            auto all = detail::make_owned<Account>(accounts<Account>());
            all->in_time = rested_in_time;
            drained = std::move(all);
        }
        return *drained;
    }

    /// The bus goes; its clients may still hold this.
    void end() noexcept {
        if (home.here() || drains_here())
            std::terminate();  // from one of its own handlers, or its drain: it would wait for that
        {
            const std::lock_guard guard(drain_mutex);
            come_to_rest(options.grace);
        }
        for_each_endpoint([](lazy_endpoint& e) { e.discard(); });  // what still may come in
        if (own) own->stop();
        if (home.idle_here()) destroy_what_stands_still();
        else stops_by(never);  // somebody else's threads may still run what does not heed the stop
        {
            const std::lock_guard guard(mutex);
            addresses.for_each([](address& a) { a.gone.store(true, std::memory_order_relaxed); });
        }
        gone.store(true, std::memory_order_relaxed);
        for_each_named([](address& a) { a.endpoint.forget_handler(); });
        topics.end();
        dead.end();
    }

    const bus_options options;
    const detail::owned<thread_pool> own;
    executor& home;
    posthaste::dead_letters dead;
    schedule later{dead};
    std::atomic<bool> draining = false;  // relaxed, as address::gone; see there
    std::atomic<bool> gone = false;  // the same
    switchboard topics;
    std::mutex mutex;  // guards the three below; addresses themselves stay where they are
    detail::hash_table<address> addresses;  // by their names
    address* first_named = nullptr;  // of those that have an endpoint
    address** named_end = &first_named;
    std::mutex drain_mutex;
    bool rested = false;  // guarded by drain_mutex, as the next three
    bool rested_in_time = false;
    bool at_rest = false;  // without force; at_rest and not in time: just after the grace
    detail::owned<drain_account> drained;
    std::atomic<const void*> drainer = nullptr;  // relaxed: each thread looks for itself alone

private:
    // As std::sort, for half the time to compile.
    template <typename Line, typename Before>
    static void sort(std::vector<Line>& all, Before before) {
        std::make_heap(all.begin(), all.end(), before);
        std::sort_heap(all.begin(), all.end(), before);
    }
    address* guarded_by_mutex(address* const& a) {
        const std::lock_guard guard(mutex);
        return a;
    }
    // Of those that are made: the others are at rest.
    template <typename F>
    void for_each_lane(void* with, F f) {
        for_each_endpoint([&](lazy_endpoint& e) {
            if (endpoint_core* const made = e.made()) made->for_each_lane(with, f);
        });
    }
    // What drain() and end() do, once; needs no memory.
    void come_to_rest(duration grace) {
        if (rested) return;
        drainer.store(&detail::this_thread(), std::memory_order_relaxed);
        rest_by_force(grace);
        drainer.store(nullptr, std::memory_order_relaxed);
    }
    // The thread in it is the drainer: hooks and stop callbacks run on that, too.
    bool drains_here() const noexcept {
        return drainer.load(std::memory_order_relaxed) == &detail::this_thread();
    }
    void rest_by_force(duration grace) {
        draining.store(true, std::memory_order_relaxed);
        later.close();
        const time_point end = saturating_add(home.now(), grace);
        rested_in_time = rests_by(end);
        for_each_endpoint([](lazy_endpoint& e) { e.close(); });
        endpoint_core::see_closed(home);
        at_rest = rests_by(end);  // what came in just before has the rest of the grace
        rested_in_time = rested_in_time && at_rest;
        rested = true;
        if (at_rest) return;
        for_each_endpoint([](lazy_endpoint& e) { e.discard(); });
        stops_by(saturating_add(home.now(), std::chrono::milliseconds(100)));
    }
    bool any_busy() {
        if (topics.busy()) return true;
        const std::lock_guard guard(mutex);
        if (later.busy()) return true;
        for (const address* a = first_named; a; a = a->next_named)
            if (!a->endpoint.idle()) return true;
        return false;
    }
    std::uint64_t begun() {
        std::uint64_t sum = topics.begun();
        const std::lock_guard guard(mutex);
        for (const address* a = first_named; a; a = a->next_named) sum += a->endpoint.begun();
        return sum;
    }
    // Asks all handlers to stop until they have; again and again, as one may just be starting.
    bool stops_by(time_point end) {
        return home.drive_while(
            [](void* c) {
                bus_core& self = *static_cast<bus_core*>(c);
                self.for_each_lane(nullptr, [](void*, lane& l) { l.cancel(nullptr); });
                return self.busy();
            },
            this, end);
    }
    void destroy_what_stands_still() noexcept {
        do {
            home.drive_ready();
            for_each_lane(&home, [](void* h, lane& l) {
                while (l.abandon()) static_cast<executor*>(h)->drive_ready();
            });
        } while (busy());  // a sender on another thread is about to bring its message
    }
};

}  // namespace posthaste
