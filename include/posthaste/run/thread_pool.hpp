// An executor with threads of its own.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: one state machine; what can stand alone has a header of its own, beside this one.

#include <posthaste/detail/asymmetric_fence.hpp>
#include <posthaste/detail/coarse_clock.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/run/bundle.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/run/hesitation.hpp>
#include <posthaste/run/injection_queue.hpp>
#include <posthaste/run/inline_calls.hpp>
#include <posthaste/run/next_slot.hpp>
#include <posthaste/run/pool_clock.hpp>
#include <posthaste/run/sleepers.hpp>
#include <posthaste/run/work_ring.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

namespace posthaste {

/// Runs work on n threads, and one more that sleeps until timers are due. A worker looks for work
/// in its next-up slot, its own ring, the queue for everybody, the rings of the others, where it
/// leaves a few pieces to their owner for a microsecond or two; then it spins a little, less if
/// that has not paid lately, and not at all if it has slept long each time; then it sleeps. An idle
/// pool uses no processor time.
///
/// Ordering   none between pieces of work. What comes from outside takes turns with a busy worker's
///            own: one piece after 61 of them, or, where those have taken longer of late, after
///            each millisecond, but no more than every other one.
/// Threads    any. Destroying it is for a thread that is none of its own; what is ready then still
///            runs, on the destroying thread.
/// Errors     the constructor: std::invalid_argument for a number of threads that is not 1 to
///            4096, std::system_error without threads.
/// Cost       post() on a worker: one exchange, none where it is the only one, and what does not
///            fit into its ring goes to the shared queue 60 at a time; from outside: the shared
///            queue, and a wake-up if all sleep.
class thread_pool final : public executor {
public:
    explicit thread_pool(unsigned threads = std::max(1u, std::thread::hardware_concurrency()))
        : clock_(checked(threads) + 1u), workers_(threads) {
        for (unsigned i = 0; i != threads; ++i) workers_[i] = detail::make_owned<worker>(*this, i);
        detail::guarded([this] { start(); },
                        [this](const std::exception_ptr& e) {
                            stop();
                            detail::rethrow(e);
                        });
    }
    thread_pool(const thread_pool&) = delete;
    ~thread_pool() {
        stop();
        do {
            while (has_visitors()) std::this_thread::yield();
            drive_ready();
        } while (has_visitors());
    }

    unsigned size() const noexcept { return static_cast<unsigned>(workers_.size()); }

    void post(work& w) noexcept override {
        if (worker* self = mine()) {
            self->put(w);
            sleepers_.work_is_there();
            return;
        }
        visitors_.fetch_add(1, std::memory_order_relaxed);
        // from here on w may run and be gone, and all who know of this pool with it
        shared_.put(w);
        sleepers_.work_is_there();
        visitors_.fetch_sub(1, std::memory_order_release);  // (1)
    }
    void transfer(work& w) noexcept override {
        worker* self = mine();
        if (!self) return post(w);
        if (work* before = self->next.put(w)) {
            self->put(*before);
            sleepers_.work_is_there();
        }
        clock_.start_watching();  // should what runs now block, somebody else must take it
    }
    bool one_by_one() const noexcept override { return size() == 1; }
    time_point now() const noexcept override { return std::chrono::steady_clock::now(); }
    time_point coarse_now() const noexcept override { return detail::coarse_clock::now(); }
    time_point soon() const noexcept override { return coarse_now() + detail::coarse_clock::late; }
    void arm(timer& t, time_point due) noexcept override {
        if (due == never) return;
        const worker* self = mine();
        clock_.arm(t, due, self ? self->index : workers_.size());
    }
    void disarm(timer& t) noexcept override { clock_.disarm(t); }
    bool watches() const noexcept override { return true; }
    void watch(inline_call& c) noexcept override {
        worker::here().calls.begin(c);
        clock_.start_watching();
    }
    bool unwatch(inline_call& c) noexcept override { return worker::here().calls.end(c); }

    void drive(detail::flag& done) override { done.wait(); }
    bool drive_while(bool (*busy)(void*), void* of, time_point end) override {
        detail::flag nobody_sets;
        duration step = std::chrono::microseconds(20);
        while (busy(of)) {
            const time_point t = now();
            if (t >= end) return false;
            nobody_sets.wait_for(std::min(step, duration(end - t)));
            step = std::min<duration>(2 * step, std::chrono::milliseconds(1));
        }
        return true;
    }
    void drive_ready() noexcept override {
        if (!idle_here()) return;
        const on_stage here_now(*workers_.front());
        worker& w = *workers_.front();
        for (const auto& other : workers_) other->next.hold_up();
        while (work* next = w.find_any()) w.run(*next);
    }
    bool idle_here() const noexcept override { return joined_ && !here(); }

    /// Ends the threads after what they run now; the rest stays where it is. For bus and
    /// destructor.
    void stop() noexcept {
        if (joined_) return;
        stopping_.store(true, std::memory_order_relaxed);
        while (sleepers_.wake_one()) {}
        clock_.stop();
        for (const auto& w : workers_) {
            if (w->thread.joinable()) w->thread.join();
        }
        if (clock_thread_.joinable()) clock_thread_.join();
        joined_ = true;
    }

private:
    struct worker {
        worker(thread_pool& p, std::size_t i)
            : pool(p), index(i), reader(p.shared_), calls(p.fence_) {}
        /// Requires   the calling thread is one's.
        static worker& here() noexcept {
            return *static_cast<worker*>(detail::this_thread().worker);
        }

        void put(work& w) noexcept {
            if (!put_into_ring(w)) put_into_full(w);
        }
        bool put_into_ring(work& w) noexcept { return alone ? ring.put_alone(w) : ring.put(w); }
        POSTHASTE_NOINLINE void put_into_full(work& w) noexcept {
            if (bundle* const b = bundle::of(ring, &worker::unpack)) pool.shared_.put(*b);
            if (!put_into_ring(w)) pool.shared_.put(w);
        }
        static void unpack(work& w) noexcept {
            worker& self = here();
            bundle& b = static_cast<bundle&>(w);
            work& first = b.unpack(self.ring);
            if (b.empty()) b.end();
            else self.pool.shared_.put(b);
            self.pool.sleepers_.work_is_there();  // until now what was in it was to be seen nowhere
            self.run(first);
        }
        // The next piece of work, without waiting for one.
        work* find() noexcept {
            if (++turns >= patience) {
                become_patient();
                if (work* w = pool.shared_.take(reader)) return w;
            }
            if (!next.empty() && ++in_a_row < 32) {
                if (work* w = next.take()) return w;
            }
            in_a_row = 0;
            if (work* w = alone ? ring.take_alone() : ring.take()) return fetch_ahead(), w;
            if (work* w = next.take()) return w;
            at_others.begin();
            return look_around();
        }
        // The same, and nothing is left to others: they have ended.
        work* find_any() noexcept {
            if (work* w = find()) return w;
            at_others.end();
            return look_around();
        }
        // Now and then the others come first, so that none waits for ever: every millisecond, or
        // every 61st turn; every other one at most, or its own work would wait for ever.
        POSTHASTE_NOINLINE void become_patient() noexcept {
            constexpr duration::rep aim = duration(std::chrono::milliseconds(1)).count();
            const time_point t = pool.now();
            const duration::rep took = std::max<duration::rep>((t - looked_at).count(), 1);
            const auto fit = static_cast<unsigned>(std::min(turns * aim / took, duration::rep{61}));
            patience = std::clamp(fit, 2u, std::min(2 * patience, 61u));
            looked_at = t;
            turns = 0;
        }
        // Of a task that has not run since it was spawned three lines are used at once.
        void fetch_ahead() const noexcept {
            const auto soon = reinterpret_cast<std::uintptr_t>(ring.ahead(3));
            for (std::uintptr_t line = 0; soon != 0 && line != 3; ++line)
                detail::prefetch(reinterpret_cast<const void*>(soon + line * detail::cache_line));
        }
        work* look_around() noexcept {
            if (work* w = pool.shared_.take(reader)) return w;
            const std::size_t n = pool.workers_.size();
            for (std::size_t i = 1; i < n; ++i) {
                worker& other = *pool.workers_[(index + i) % n];
                if (!at_others.leaves(other.ring.size())) {
                    if (work* w = ring.steal_from(other.ring)) return stolen(*w);
                }
                if (work* w = other.next.steal()) return w;
            }
            at_others.looked();
            return nullptr;
        }
        work* stolen(work& w) noexcept {
            // for a moment the rest was in no ring: who looked then may have gone to sleep
            if (!ring.empty()) pool.sleepers_.work_is_there();
            return &w;
        }
        void run(work& w) noexcept {
            detail::this_thread().depth = 0;
            next.begin();
            w.run(w);
        }

        thread_pool& pool;
        const std::size_t index;
        const bool alone = pool.size() == 1;  // nobody steals, and who puts does not sleep
        injection_queue::reader reader;
        unsigned turns = 0;  // since it looked into the shared queue first
        unsigned patience = 61;  // so many turns from one such look to the next
        time_point looked_at = pool.now();
        hesitation at_others;  // rings, as it looks there
        unsigned in_a_row = 0;  // pieces of work taken from `next`
        unsigned spin_limit = 64;
        unsigned long_sleeps = 0;  // in a row
        next_slot next;
        work_ring ring;
        std::thread thread;

        inline_calls calls;
        sleepers::berth berth;
    };

    // Makes the calling thread this worker's.
    class on_stage {
    public:
        explicit on_stage(worker& w) noexcept : before_(detail::this_thread()) {
            detail::thread_state& t = detail::this_thread();
            t.executor = static_cast<const executor*>(&w.pool);
            t.worker = &w;
            t.depth = 0;
        }
        on_stage(const on_stage&) = delete;
        ~on_stage() {
            detail::thread_state& t = detail::this_thread();
            t.executor = before_.executor;
            t.worker = before_.worker;
            t.depth = before_.depth;
        }

    private:
        detail::thread_state before_;
    };

    static unsigned checked(unsigned threads) {
        if (threads == 0 || threads > 4096)
            detail::raise(std::invalid_argument("thread_pool: threads must be 1 to 4096"));
        return threads;
    }
    void start() {
        for (const auto& w : workers_) w->thread = thread_of(w.get());
        // The last one: it sleeps most of its life, and is not to be what the kernel spreads.
        clock_thread_ = thread_of(nullptr);
    }
    // nullptr: the clock's.
    std::thread thread_of(worker* w) {
        return std::thread([this, w] {
            if (w) work_until_stopped(*w);
            else clock_.run([this](time_point now) { return watch_workers(now); });
        });
    }
    bool has_visitors() const noexcept {
        return visitors_.load(std::memory_order_acquire) != 0;  // (1)
    }
    worker* mine() const noexcept {
        const detail::thread_state& t = detail::this_thread();
        return t.executor == static_cast<const executor*>(this) ? static_cast<worker*>(t.worker)
                                                                : nullptr;
    }

    void work_until_stopped(worker& self) noexcept {
        const on_stage here_now(self);
        bool searching = false;
        while (!stopping_.load(std::memory_order_relaxed)) {
            work* w = searching ? self.look_around() : self.find();
            if (!w) w = search(self, searching);
            if (!w) {
                sleep(self, searching);
                searching = true;  // whoever woke it has counted it so
                continue;
            }
            if (searching) stop_search();
            searching = false;
            self.run(*w);
        }
    }
    void stop_search() noexcept {
        sleepers_.stop_search([this] { return anything_to_do(); });
    }
    // Spins for a while; as many rounds as have paid lately. No fewer than it takes to wake another
    // thread: two who answer each other would both sleep each time, once one of them did. Where it
    // has slept long each time, not at all: nothing would have come, and a thread that has used
    // little of its processor is put before the one that wakes it, and begins at once.
    work* search(worker& self, bool& searching) noexcept {
        detail::give_all_back();
        if (self.long_sleeps >= 4) return nullptr;
        // It is announced to keep others from being woken; of a pool of one there are none.
        if (!searching && size() != 1 && !(searching = sleepers_.start_search(size())))
            return nullptr;
        for (unsigned i = 0; i != self.spin_limit; ++i) {
            if (work* w = self.look_around()) {
                self.spin_limit = std::min(self.spin_limit * 2, 512u);
                return w;
            }
            for (int p = 0; p != 8 && !shared_.has_some(); ++p) detail::pause();
            if (stopping_.load(std::memory_order_relaxed)) break;
        }
        self.spin_limit = std::max(self.spin_limit / 2, 32u);
        return nullptr;
    }
    bool anything_to_do() const noexcept {
        if (!shared_.empty()) return true;
        for (const auto& w : workers_)
            if (!w->ring.empty() || w->next.to_steal()) return true;
        return false;
    }
    void sleep(worker& self, bool searching) noexcept {
        constexpr duration longest_search = std::chrono::microseconds(100);
        const time_point from = now();
        sleepers_.sleep(self.berth, searching, [this] {
            return anything_to_do() || stopping_.load(std::memory_order_relaxed);
        });
        self.looked_at = now();  // nothing was there, so from here on its turns count
        self.turns = 0;
        self.long_sleeps = self.looked_at - from < longest_search ? 0 : self.long_sleeps + 1;
    }

    // Ends the inline calls whose time is over; finds workers that do not come back from a piece of
    // work, and has others take what they hold. On the clock's thread.
    bool watch_workers(time_point now) noexcept {
        bool busy = false;
        for (const auto& w : workers_) w->calls.announce();
        fence_.heavy();
        for (const auto& w : workers_) {
            if (w->next.watch()) busy = true;
            if (w->calls.look(now)) busy = true;
        }
        if (anything_to_do()) sleepers_.work_is_there();
        return busy;
    }

    // (1) releases a visitor's last use of the pool to the destructor, which acquires it.
    // relaxed: a visitor is counted before its work is to be seen, and queueing that releases it.
    // stop() sets stopping_ before it takes the sleepers' lock for the last time, and a worker that
    // lists itself later, under the same lock, then sees it; elsewhere it is a hint.
    injection_queue shared_;
    alignas(detail::cache_line) std::atomic<long> visitors_ = 0;  // threads from outside in post()
    sleepers sleepers_;
    std::atomic<bool> stopping_ = false;
    bool joined_ = false;
    pool_clock clock_;
    const detail::asymmetric_fence fence_;
    std::vector<detail::owned<worker>> workers_;
    std::thread clock_thread_;
};

}  // namespace posthaste
