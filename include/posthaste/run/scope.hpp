// A place for tasks that run beside, and end before it does.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: one count, of those who begin, end, wait, and are destroyed where they stand.

#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/detail/this_thread.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/run/headcount.hpp>
#include <posthaste/run/task.hpp>

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <new>
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
///            destroyed; otherwise std::terminate(), as of a std::thread. Only where the executor
///            has come to rest for good, and its coroutines are destroyed where they stand, are the
///            scope's tasks destroyed with it.
/// Threads    spawn() and request_stop() any; join() and cancel() one.
/// Cost       a recycled frame a task.
class scope {
    struct member;
    class child;
    template <typename F>
    class held;
    class joining;

public:
    explicit scope(const context& ctx) noexcept
        : home_(ctx.home()), under_(ctx, stop_.token()), tasks_(at()) {
        if (!outer_.arm(ctx.stop())) stop_.request_stop();
    }
    scope() = delete;  // its tasks work under a context: scope s(co_await this_context)
    scope(const scope&) = delete;
    ~scope() {
        if (joining* j = joiner_.load(std::memory_order_relaxed)) j->stand_no_more();
        if (!tasks_.of_waiter_alone()) destroy_members();
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
        if constexpr (sizeof...(Args) == 0 && detail::a_task<given> &&
                      alignof(F) <= alignof(std::max_align_t)) {
            (new held<F>(*this, std::move(f)))->post();
        } else {
            adopt(invoke(std::move(f), std::move(args)...));
        }
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
    // What stands still is in a list, for who destroys it there: linked by `next`, and destroyed by
    // `run`, which no queue uses meanwhile.
    struct member : work {
        work** link;  // what points here; guarded by the scope's lock_
    };

    // The coroutine around what was spawned: with it lives what its arguments were converted to.
    class child {
    public:
        struct promise_type final : detail::promise_base, member {
            promise_type() noexcept
                : promise_base(std::coroutine_handle<promise_type>::from_promise(*this)) {
                promise_base::run = &scope::step;
                member::run = [](work& w) noexcept {
                    static_cast<promise_type&>(static_cast<member&>(w)).self.destroy();
                };
            }
            child get_return_object() noexcept { return child(*this); }
            void return_void() const noexcept {}
            void unhandled_exception() noexcept { thrown = std::current_exception(); }

            std::exception_ptr thrown;
        };
        promise_type& promise;

    private:
        explicit child(promise_type& p) noexcept : promise(p) {}
    };
    using child_promise = child::promise_type;

    // A callable without arguments, whose task needs no coroutine around it.
    template <typename F>
    class held final : public member {
    public:
        held(scope& s, F&& f) : of_(s), f_(std::move(f)) {
            run = [](work& w) noexcept { static_cast<held&>(w).begin(); };
        }
        static void* operator new(std::size_t size) {
            void* const memory = detail::allocate(size, detail::block_cache::packed_class_of(size));
            if (!memory) detail::raise(std::bad_alloc());
            return memory;
        }
        static void operator delete(void* memory, std::size_t size) noexcept {
            detail::deallocate(memory, size, detail::block_cache::packed_class_of(size));
        }
        void post() noexcept {
            if (of_.tasks_.come()) run = [](work& w) noexcept { static_cast<held&>(w).arrive(); };
            of_.home_.post(*this);
        }

    private:
        void arrive() noexcept {
            of_.tasks_.arrive();
            begin();
        }
        void begin() noexcept {
            if (!detail::guarded([this] { return task_ = f_(), true; },
                                 [this](std::exception_ptr e) {
                                     of_.failed(std::move(e));
                                     return false;
                                 }))
                return end();
            auto& p = task_.promise();
            p.place(of_.home_, &of_.under_);
            bool listed = false;
            const auto stands_still = [this, &listed] {
                run = [](work& w) noexcept { delete &static_cast<held&>(w); };
                of_.enlist(*this), listed = true;
            };
            if (!p.start(p.self, &held::ended, this, stands_still)) return;
            if (listed) of_.unlist(*this);
            end();
        }
        // Behind its last step: there a frame is not destroyed.
        static void ended(detail::promise_base& p) noexcept {
            held& self = *static_cast<held*>(p.owner());
            self.of_.unlist(self);
            self.run = [](work& w) noexcept { static_cast<held&>(w).end(); };
            self.of_.home_.transfer(self);
        }
        void end() noexcept {
            scope& of = of_;
            if (task_) {
                if (auto thrown = task_.promise().thrown()) of.failed(std::move(thrown));
            }
            delete this;
            of.leave();
        }

        scope& of_;
        F f_;
        std::invoke_result_t<F&> task_;  // goes before the callable
    };

    template <typename F, typename... Args>
    static child invoke(F f, Args... args) {
        // called by itself where it can be, so that what is converted for it lives until its end
        if constexpr (requires { f(std::move(args)...); }) {
            static_cast<void>(co_await f(std::move(args)...));
        } else {
            static_cast<void>(co_await std::invoke(f, std::move(args)...));
        }
    }

    executor& at() const noexcept { return static_cast<executor&>(home_); }
    static child_promise& promise_of(work& w) noexcept {
        return static_cast<child_promise&>(static_cast<frame&>(w));
    }
    void enlist(member& m) noexcept {
        const std::lock_guard guard(lock_);
        m.next = first_;
        m.link = &first_;
        if (first_) static_cast<member*>(first_)->link = &m.next;
        first_ = &m;
    }
    void adopt(child c) noexcept {
        child_promise& p = c.promise;
        if (tasks_.come()) p.promise_base::run = &scope::arrive;
        enlist(p);
        p.place(home_, &under_);
        p.start_by_post(&scope::ended, this);
    }
    static void arrive(work& w) noexcept {
        child_promise& p = promise_of(w);
        p.promise_base::run = &scope::step;
        static_cast<scope*>(p.owner())->tasks_.arrive();
        step(w);
    }
    // Runs a task until it stands still. Its frame is not destroyed within its last step, but
    // behind that, here: ended() tells by `started`, as the frame itself may be gone if it has not
    // ended. So what is there is not its address, which may be another one's by then.
    static void step(work& w) noexcept {
        child_promise& p = promise_of(w);
        detail::thread_state& here = detail::this_thread();
        const void* const below = here.started;
        here.started = &below;
        p.self.resume();
        if (!detail::exchange(here.started, below)) bury(p);
    }
    static void ended(detail::promise_base&) noexcept { detail::this_thread().started = nullptr; }
    static void bury(child_promise& p) noexcept {
        scope& self = *static_cast<scope*>(p.owner());
        if (p.thrown) self.failed(std::move(p.thrown));
        self.unlist(p);
        p.self.destroy();
        self.leave();
    }
    void unlist(member& m) noexcept {
        const std::lock_guard guard(lock_);
        *m.link = m.next;
        if (m.next) static_cast<member*>(m.next)->link = m.link;
    }
    // Where nothing can run any more, but what whoever goes makes ready, or spawns: the scope's own
    // coroutine before, a task of it in turn.
    void destroy_members() noexcept {
        if (!at().idle_here()) std::terminate();
        for (at().drive_ready(); work* w = first_; at().drive_ready()) {
            unlist(static_cast<member&>(*w));
            w->run(*w);
            static_cast<void>(tasks_.leave());
        }
    }
    void failed(std::exception_ptr thrown) noexcept {
        {
            const std::lock_guard guard(lock_);
            if (!thrown_) thrown_ = std::move(thrown);
        }
        stop_.request_stop();
    }
    void leave() noexcept {
        if (!tasks_.leave()) return;
        frame& joiner = *joiner_.load(std::memory_order_relaxed)->frame_;
        joiner.at->post(joiner);
    }

    class joining {
    public:
        static constexpr bool keeps_home = true;
        explicit joining(scope& s) noexcept : scope_(s) {}
        joining(joining&& not_yet) noexcept : joining(not_yet.scope_) {}
        ~joining() {
            if (frame_) stand_no_more();  // its frame is destroyed where it stands
        }
        bool await_ready() const noexcept { return false; }
        template <homed Promise>
        bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
            frame& f = h.promise();
            f.park("the tasks of a scope");
            frame_ = &f;
            scope_.joiner_.store(this, std::memory_order_relaxed);
            if (!scope_.tasks_.stand()) return true;
            f.at->unpark(f);
            return false;
        }
        void await_resume() {
            stand_no_more();
            if (scope_.thrown_) detail::rethrow(detail::exchange(scope_.thrown_, nullptr));
        }

    private:
        friend scope;
        void stand_no_more() noexcept {
            scope_.tasks_.stand_no_more();
            scope_.joiner_.store(nullptr, std::memory_order_relaxed);
            frame_ = nullptr;
        }

        scope& scope_;
        frame* frame_ = nullptr;  // who stands here
    };

    struct link : stop_link {
        explicit link(scope& s) noexcept
            : stop_link([](detail::stop_node& n) noexcept {
                  static_cast<link&>(n).of.stop_.request_stop();
              }),
              of(s) {}
        scope& of;
    };

    // relaxed: joiner_ is ordered by tasks_.
    home& home_;
    stop_source stop_;
    context under_;
    link outer_{*this};
    detail::headcount tasks_;  // that have not ended, and the scope itself until it is joined
    std::atomic<joining*> joiner_ = nullptr;
    detail::spin_lock lock_;
    work* first_ = nullptr;  // guarded by lock_: the members that stand still
    std::exception_ptr thrown_;  // guarded by lock_ until all have ended
};

}  // namespace posthaste
