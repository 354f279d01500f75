// TooManyCooks: qu_mpsc_unbounded, auto_reset_event, ex_cpu.  SPDX-License-Identifier: BSL-1.0
#define TMC_IMPL
#include "coroutines.hpp"
#include "wake.hpp"

#include <tmc/all_headers.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace {

struct too_many_cooks {
    template <typename T>
    using task = tmc::task<T>;

    static constexpr std::size_t spinning = 20'000;

    /// ex_cpu_st for one thread, as its documentation advises.
    class executor {
    public:
        explicit executor(unsigned threads, std::size_t spins = 0) : one_(threads == 1) {
            if (one_) {
                if (spins) single_.set_spins(spins);
                single_.init();
            } else {
                if (spins) several_.set_spins(spins);
                several_.set_thread_count(threads).init();
            }
        }
        template <typename T>
        T run(task<T> t) {
            return one_ ? tmc::post_waitable(single_, std::move(t)).get()
                        : tmc::post_waitable(several_, std::move(t)).get();
        }
        void post(auto work) {
            if (one_) tmc::post(single_, std::move(work));
            else tmc::post(several_, std::move(work));
        }
        void start(task<void> t) { post(std::move(t)); }
        auto yield() { return tmc::reschedule(); }

    private:
        const bool one_;
        tmc::ex_cpu_st single_;
        tmc::ex_cpu several_;
    };

    static auto both(task<std::uint64_t> a, task<std::uint64_t> b) {
        return tmc::spawn_tuple(std::move(a), std::move(b));
    }
    static auto all(std::vector<task<std::uint64_t>>& tasks) { return tmc::spawn_many(tasks); }
    static std::uint64_t value(std::uint64_t v) { return v; }

    class tasks {
    public:
        explicit tasks(executor&) {}
        void spawn(task<void> t) { group_.fork(std::move(t)); }
        auto&& join() { return std::move(group_); }

    private:
        tmc::aw_fork_group<0, void> group_;
    };

    class signal {
    public:
        void set() { event_.set(); }
        auto& wait() { return event_; }

    private:
        tmc::auto_reset_event event_;
    };

    static constexpr bool put_waits = false;

    template <typename T, typename Config = tmc::qu_mpsc_unbounded_default_config>
    class queue {
    public:
        void put(const T& m) { queue_.post(m); }
        void put_from_thread(const T& m) { queue_.post(m); }
        auto get() { return queue_.pull(); }
        task<void> close() {
            queue_.close();
            co_return;
        }

    private:
        tmc::qu_mpsc_unbounded<T, Config> queue_;
    };
    struct small : tmc::qu_mpsc_unbounded_default_config {
        static constexpr std::size_t BlockSize = 4;
    };
    template <typename T>
    using small_queue = queue<T, small>;
};

[[maybe_unused]] const bool contenders[] = {
    coroutines::contend_with_tasks<too_many_cooks>("TooManyCooks"),
    coroutines::contend_with_queues<too_many_cooks>("TooManyCooks"),
};

}  // namespace
