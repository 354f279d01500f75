// Several at once, and the first of them.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/run/when_all.hpp>
#include <posthaste/wait/inner_stop.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <utility>
#include <variant>

namespace posthaste {

namespace detail {

template <typename... Tasks>
class any_of {
    using outcome = std::variant<value_or_nothing<typename Tasks::value_type>...>;

public:
    static constexpr bool keeps_home = true;
    explicit any_of(Tasks... tasks) noexcept : tasks_(std::move(tasks)...) {}
    any_of(any_of&& not_yet) noexcept : tasks_(std::move(not_yet.tasks_)) {}

    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        frame& parent = h.promise();
        inner_.open(*parent.under);
        start(parent, std::index_sequence_for<Tasks...>());
        return joint_.suspend();
    }
    outcome await_resume() {
        inner_.close();
        return take(std::index_sequence_for<Tasks...>());
    }

private:
    static constexpr std::size_t nobody = static_cast<std::size_t>(-1);

    template <std::size_t... I>
    void start(frame& parent, std::index_sequence<I...>) noexcept {
        (start_one<I>(parent), ...);
    }
    template <std::size_t I>
    void start_one(frame& parent) noexcept {
        if (winner_.load(std::memory_order_relaxed) != nobody) return joint_.skip();
        promise_base& child = std::get<I>(tasks_).promise();
        joint_.start(child, parent, &inner_.under(), [](promise_base& p) noexcept {
            any_of& self = static_cast<joint_of&>(*static_cast<joint*>(p.owner())).of;
            std::size_t none = nobody;
            if (self.winner_.compare_exchange_strong(none, I, std::memory_order_relaxed)) {
                self.inner_.request();
            }
            joint::ended(p);
        });
    }
    template <std::size_t... I>
    outcome take(std::index_sequence<I...>) {
        std::optional<outcome> first;
        const std::size_t winner = winner_.load(std::memory_order_relaxed);
        const auto take_one = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) {
            if (N == winner) first.emplace(std::in_place_index<N>, take_value(std::get<N>(tasks_)));
        };
        (take_one(std::integral_constant<std::size_t, I>()), ...);
        return *std::move(first);
    }

    struct joint_of : joint {
        explicit joint_of(any_of& a) noexcept : joint(sizeof...(Tasks)), of(a) {}
        any_of& of;
    };

    joint_of joint_{*this};
    std::atomic<std::size_t> winner_ = nobody;  // relaxed: joint_ orders it before it is used
    inner_stop inner_;
    std::tuple<Tasks...> tasks_;  // goes first: while they stand still they listen to inner_
};

}  // namespace detail

/// Runs all of them at once. When the first has ended, the others are asked to stop, and awaited:
/// nothing of them runs on afterwards. Gives a std::variant whose index() says which was first.
///
///     auto first = co_await when_any(fetch(), sleep_for(100ms));
///     if (first.index() == 1) co_return "too slow";
///
/// void becomes detail::nothing. The winner's exception comes out; the losers' outcomes are
/// dropped.
/// Cost       as when_all().
template <awaitable... As>
    requires(sizeof...(As) > 0)
[[nodiscard]] auto when_any(As... as) {
    return detail::any_of<detail::task_for<As>...>(detail::as_task(std::move(as))...);
}

}  // namespace posthaste
