// Several calls at once, until enough of them are good.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/run/when_all.hpp>
#include <posthaste/serve/gather.hpp>
#include <posthaste/wait/inner_stop.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace posthaste {

namespace detail {

/// Adds up why there are not enough good ones.
class causes {
public:
    void add_good() noexcept {
        ++good_;
        effect_ = effect::complete;
    }
    void add(const failure& why, bool decisive) noexcept {
        effect_ = std::max(effect_, why.effect());
        if (decisive) code_ = why.code();
        if (why.retry_after() > duration::zero()) {
            retry_after_ = retry_after_ == duration::zero()
                               ? why.retry_after()
                               : std::min(retry_after_, why.retry_after());
        }
        guarded(
            [&] {
                text_.append(text_.empty() ? "" : ", ").append(to_string(why.code()));
                if (!why.path().empty()) text_.append(" at ").append(why.path());
            },
            [](const std::exception_ptr&) {});
    }
    failure sum(std::size_t needed) const noexcept {
        return guarded(
                   [&] {
                       std::string text = needed == 1 ? std::string("none was good")
                                                      : std::to_string(good_) + " good, " +
                                                            std::to_string(needed) + " needed";
                       return failure(code_, effect_, text + ": " + text_);
                   },
                   [&](const std::exception_ptr&) { return failure(code_, effect_); })
            .retry_after(retry_after_);
    }

private:
    std::string text_;
    std::size_t good_ = 0;
    duration retry_after_{};
    code code_ = code::cancelled;
    effect effect_ = effect::none;
};

template <awaitable Call>
auto as_tasks(std::vector<Call> calls) {
    std::vector<task_for<Call>> tasks;
    tasks.reserve(calls.size());
    for (Call& c : calls) tasks.push_back(as_task(std::move(c)));
    return tasks;
}

inline constexpr std::size_t any_number = static_cast<std::size_t>(-1);
template <typename T, std::size_t N>
using several = std::conditional_t<N == any_number, std::vector<T>, std::array<T, N>>;

/// What a ballot is made of.
struct votes {
    std::size_t needed, of;
};

/// Of those of whom enough are good at some time, or too many are not: then it has the others
/// stopped.
template <typename T>
class ballot : public joint {
    using branch = task<result<T>>;

public:
    explicit ballot(const votes& v) noexcept
        : joint(nothing()), needed_(v.needed), too_many_(v.of - v.needed + 1) {}
    ballot(ballot&& not_yet) noexcept
        : joint(std::move(not_yet)), needed_(not_yet.needed_), too_many_(not_yet.too_many_) {}

    void open(frame& parent) noexcept {
        joint::open(parent);
        inner_.open(*parent.under);
    }
    void start(const branch& b) noexcept {
        if (decisive_.load(std::memory_order_relaxed)) return;
        promise_base& p = b.promise();
        if (joint::start(p, &inner_.under(), &ballot::ended_later)) ended(p);
    }
    void close() noexcept { inner_.close(); }

    /// After all have ended. True: enough were good.
    bool decided_well() const noexcept { return good_.load(std::memory_order_relaxed) >= needed_; }
    /// The one that made enough of them.
    result<T> take_decisive() const {
        promise_base* const p = decisive_.load(std::memory_order_relaxed);
        return static_cast<task_promise<result<T>>*>(p)->take();
    }
    template <typename Branches>
    failure why_not(const Branches& branches) const noexcept {
        causes all;
        for (const branch& b : branches) {
            auto& p = b.promise();
            const bool decisive = &p == decisive_.load(std::memory_order_relaxed);
            if (!p.has_ended()) continue;  // not started
            if (!p.value()) all.add(thrown(p), decisive);
            else if (!*p.value()) all.add(p.value()->error(), decisive);
            else all.add_good();
        }
        return all.sum(needed_);
    }
    static result<T> take(const branch& b) {
        auto& p = b.promise();
        if (!p.has_ended()) {
            return failure::because(code::cancelled, effect::none, "decided before it began");
        }
        if (!p.value()) return thrown(p);
        return p.take();
    }

private:
    void ended(promise_base& p) noexcept {
        const result<T>* const r = static_cast<task_promise<result<T>>&>(p).value();
        const bool good = r && *r;
        const std::size_t enough = good ? needed_ : too_many_;
        std::atomic<std::size_t>& count = good ? good_ : bad_;
        if (count.fetch_add(1, std::memory_order_relaxed) + 1 == enough) {
            decisive_.store(&p, std::memory_order_relaxed);
            inner_.request();
        }
    }
    static void ended_later(promise_base& p) noexcept {
        ballot& self = static_cast<ballot&>(*static_cast<joint*>(p.owner()));
        self.ended(p);
        self.leave();
    }
    static failure thrown(const task_promise<result<T>>& p) noexcept {
        return std::move(failure(code::handler_failed, effect::unknown).exception(p.thrown()));
    }

    // One branch alone brings good_ to what is needed, or bad_ to where that cannot be any more;
    // it writes decisive_.
    // relaxed: joint orders all three before they are used; until then decisive_ is a hint.
    std::size_t needed_;
    std::size_t too_many_;
    std::atomic<std::size_t> good_ = 0, bad_ = 0;
    std::atomic<promise_base*> decisive_ = nullptr;
    inner_stop inner_;
};

template <typename T, std::size_t N>
class quorum_of : public together<ballot<T>, several<task<result<T>>, N>> {
public:
    using together<ballot<T>, several<task<result<T>>, N>>::together;
    result<several<result<T>, N>> await_resume() {
        this->joint_.close();
        if (!this->joint_.decided_well()) return this->joint_.why_not(this->branches_);
        return take_all();
    }

private:
    // Each one's, in the order of the branches.
    several<result<T>, N> take_all() {
        if constexpr (N == any_number) {
            std::vector<result<T>> results;
            results.reserve(this->branches_.size());
            for (const auto& b : this->branches_) results.push_back(ballot<T>::take(b));
            return results;
        } else {
            return std::apply(
                [](auto&... b) { return several<result<T>, N>{ballot<T>::take(b)...}; },
                this->branches_);
        }
    }
};

template <awaitable First, awaitable... Others>
consteval bool checked_quorum() {
    using first = await_result_t<First>;
    static_assert(a_result<first> && (a_result<await_result_t<Others>> && ...),
                  "quorum() takes calls, which end in a result; wrap others in a task<result<T>>");
    static_assert(
        (std::same_as<first, await_result_t<Others>> && ...),
        "quorum() takes calls with replies of one type; write gather() for different ones");
    return true;
}

void wrong_n(const char* advice);  // no constant expression: the compiler tells it

/// How many of `Of` are needed: a constant, checked where it is written.
template <std::size_t Of>
class needed {
public:
    template <std::integral N>
    consteval needed(N n) : n_(static_cast<std::size_t>(n)) {
        if (n < 1 || n_ > Of)
            wrong_n("quorum: n must be 1 up to the number of calls; write fewer, or more");
    }
    constexpr std::size_t count() const noexcept { return n_; }

private:
    std::size_t n_;
};

}  // namespace detail

/// Makes all the calls, and goes on as soon as n of them are good, or cannot be any more: the
/// others are cancelled and awaited.
///
///     auto written = co_await quorum(2, a.call(x), b.call(x), c.call(x));
///     if (!written) co_return written.error();      // result<std::array<result<reply>, 3>>
///     for (auto& r : *written) if (r) use(*r);      // two of them are good, or all three
///
/// n is a constant from 1 to the number of calls.
///
/// Errors     that n cannot be had: the code of the failure that decided it, the strongest effect
///            of all, and a text that tells each cause. An exception is a handler_failed.
/// Cost       a recycled frame a call.
/// Cancel     all of them are asked to stop, and awaited.
template <awaitable... Calls>
    requires(sizeof...(Calls) > 0)
[[nodiscard]] auto quorum(detail::needed<sizeof...(Calls)> n, Calls... calls) {
    static_assert(detail::checked_quorum<Calls...>());
    using all = std::array<std::common_type_t<detail::task_for<Calls>...>, sizeof...(Calls)>;
    using reply = typename all::value_type::value_type::value_type;
    return detail::quorum_of<reply, sizeof...(Calls)>(detail::votes{n.count(), sizeof...(Calls)},
                                                      all{detail::as_task(std::move(calls))...});
}

/// The same for any number of calls of one kind; gives a vector of their results.
///
/// Errors     besides: an n that is not from 1 to the number of calls is refused, with `failed`.
/// Cost       besides, a vector of tasks and one of results.
template <awaitable Call>
[[nodiscard]] auto quorum(std::size_t n, std::vector<Call> calls) {
    static_assert(detail::checked_quorum<Call>());
    if (n < 1 || n > calls.size()) {
        detail::raise(failed(failure(code::rejected, effect::none,
                                     "quorum(n, calls): n must be 1 up to the number of calls")));
    }
    using reply = typename await_result_t<Call>::value_type;
    const std::size_t count = calls.size();
    return detail::quorum_of<reply, detail::any_number>(detail::votes{n, count},
                                                        detail::as_tasks(std::move(calls)));
}

}  // namespace posthaste
