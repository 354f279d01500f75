// Several at once, begun and awaited together.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/config.hpp>
#include <posthaste/run/as_task.hpp>
#include <posthaste/run/executor.hpp>

#include <array>
#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <memory>
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
    explicit joint(nothing) noexcept {}
    joint(joint&&) noexcept : joint(nothing()) {}  // not yet opened

    /// Before the first start().
    void open(frame& parent) noexcept { parent_ = &parent; }
    /// True: it has ended; otherwise `at_end` is called when it has; it finds this by
    /// child.owner(), and ends with leave().
    bool start(promise_base& child, const context* under, promise_base::ended_fn at_end) noexcept {
        child.place(*parent_->at, under);
        const bool at_once = child.start(child.self, at_end, this);
        if (!at_once) ++stand_still_;
        return at_once;
    }
    /// `at_end` is told its outcome.
    template <typename A>
    bool start(frameless<A>& child, const context* under,
               typename frameless<A>::ended_fn at_end = nullptr) noexcept {
        const bool at_once = child.start(*this, *parent_, under, at_end);
        if (!at_once) ++stand_still_;
        return at_once;
    }
    /// Of one whose end nobody else is told.
    template <typename T>
    void start(const task<T>& child) noexcept {
        task_promise<T>& p = child.promise();
        p.place(*parent_->at, parent_->under);
        const auto ended_later = [](promise_base& ended) noexcept {
            static_cast<joint*>(ended.owner())->leave();
        };
        if (!p.start(std::coroutine_handle<task_promise<T>>::from_promise(p), ended_later, this))
            ++stand_still_;
    }
    template <typename A>
    void start(frameless<A>& child) noexcept {
        start(child, parent_->under);
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
    bool suspend() noexcept {
        if (stand_still_ != 0) return !count_home(starter - stand_still_);
        left_.store(0, std::memory_order_relaxed);
        return false;
    }
    /// After all have ended.
    void close() noexcept {}

    /// At its end: some have not ended, and are destroyed where they stand.
    bool stands() const noexcept { return parent_ && left_.load(std::memory_order_relaxed) != 0; }
    /// Then: whoever ends all the same sends nobody home.
    void part() noexcept { left_.fetch_add(1, std::memory_order_relaxed); }
    /// And after each of them: whom it woke as it went goes on as long as it is there.
    void let_go_on() noexcept {
        executor& at = static_cast<executor&>(*parent_->at);
        if (at.idle_here()) at.drive_ready();
    }

private:
    bool count_home(std::size_t n) noexcept {
        return left_.fetch_sub(n, std::memory_order_acq_rel) == n;  // (1)
    }

    // (1) releases each task's outcome to the last one, which acquires all of them.
    // relaxed: join() has nothing to give, and leave() follows it; at its end, or if no task stood
    // still, nobody else is about.
    static constexpr std::size_t starter = ~std::size_t{0} / 2;  // more than there are tasks
    std::atomic<std::size_t> left_ = starter;  // and who join, less those that left
    std::size_t stand_still_ = 0;  // so many did when the starter left them

protected:
    frame* parent_ = nullptr;  // from open() on
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

template <typename... Bs, typename F>
void for_each_branch(std::tuple<Bs...>& all, F f) {
    std::apply([&](auto&... b) { (f(b), ...); }, all);
}
template <typename All, typename F>
void for_each_branch(All& all, F f) {
    for (auto& b : all) f(b);
}
/// And then `all` itself.
template <typename... Bs, typename F>
void destroy_each(std::tuple<Bs...>& all, F after) noexcept {
    for_each_branch(all, [&](auto& b) { std::destroy_at(&b), after(); });
}
template <typename T, std::size_t N, typename F>
void destroy_each(std::array<T, N>& all, F after) noexcept {
    for_each_branch(all, [&](T& b) { std::destroy_at(&b), after(); });
}
template <typename B, typename F>
void destroy_each(std::vector<B>& all, F after) noexcept {
    for (; !all.empty(); after()) all.pop_back();
    std::destroy_at(&all);
}

/// Starts its branches, and stands still until Joint, a joint, has counted them home.
template <typename Joint, typename Branches>
class together {
public:
    static constexpr bool keeps_home = true;
    /// `how`: what a Joint is made of, where it stays.
    template <typename How, typename... As>
        requires std::constructible_from<Joint, const How&>
    explicit together(const How& how, As&&... as) noexcept
        : joint_(how), branches_(std::forward<As>(as)...) {}
    together(together&& not_yet) noexcept
        : joint_(std::move(not_yet.joint_)), branches_(std::move(not_yet.branches_)) {}
    ~together() { joint_.stands() ? destroy_where_they_stand() : std::destroy_at(&branches_); }

    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
        return begin(h.promise());
    }

protected:
    Joint joint_;  // goes after them: while they stand still they may listen to a stop in it
    union {
        Branches branches_;
    };

private:
    // Inlined, its registers would be saved at every step of the coroutine that awaits.
    POSTHASTE_NOINLINE bool begin(frame& parent) noexcept {
        joint_.open(parent);
        for_each_branch(branches_, [this](auto& b) { joint_.start(b); });
        return joint_.suspend();
    }
    POSTHASTE_NOINLINE void destroy_where_they_stand() noexcept {
        joint_.part();
        destroy_each(branches_, [this] { joint_.let_go_on(); });
    }
};

}  // namespace detail

}  // namespace posthaste
