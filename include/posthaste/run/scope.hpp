// A place for tasks that run beside, and end before it does.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/run/task.hpp>

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <type_traits>
#include <utility>

namespace posthaste {

/// Runs any number of tasks beside the coroutine that opens it. It ends in join() or cancel():
/// no task is left behind.
///
///     scope s(co_await this_context);
///     s.spawn([](int n) -> task<> { ... }, 1);       // callable and arguments are stored by value
///     co_await s.join();
///
/// The tasks work under the context it was opened with, and a stop of their own. The first one that
/// throws stops the others, and its exception comes out of join().
///
/// Requires   a scope into which something was spawned is joined or cancelled before it is
///            destroyed; otherwise std::terminate(), as of a std::thread.
/// Threads    spawn() and request_stop() any; join() and cancel() one.
/// Cost       a recycled frame a task.
class scope {
    class joining;

public:
    explicit scope(const context& ctx) noexcept : home_(ctx.home()), under_(ctx, stop_.token()) {
        if (!outer_.arm(ctx.stop())) stop_.request_stop();
    }
    scope(const scope&) = delete;
    ~scope() {
        if (running_.load(std::memory_order_acquire) > 1) std::terminate();  // (1)
    }

    /// Runs `f(args...)`, a task, from the executor's queue. All of it is kept until it has ended.
    /// Errors     bad_alloc, or what the copies throw; then nothing was started.
    template <typename F, typename... Args>
    void spawn(F f, Args... args) {
        static_assert(
            std::invocable<F&, Args...>,
            "scope.spawn: the callable does not take these arguments; they are passed as values");
        using given = std::invoke_result_t<F&, Args...>;
        static_assert(
            awaitable<given>,
            "scope.spawn: the callable must return a task; write [] (...) -> task<> { ... }");
        adopt(invoke(std::move(f), std::move(args)...));
    }

    /// Waits until all have ended.
    /// Errors     throws what the first one that failed threw.
    [[nodiscard]] joining join() noexcept { return joining(*this); }

    /// Asks all to stop, and waits until they have.
    [[nodiscard]] joining cancel() noexcept {
        stop_.request_stop();
        return joining(*this);
    }
    void request_stop() noexcept { stop_.request_stop(); }
    stop_token stop() noexcept { return stop_.token(); }

private:
    template <typename F, typename... Args>
    static task<> invoke(F f, Args... args) {
        static_cast<void>(co_await std::invoke(f, std::move(args)...));
    }

    void adopt(task<> t) noexcept {
        running_.fetch_add(1, std::memory_order_relaxed);
        detail::promise_base& p = t.promise();
        p.place(home_, &under_, &scope::ended, this);
        t.let_go();
        p.start_by_post();
    }
    // A frame is not destroyed within its own last step: its node takes one more turn for that.
    static void ended(detail::promise_base& p) noexcept {
        static_cast<void>(p.starter_is_here());
        p.run = [](work& w) noexcept {
            bury(static_cast<detail::promise_base&>(static_cast<frame&>(w)));
        };
        p.at->transfer(p);
    }
    static void bury(detail::promise_base& p) noexcept {
        scope& self = *static_cast<scope*>(p.owner());
        const auto h =
            std::coroutine_handle<detail::task_promise<void>>::from_address(p.self.address());
        if (std::exception_ptr thrown = h.promise().thrown()) self.failed(std::move(thrown));
        h.destroy();
        self.leave();
    }
    void failed(std::exception_ptr thrown) noexcept {
        {
            const std::lock_guard guard(lock_);
            if (!thrown_) thrown_ = std::move(thrown);
        }
        stop_.request_stop();
    }
    void leave() noexcept {
        if (running_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;  // (1)
        frame& joiner = *joiner_.load(std::memory_order_relaxed);
        joiner.at->post(joiner);
    }

    class joining {
    public:
        static constexpr bool keeps_home = true;
        explicit joining(scope& s) noexcept : scope_(s) {}
        bool await_ready() const noexcept { return false; }
        template <homed Promise>
        bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
            frame& f = h.promise();
            f.park("the tasks of a scope");
            scope_.joiner_.store(&f, std::memory_order_relaxed);
            if (scope_.running_.fetch_sub(1, std::memory_order_acq_rel) != 1) return true;  // (1)
            f.at->unpark(f);
            return false;
        }
        void await_resume() {
            scope_.running_.fetch_add(1,
                                      std::memory_order_relaxed);  // the scope itself: as it began
            if (scope_.thrown_) detail::rethrow(std::exchange(scope_.thrown_, nullptr));
        }

    private:
        scope& scope_;
    };

    struct link : stop_link {
        explicit link(scope& s) noexcept
            : stop_link([](detail::stop_node& n) noexcept {
                  static_cast<link&>(n).of.stop_.request_stop();
              }),
              of(s) {}
        scope& of;
    };

    // running_: the tasks that have not ended, and the scope itself until it is joined.
    // (1) releases what each task did, and joiner_, to the last one, which acquires it.
    // relaxed: joiner_ is ordered by running_.
    home& home_;
    stop_source stop_;
    context under_;
    link outer_{*this};
    std::atomic<std::size_t> running_ = 1;
    std::atomic<frame*> joiner_ = nullptr;
    detail::spin_lock lock_;
    std::exception_ptr thrown_;  // guarded by lock_ until all have ended
};

}  // namespace posthaste
