// Several at once, and all their values.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/run/as_task.hpp>

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace posthaste {

namespace detail {

/// What needs no coroutine around it: it begins for any frame, and false says that it is over
/// already; if it stands still, that frame is run at its home when it is over.
template <typename A>
concept begins_for_frame = home_keeping<A> && requires(A a, frame& f) {
    { a.begin(f) } noexcept -> std::same_as<bool>;
    { a.await_resume() } noexcept;
};

/// Of those, what tells where in it the outcome lies, if it was over at once; nullptr: it is to be
/// had by await_resume(), which has more to do.
template <typename A>
concept keeps_outcome = requires(A a) {
    { a.outcome() } noexcept -> std::same_as<await_result_t<A>*>;
};

template <begins_for_frame A>
class frameless;

/// Starts a number of tasks, and of what needs none, and counts them home.
class joint {
public:
    explicit joint(std::size_t count) noexcept : left_(count + 1) {}
    joint(joint&& not_yet) noexcept : left_(not_yet.left_.load(std::memory_order_relaxed)) {}

    using ended_fn = void (*)(promise_base& child) noexcept;

    /// `at_end` is called at the child's end; it finds this by child.owner(), and ends with
    /// ended().
    /// True: it has ended.
    bool start(promise_base& child, frame& parent, const context* under,
               ended_fn at_end = &joint::ended) noexcept {
        parent_ = &parent;
        child.place(*parent.at, under, at_end, this);
        const bool at_once = child.start_here();
        if (at_once) ++ended_at_once_;
        return at_once;
    }
    template <typename T>
    bool start(const task<T>& child, frame& parent, const context* under) noexcept {
        return start(child.promise(), parent, under);
    }
    /// `at_end` is told its outcome.
    template <typename A>
    bool start(frameless<A>& child, frame& parent, const context* under,
               typename frameless<A>::ended_fn at_end = nullptr) noexcept {
        parent_ = &parent;
        const bool at_once = child.start(*this, parent, under, at_end);
        if (at_once) ++ended_at_once_;
        return at_once;
    }
    static void ended(promise_base& child) noexcept {
        joint& self = *static_cast<joint*>(child.owner());
        if (!child.starter_is_here()) self.leave();
    }
    /// Somebody more to be waited for, until leave(); false if all have ended.
    bool join() noexcept {
        std::size_t n = left_.load(std::memory_order_relaxed);
        while (n != 0 && !left_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)) {}
        return n != 0;
    }
    void leave() noexcept {
        if (count_home(1)) parent_->at->transfer(*parent_);
    }
    /// After the last start(); true if some are still under way: then *this may be gone.
    bool suspend() noexcept { return !count_home(ended_at_once_ + 1); }
    void skip() noexcept { ++ended_at_once_; }

private:
    bool count_home(std::size_t n) noexcept {
        return left_.fetch_sub(n, std::memory_order_acq_rel) == n;  // (1)
    }

    // (1) releases each task's outcome to the last one, which acquires all of them.
    // relaxed: join() has nothing to give, and leave() follows it.
    std::atomic<std::size_t> left_;  // tasks that have not ended, and the starter
    std::size_t ended_at_once_ = 0;
    frame* parent_ = nullptr;
};

/// One of several that needs none; its outcome is had as soon as it is over, and is moved only once
/// where it lies in what was awaited.
template <begins_for_frame A>
class frameless : public frame {
public:
    using value_type = await_result_t<A>;
    using ended_fn = void (*)(joint& all, value_type& outcome) noexcept;
    explicit frameless(A&& a) noexcept : frame(nullptr, not_yet_placed()), awaited_(std::move(a)) {
        run = [](work& w) noexcept {
            frameless& one = static_cast<frameless&>(static_cast<frame&>(w));
            one.ended();
            one.all_->leave();
        };
    }
    frameless(frameless&& not_yet) noexcept : frameless(std::move(not_yet.awaited_)) {}

    /// True: it has ended; otherwise it leaves `all` when it has, on any thread.
    bool start(joint& all, frame& parent, const context* below, ended_fn at_end) noexcept {
        at = parent.at;
        under = below;
        all_ = &all;
        at_end_ = at_end;
        if (awaited_.begin(*this)) return false;
        if (value_type* const there = lies_there()) {
            if (at_end) at_end(all, *there);
        } else {
            ended();
        }
        return true;
    }
    /// After its end.
    value_type& outcome() noexcept {
        value_type* const there = lies_there();
        return there ? *there : *outcome_;
    }

private:
    value_type* lies_there() noexcept {
        if constexpr (keeps_outcome<A>) return awaited_.outcome();
        else return nullptr;
    }
    POSTHASTE_NOINLINE void ended() noexcept {
        outcome_.emplace(awaited_.await_resume());
        if (at_end_) at_end_(*all_, *outcome_);
    }

    joint* all_;  // from start() on, as at_end_
    ended_fn at_end_;
    A awaited_;
    std::optional<value_type> outcome_;  // if it does not lie in awaited_
};

template <typename A>
struct branch {
    using type = task_for<A>;
};
template <begins_for_frame A>
struct branch<A> {
    using type = frameless<A>;
};
/// A task, or what needs none.
template <typename A>
using branch_for = typename branch<A>::type;

template <typename A>
decltype(auto) as_branch(A& a) {
    if constexpr (begins_for_frame<A>) return std::move(a);
    else return as_task(std::move(a));
}
template <awaitable A>
auto as_branches(std::vector<A> all) {
    std::vector<branch_for<A>> branches;
    branches.reserve(all.size());
    for (A& a : all) branches.emplace_back(as_branch(a));
    return branches;
}

template <typename A>
auto&& take_value(frameless<A>& b) noexcept {
    return std::move(b.outcome());
}

template <typename... Branches>
class all_of {
public:
    static constexpr bool keeps_home = true;
    template <typename... As>
    explicit all_of(std::in_place_t, As&&... as) noexcept : branches_(std::forward<As>(as)...) {}
    bool await_ready() const noexcept { return sizeof...(Branches) == 0; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        frame& parent = h.promise();
        std::apply([&](auto&... b) { (joint_.start(b, parent, parent.under), ...); }, branches_);
        return joint_.suspend();
    }
    auto await_resume() {
        using values = std::tuple<value_or_nothing<typename Branches::value_type>...>;
        return std::apply([](auto&... b) { return values{take_value(b)...}; }, branches_);
    }

private:
    std::tuple<Branches...> branches_;
    joint joint_{sizeof...(Branches)};
};

template <typename Branch>
class all_in {
    using value_type = typename Branch::value_type;

public:
    static constexpr bool keeps_home = true;
    explicit all_in(std::vector<Branch> all) noexcept
        : branches_(std::move(all)), joint_(branches_.size()) {}
    bool await_ready() const noexcept { return branches_.empty(); }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        frame& parent = h.promise();
        for (auto& b : branches_) joint_.start(b, parent, parent.under);
        return joint_.suspend();
    }
    auto await_resume() {
        if constexpr (std::is_void_v<value_type>) {
            for (auto& b : branches_) take_value(b);
        } else {
            std::vector<value_type> values;
            values.reserve(branches_.size());
            for (auto& b : branches_) values.push_back(take_value(b));
            return values;
        }
    }

private:
    std::vector<Branch> branches_;
    joint joint_;
};

}  // namespace detail

/// Runs all of them at once, under the same context, and goes on at home when the last has ended.
///
///     auto both = co_await when_all(name_of(1), name_of(2));   // a std::tuple of two names
///
/// void becomes detail::nothing. An exception comes out after all have ended: the first in order of
/// the arguments. For calls use gather(), whose results are never exceptions.
/// Cost       a recycled frame for each that is neither a task nor a call.
template <awaitable... As>
[[nodiscard]] auto when_all(As... as) {
    return detail::all_of<detail::branch_for<As>...>(std::in_place, detail::as_branch(as)...);
}

/// The same for any number of tasks of one kind; gives a vector, or nothing for task<>.
template <typename T>
[[nodiscard]] auto when_all(std::vector<task<T>> tasks) {
    return detail::all_in<task<T>>(std::move(tasks));
}

}  // namespace posthaste
