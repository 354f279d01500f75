// Several at once, and the first of them.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/run/when_all.hpp>
#include <posthaste/wait/inner_stop.hpp>

#include <atomic>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace posthaste {

namespace detail {

/// Of those of whom the first to end has the others stopped.
class race : public joint {
public:
    using joint::joint;
    race(race&& not_yet) noexcept : joint(std::move(not_yet)) {}

    void open(frame& parent) noexcept {
        joint::open(parent);
        inner_.open(*parent.under);
    }
    template <typename T>
    void start(const task<T>& child) noexcept {
        if (winner_.load(std::memory_order_relaxed)) return;
        promise_base& p = child.promise();
        if (joint::start(p, &inner_.under(), &race::ended_later)) ended(p);
    }
    void close() noexcept { inner_.close(); }
    bool won_by(const promise_base& p) const noexcept {
        return winner_.load(std::memory_order_relaxed) == &p;
    }

private:
    void ended(const promise_base& p) noexcept {
        const promise_base* none = nullptr;
        if (winner_.compare_exchange_strong(none, &p, std::memory_order_relaxed)) inner_.request();
    }
    static void ended_later(promise_base& p) noexcept {
        race& self = static_cast<race&>(*static_cast<joint*>(p.owner()));
        self.ended(p);
        self.leave();
    }

    std::atomic<const promise_base*> winner_ = nullptr;  // relaxed: joint orders it before its use
    inner_stop inner_;
};

template <typename... Tasks>
class any_of : public together<race, std::tuple<Tasks...>> {
    using outcome = std::variant<value_or_nothing<typename Tasks::value_type>...>;

public:
    using together<race, std::tuple<Tasks...>>::together;
    outcome await_resume() {
        this->joint_.close();
        return take(std::index_sequence_for<Tasks...>());
    }

private:
    template <std::size_t... I>
    outcome take(std::index_sequence<I...>) {
        std::optional<outcome> first;
        const auto take_one = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) {
            const auto& t = std::get<N>(this->branches_);
            if (this->joint_.won_by(t.promise()))
                first.emplace(std::in_place_index<N>, take_value(t));
        };
        (take_one(std::integral_constant<std::size_t, I>()), ...);
        return *std::move(first);
    }
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
    return detail::any_of<detail::task_for<As>...>(detail::nothing(),
                                                   detail::as_task(std::move(as))...);
}

}  // namespace posthaste
