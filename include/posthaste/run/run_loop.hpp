// An executor on the thread that drives it.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: the loop, and the timers it looks at between two pieces of work.

#include <posthaste/detail/coarse_clock.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/run/latest_timer.hpp>
#include <posthaste/run/timer_wheel.hpp>
#include <posthaste/run/work_list.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace posthaste {

/// Runs work, in order of arrival, while a thread drives it: a whole program on main()'s thread, or
/// the caller's side of sync_wait(). A timer that is due waits for one piece of work at most; what
/// a call that stands still is allowed, if that is 80 ms or more and nothing else ends it, begins
/// to be counted three pieces of work and a tick of the system (1 to 10 ms) later at most, or when
/// there is nothing to do.
///
/// Threads    any. One at a time drives it: another that would, waits meanwhile for what it is
///            after, as the first runs the work of all, and drives on when the first has gone.
/// Cost       no thread, no allocation; asleep while there is nothing to do.
class run_loop final : public executor {
public:
    run_loop() = default;
    run_loop(const run_loop&) = delete;
    ~run_loop() { drive_ready(); }

    void post(work& w) noexcept override { here() ? ready_.put(w) : post_elsewhere(w); }
    bool one_by_one() const noexcept override { return true; }
    time_point now() const noexcept override {
        const time_point t = std::chrono::steady_clock::now();
        if (here()) read_lately_ = t;
        return t;
    }
    time_point coarse_now() const noexcept override {
        const time_point t = detail::coarse_clock::now();
        if (here()) read_coarsely_lately_ = t;
        return t;
    }
    time_point soon() const noexcept override { return coarse_now() + detail::coarse_clock::late; }
    void arm(timer& t, time_point due) noexcept override {
        if (due == never) return;
        if (!here()) return arm_elsewhere(t, due);
        t.due = due;
        keep(t, due, false);
    }
    void arm_allowance(allowance_timer& t) noexcept override {
        if (!here() || t.due != never || t.counted->settled() != never ||
            t.allowance < 4 * detail::coarse_clock::late)
            return home::arm_allowance(t);
        if (!latest_.empty()) put_away();
        const bool first = during_.load(std::memory_order_relaxed) == none;
        if (first) during_.store(fresh, std::memory_order_relaxed);
        keep(t, never, first);
    }
    void disarm(timer& t) noexcept override {
        const bool at_work = here();
        if (!(at_work ? latest_.leave_here(t) : latest_.leave(t))) return disarm_further(t);
        if (!at_work) return;  // what is known of it stays: it is looked for in vain once
        latest_due_ = never;
        if (first_uncounted_) during_.store(none, std::memory_order_relaxed);
    }

    /// `done` is to be set by work of this loop.
    void drive(detail::flag& done) override {
        while (!done.is_set()) {
            const on_stage here_now(*this);
            if (here_now) run_until([&] { return done.is_set(); }, never);
            else wait_as_follower(done);
        }
    }
    bool drive_while(bool (*busy)(void*), void* of, time_point end) override {
        bool rests = false;
        const auto over = [&] { return (rests = !busy(of)) || now() >= end; };
        while (!over()) {
            const on_stage here_now(*this);
            if (here_now) run_until(over, end);
            else std::this_thread::sleep_for(std::min<duration>(tick, end - now()));
        }
        return rests;  // not one more look: whoever was not busy may be again, before the end
    }
    void drive_ready() noexcept override {
        const on_stage here_now(*this);
        if (!here_now) return;
        do {
            while (run_one()) {}
        } while (collect(time_point::min()));
    }
    bool idle_here() const noexcept override {
        const std::lock_guard guard(mutex_);
        return !driver_;
    }

private:
    static constexpr duration tick = std::chrono::milliseconds(1);

    // Makes the calling thread the one that runs this loop's work, unless another one is.
    class on_stage {
    public:
        explicit on_stage(run_loop& l) noexcept : loop_(l), before_(detail::this_thread()) {
            detail::thread_state& t = detail::this_thread();
            {
                const std::lock_guard guard(l.mutex_);
                if (l.driver_ && l.driver_ != &t) return;
                outer_ = detail::exchange(l.driver_, &t);
            }
            on_ = true;
            t.executor = &l;
            t.depth = 0;
        }
        on_stage(const on_stage&) = delete;
        ~on_stage() {
            if (!on_) return;
            loop_.begin_to_count();
            detail::thread_state& t = detail::this_thread();
            t.executor = before_.executor;
            t.depth = before_.depth;
            const std::lock_guard guard(loop_.mutex_);
            loop_.driver_ = outer_;
            loop_.call_next();
        }
        explicit operator bool() const noexcept { return on_; }

    private:
        run_loop& loop_;
        detail::thread_state before_;
        const detail::thread_state* outer_ = nullptr;  // this thread, if it drives already
        bool on_ = false;
    };
    // A thread that waits for its own flag while another one drives.
    struct follower {
        detail::flag& done;
        follower* next;
    };

    void wait_as_follower(detail::flag& done) noexcept {
        follower self{done, nullptr};
        {
            const std::lock_guard guard(mutex_);
            if (!driver_) return;
            self.next = detail::exchange(followers_, &self);
        }
        done.wait_for_poke();
        const std::lock_guard guard(mutex_);
        follower** link = &followers_;
        while (*link != &self) link = &(*link)->next;
        *link = self.next;
        call_next();  // should it be this one that was called, and it has all it was after
    }
    // Under mutex_.
    void call_next() noexcept {
        if (!driver_ && followers_) followers_->done.poke();
    }

    POSTHASTE_NOINLINE void post_elsewhere(work& w) noexcept {
        const std::lock_guard guard(mutex_);
        inbox_.put(w);
        changed_.notify_one();  // under the lock: afterwards the loop may be gone
    }
    template <typename Done>
    void run_until(Done done, time_point limit) {
        while (!done()) {
            if (tick_is_over()) begin_to_count();
            fire_timers();
            if (run_one()) {
                if (++turns_ % 64 == 0) collect(time_point::min());  // others have their turn
            } else if (!done()) {
                collect(limit);
            }
        }
    }
    bool run_one() noexcept {
        work* w = ready_.take();
        if (!w) return false;
        detail::this_thread().depth = 0;
        w->run(*w);
        return true;
    }
    // An allowance that is taken back before it begins to count costs no look at the exact clock:
    // most are, and soon.
    bool tick_is_over() noexcept {
        const duration::rep during = during_.load(std::memory_order_relaxed);
        if (during == none) return false;
        const bool first = during == fresh, second = during == seen_once;
        const duration::rep tick_now = first ? seen_once : coarse_now().time_since_epoch().count();
        if (!first && !second) return during != tick_now;
        during_.store(tick_now, std::memory_order_relaxed);
        return false;
    }
    void begin_to_count() noexcept {
        const std::lock_guard guard(timers_lock_);
        sort_in();
        during_.store(none, std::memory_order_relaxed);
        timer* t = detail::exchange(uncounted_, nullptr);
        if (!t) return;
        const time_point begin = now();
        while (t->next) t = t->next;
        while (t) {  // in the order of their arming
            allowance_timer& a = static_cast<allowance_timer&>(*detail::exchange(t, t->before));
            a.owner = nullptr;
            put_in(a, std::min(a.due, a.counted->settle_by(begin, a.allowance)));
        }
    }
    POSTHASTE_NOINLINE void arm_elsewhere(timer& t, time_point due) noexcept {
        const std::lock_guard guard(timers_lock_);
        put_in(t, due);
        const std::lock_guard asleep(mutex_);  // within: it cannot fire before this is done
        rearmed_ = true;
        changed_.notify_one();
    }
    POSTHASTE_NOINLINE void disarm_further(timer& t) noexcept {
        const std::lock_guard guard(timers_lock_);
        if (t.owner) return forget(t);
        timers_.disarm(t);
        if (timers_.empty()) look_at_timers_from(never);
    }
    // `due`: never, of an allowance; `first`: of those that do not count yet.
    void keep(timer& t, time_point due, bool first) noexcept {
        if (!latest_.empty()) put_away();
        latest_.keep(t);
        latest_due_ = due;
        first_uncounted_ = first;
    }
    POSTHASTE_NOINLINE void put_away() noexcept {
        const std::lock_guard guard(timers_lock_);
        sort_in();
    }
    // All three under timers_lock_.
    void sort_in() noexcept {
        const time_point due = detail::exchange(latest_due_, never);
        timer* const t = latest_.take();
        if (!t) return;
        if (due != never) return put_in(*t, due);
        t->owner = &uncounted_;
        t->before = nullptr;
        t->next = detail::exchange(uncounted_, t);
        if (t->next) t->next->before = t;
    }
    void put_in(timer& t, time_point due) noexcept {
        timers_.arm(t, due);
        look_at_timers_from(std::min(due, timers_looked_at_from()));
    }
    void forget(timer& t) noexcept {
        (t.before ? t.before->next : uncounted_) = t.next;
        if (t.next) t.next->before = t.before;
        t.owner = nullptr;
        if (uncounted_ || !here()) return;  // what is known by others' threads stays, too
        first_uncounted_ = !latest_.empty() && latest_due_ == never;
        if (!first_uncounted_) during_.store(none, std::memory_order_relaxed);
    }
    void fire_timers() noexcept {
        const time_point from = std::min(timers_looked_at_from(), latest_due_);
        if (from == never) return;
        // As a rule what just ran has read the clock: once more would cost as much as all of this.
        // If it has gone on long after that, a timer waits for one more piece of work.
        const time_point seen = detail::exchange(read_coarsely_lately_, never);
        if (read_lately_ == never) {
            const time_point coarse = seen != never ? seen : detail::coarse_clock::now();
            if (coarse + detail::coarse_clock::late < from) return;
        }
        const time_point t = read_lately_ != never ? read_lately_ : now();
        read_lately_ = never;
        if (t < from) return;
        const std::lock_guard guard(timers_lock_);
        sort_in();
        timers_.advance(t);
        look_at_timers_from(timers_.next_due());
    }
    time_point timers_looked_at_from() const noexcept {
        return time_point(duration(look_from_.load(std::memory_order_relaxed)));
    }
    void look_at_timers_from(time_point t) noexcept {
        look_from_.store(t.time_since_epoch().count(), std::memory_order_relaxed);
    }
    // Takes in what other threads posted; waits for it until `limit` or the next timer.
    bool collect(time_point limit) noexcept {
        if (limit != time_point::min()) {
            detail::give_all_back();
            begin_to_count();
            const std::lock_guard guard(timers_lock_);
            limit = std::min(limit, timers_.next_due());
        }
        std::unique_lock guard(mutex_);
        const auto called = [this] { return rearmed_ || !inbox_.empty(); };
        if (limit == never) changed_.wait(guard, called);
        else if (limit > time_point()) changed_.wait_until(guard, limit, called);
        rearmed_ = false;
        const bool any = !inbox_.empty();
        ready_.append(inbox_);
        return any;
    }

    work_list ready_;  // the driving thread's own, as all before mutex_
    unsigned turns_ = 0;
    latest_timer latest_;  // empty while nobody drives
    bool first_uncounted_ = false;  // it is an allowance, and uncounted_ was empty
    time_point latest_due_ = never;  // `never` as well of an allowance
    // What the clock said, exactly or not, since the timers were looked at.
    mutable time_point read_lately_ = never, read_coarsely_lately_ = never;
    mutable std::mutex mutex_;
    const detail::thread_state* driver_ = nullptr;  // guarded by mutex_: the driving thread
    follower* followers_ = nullptr;  // guarded by mutex_
    std::condition_variable changed_;
    work_list inbox_;  // guarded by mutex_
    bool rearmed_ = false;  // guarded by mutex_: another thread armed a timer
    detail::spin_lock timers_lock_;
    timer_wheel timers_;  // guarded by timers_lock_
    timer* uncounted_ = nullptr;  // the same; those that do not count yet, the latest first
    // None is due before. Written under timers_lock_; relaxed: for a first look without the lock.
    // Whoever arms a timer from elsewhere passes mutex_ afterwards, as collect() does.
    std::atomic<duration::rep> look_from_ = never.time_since_epoch().count();
    // How uncounted_ was found since it was filled: not yet, once, and then the tick of the second
    // time, with which later ones are compared: most are taken back before. relaxed: a hint, should
    // another thread take the last one back just then.
    static constexpr duration::rep none = never.time_since_epoch().count();
    static constexpr duration::rep fresh = none - 1, seen_once = none - 2;
    std::atomic<duration::rep> during_ = none;
};

}  // namespace posthaste
