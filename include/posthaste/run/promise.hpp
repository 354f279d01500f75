// What all tasks' promises have: start, end, home.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/concepts.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/live_frames.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/detail/this_thread.hpp>
#include <posthaste/run/foreign.hpp>
#include <posthaste/wait/frame.hpp>

#include <atomic>
#include <coroutine>
#include <new>
#include <type_traits>
#include <utility>

namespace posthaste {

template <typename T>
class task;

/// `const context& ctx = co_await this_context;` in any task: what it works under.
struct this_context_t {
    explicit constexpr this_context_t(int) noexcept {}
};
inline constexpr this_context_t this_context{0};

namespace detail {

template <typename T>
inline constexpr bool a_task = false;
template <typename T>
inline constexpr bool a_task<task<T>> = true;

/// What all tasks' promises have. A task is started on the stack of who awaits it; if it ends
/// there, its parent just goes on. If it stands still first, whoever ends it later sends its parent
/// home. So nothing depends on the compiler's tail calls, and a loop that awaits what ends at once
/// uses no more stack than a loop that calls functions.
class promise_base : public frame {
    enum class phase : unsigned char { started, left_alone, over };

public:
    using ended_fn = void (*)(promise_base&) noexcept;

    POSTHASTE_ALWAYS_INLINE static void* operator new(std::size_t size) {
        void* memory = allocate(size);
        if (!memory) raise(std::bad_alloc());
        frame_born();
        return memory;
    }
    POSTHASTE_ALWAYS_INLINE static void operator delete(void* memory, std::size_t size) noexcept {
        frame_gone();
        deallocate(memory, size);
    }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    struct at_end {
        bool await_ready() const noexcept { return false; }
        template <typename Promise>
        void await_suspend(std::coroutine_handle<Promise> h) const noexcept {
            h.promise().end(h);  // the last access: it may be gone
        }
        void await_resume() const noexcept {}
    };
    at_end final_suspend() const noexcept { return {}; }

    template <typename A>
    decltype(auto) await_transform(A&& a) {
        static_assert(!(a_task<std::remove_cvref_t<A>> && std::is_lvalue_reference_v<A>),
                      "co_await: a task is awaited once; write co_await std::move(the_task)");
        static_assert(awaitable<A> || a_task<std::remove_cvref_t<A>>,
                      "co_await: this cannot be awaited; write co_await on a task, a call, "
                      "a wait or another awaitable");
        if constexpr (!awaitable<A>) {
            return std::suspend_never();  // said above
        } else {
            using awaiter_type = decltype(awaiter_of(std::forward<A>(a)));
            if constexpr (!home_keeping<awaiter_type>)
                return foreign_awaiter<awaiter_type>(awaiter_of(std::forward<A>(a)));
            else if constexpr (std::is_reference_v<awaiter_type>)
                return in_place<std::remove_reference_t<awaiter_type>>(a);
            else return awaiter_of(std::forward<A>(a));
        }
    }
    auto await_transform(const this_context_t&) noexcept { return known<const context&>(*under); }

    /// Gives a new task its place in the world, without starting it.
    void place(home& at_home, const context* ctx) noexcept {
        at = &at_home;
        under = ctx;
    }
    /// Known to `ended`.
    void* owner() const noexcept { return owner_; }

    /// Starts it here, on top of what runs; true if it has ended: the rest is for the starter.
    /// Otherwise whoever ends it calls `ended`, and it must not be touched any more. `h` is its
    /// own.
    bool start(std::coroutine_handle<> h, ended_fn ended, void* owner) noexcept {
        return start(h, ended, owner, [] {});
    }
    /// The same; `before` is called if it has not ended, while whoever ends it leaves the rest to
    /// its starter still.
    template <typename F>
    bool start(std::coroutine_handle<> h, ended_fn ended, void* owner, F before) noexcept {
        const phase reached = run_here(h);
        if (reached == phase::over) return true;
        before();
        if (reached == phase::started) return leave_alone(ended, owner);
        start_by_transfer(ended, owner);
        return false;
    }
    /// Posts it instead; whoever ends it calls `ended`.
    void start_by_post(ended_fn ended, void* owner) noexcept {
        leave_to(ended, owner);
        phase_.store(phase::left_alone, std::memory_order_relaxed);
        at->post(*this);
    }

protected:
    /// Suspended elsewhere than at its end, it comes to it all the same. The last access, as there.
    void end_here() noexcept { end(self); }

    explicit promise_base(std::coroutine_handle<> h) noexcept : frame(h, not_yet_placed()) {}
    ~promise_base() = default;

    enum class outcome : unsigned char { none, value, thrown };

private:
    // Of one thread, `started` says which coroutine was started last, by its frame. Gives what it
    // has come to: over, or not; or left alone, since it is too deep here to start it.
    POSTHASTE_OF_SUSPENDING_THREAD phase run_here(std::coroutine_handle<> h) noexcept {
        thread_state& here = this_thread_inlined();
        const unsigned depth = here.depth;
        if (depth >= max_depth) return phase::left_alone;
        here.depth = depth + 1;
        const void* const below = detail::exchange(here.started, h.address());
        h.resume();
        here.started = below;
        here.depth = depth;
        return phase_.load(std::memory_order_acquire);  // (1)
    }
    POSTHASTE_NOINLINE void start_by_transfer(ended_fn ended, void* owner) noexcept {
        leave_to(ended, owner);
        phase_.store(phase::left_alone, std::memory_order_relaxed);
        at->transfer(*this);
    }
    POSTHASTE_NOINLINE bool leave_alone(ended_fn ended, void* owner) noexcept {
        leave_to(ended, owner);
        return phase_.exchange(phase::left_alone, std::memory_order_acq_rel) == phase::over;  // (2)
    }
    void leave_to(ended_fn ended, void* owner) noexcept {
        ended_ = ended;
        owner_ = owner;
    }
    POSTHASTE_OF_SUSPENDING_THREAD void end(std::coroutine_handle<> h) noexcept {
        if (this_thread_inlined().started == h.address())
            phase_.store(phase::over, std::memory_order_relaxed);
        else end_elsewhere();
    }
    POSTHASTE_NOINLINE void end_elsewhere() noexcept {
        if (phase_.load(std::memory_order_acquire) == phase::left_alone ||  // (1)
            phase_.exchange(phase::over, std::memory_order_acq_rel) == phase::left_alone)  // (2)
            ended_(*this);
    }

    // An awaiter that stays where it is; g++ 12 would copy it, did await_transform return it as it
    // is.
    template <typename Awaiter>
    class in_place {
    public:
        static constexpr bool keeps_home = true;
        explicit in_place(Awaiter& a) noexcept : awaiter_(a) {}
        bool await_ready() noexcept { return awaiter_.await_ready(); }
        template <typename Promise>
        decltype(auto) await_suspend(std::coroutine_handle<Promise> h) noexcept {
            return awaiter_.await_suspend(h);
        }
        decltype(auto) await_resume() { return awaiter_.await_resume(); }

    private:
        Awaiter& awaiter_;
    };
    template <typename T>
    struct known {
        T value;
        static constexpr bool keeps_home = true;
        explicit known(T v) noexcept : value(v) {}
        bool await_ready() const noexcept { return true; }
        void await_suspend(std::coroutine_handle<>) const noexcept {}
        T await_resume() const noexcept { return value; }
    };

    // Starter and ender meet once; who comes second sees to the parent.
    //     started      the starter is still on the stack below
    //     left_alone   it has gone: the ender wakes the parent
    //     over         the task has ended: the starter goes on with the parent
    // (1) acquires what (2) released.
    // (2) releases the outcome, or the parent's suspension and ended_; acquires the other.
    // relaxed: before anyone else can run the task, or on the starter's own thread.
    std::atomic<phase> phase_ = phase::started;

protected:
    outcome outcome_ = outcome::none;  ///< a task's; here is room for it

private:
    [[maybe_unused]] bool unused_ = false;  // makes one store of `noted` and these three
    ended_fn ended_;  // once it is left alone, as the next
    void* owner_;
};

}  // namespace detail

}  // namespace posthaste
