// Runs lock-free cores under every schedule, with weak memory.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

namespace posthaste::testing::explore {

// Every operation on an explore::atomic is a point where any other thread may run, and a load that
// is not part of a read-modify-write may return any value that the C++ memory model lets it see: an
// operational model by views (Kang et al., "A Promising Semantics", 2017, without the promises).
// Stores are ordered as they are executed. All schedules and all choices of values are tried, depth
// first; states seen before are cut off.

constexpr std::size_t max_threads = 4;

/// For each location, the oldest store a thread may still read: its knowledge of the world.
using view = std::vector<std::uint32_t>;
inline void join(view& to, const view& from) {
    if (to.size() < from.size()) to.resize(from.size());
    for (std::size_t i = 0; i != from.size(); ++i) to[i] = std::max(to[i], from[i]);
}
inline std::uint32_t& at(view& v, std::size_t location) {
    if (v.size() <= location) v.resize(location + 1);
    return v[location];
}

class world {
public:
    using step_text = std::string;

    static world& now() { return *current(); }
    static bool active() { return current() != nullptr; }

    /// What a scenario does with one run: threads to run beside one another, then a check alone.
    struct script {
        std::vector<std::function<void()>> threads;
        std::function<void()> at_end;
    };

    struct outcome {
        std::uint64_t runs = 0, states = 0, steps = 0;
        std::string failure;  // "" if every schedule was right
    };

    /// Explores `make`, which builds fresh state and a script for it, under all schedules.
    static outcome run(const std::function<script()>& make, std::uint64_t max_runs = 3'000'000) {
        outcome result;
        std::unordered_set<std::uint64_t> seen;
        std::vector<choice> path;
        do {
            world w(path, seen);
            current() = &w;
            w.one_run(make);
            current() = nullptr;
            ++result.runs;
            result.steps += w.steps_;
            if (!w.failure_.empty()) {
                result.failure = w.failure_ + "\n" + w.story();
                break;
            }
        } while (next(path) && result.runs < max_runs);
        if (result.failure.empty() && result.runs >= max_runs)
            result.failure = "not finished: too many runs";
        result.states = seen.size();
        return result;
    }

    /// A scenario's state, at the same address in each run, so that equal states look equal.
    template <typename State>
    static std::shared_ptr<State> fresh() {
        alignas(64) static std::byte memory[sizeof(State)];
        return std::shared_ptr<State>(::new (static_cast<void*>(memory)) State,
                                      [](State* s) { s->~State(); });
    }
    /// In a scenario: what must hold.
    static void demand(bool holds, const char* what) {
        if (!holds) now().fail(what);
    }
    void fail(const std::string& what) {
        if (failure_.empty()) failure_ = what;
        leave();
    }
    // --- for atomic and plain ---
    struct store_event {
        std::uint64_t value;
        view released;
    };
    struct location {
        std::vector<store_event> history;
        const char* name = "";
    };

    std::size_t new_location(std::uint64_t value) {
        locations_.push_back({{store_event{value, {}}}, ""});
        return locations_.size() - 1;
    }
    std::uint64_t load(std::size_t l, std::memory_order order) {
        before_step();
        thread& t = me();
        if (order == std::memory_order_seq_cst) join(t.known, sc_);
        auto& history = locations_[l].history;
        const std::uint32_t oldest = at(t.known, l);
        const auto newest = static_cast<std::uint32_t>(history.size() - 1);
        std::uint32_t pick = newest;
        if (order != std::memory_order_seq_cst && newest > oldest && threads_running_ > 1) {
            pick = newest - static_cast<std::uint32_t>(choose(newest - oldest + 1));
        }
        at(t.known, l) = pick;
        if (order != std::memory_order_relaxed) join(t.known, history[pick].released);
        const std::uint64_t value = history[pick].value;
        if (order == std::memory_order_seq_cst) join(sc_, t.known);
        learned(value);
        tell("load", l, value);
        return value;
    }
    // Stands still until the location has that value, and acquires it.
    void await(std::size_t l, std::uint64_t value) {
        thread& t = me();
        t.awaits = true;
        t.awaited = l;
        t.awaited_value = value;
        before_step();
        t.awaits = false;
        at(t.known, l) = static_cast<std::uint32_t>(locations_[l].history.size() - 1);
        join(t.known, view(locations_[l].history.back().released));
        tell("await", l, value);
    }
    void store(std::size_t l, std::uint64_t value, std::memory_order order) {
        before_step();
        append(l, value, order, false);
        tell("store", l, value);
    }
    /// `change(old, new)`: false leaves the value as it is, and the operation is a load.
    template <typename Change>
    std::uint64_t modify(std::size_t l, Change change, std::memory_order order,
                         std::memory_order failed) {
        before_step();
        thread& t = me();
        if (order == std::memory_order_seq_cst) join(t.known, sc_);
        auto& history = locations_[l].history;
        const std::uint64_t old = history.back().value;
        std::uint64_t fresh = 0;
        const bool changes = change(old, fresh);
        at(t.known, l) = static_cast<std::uint32_t>(history.size() - 1);
        const std::memory_order effective = changes ? order : failed;
        if (effective != std::memory_order_relaxed && effective != std::memory_order_release) {
            join(t.known, view(history.back().released));
        }
        learned(old);
        if (changes) append(l, fresh, order, true);
        if (order == std::memory_order_seq_cst) join(sc_, t.known);
        tell(changes ? "modify" : "look", l, changes ? fresh : old);
        return old;
    }
    // Data that is no atomic: whoever touches it must know of all that was done to it.
    void touch(std::size_t l, bool write) {
        thread& t = me();
        auto& history = locations_[l].history;
        const auto newest = static_cast<std::uint32_t>(history.size() - 1);
        if (at(t.known, l) != newest) return fail("a data race");
        if (!write) return;
        history.push_back({0, {}});
        at(t.known, l) = newest + 1;
    }

private:
    struct choice {
        std::uint32_t taken, of;
    };
    struct thread {
        ucontext_t context;
        std::unique_ptr<char[]> stack;
        std::function<void()> body;
        view known;
        std::uint64_t history = 0;  // hash of all it has learned
        bool over = false;
        bool awaits = false;
        std::size_t awaited = 0;
        std::uint64_t awaited_value = 0;
    };

    world(std::vector<choice>& path, std::unordered_set<std::uint64_t>& seen)
        : path_(path), seen_(seen) {}

    static world*& current() {
        static world* w = nullptr;
        return w;
    }
    static bool next(std::vector<choice>& path) {
        while (!path.empty() && path.back().taken + 1 == path.back().of) path.pop_back();
        if (path.empty()) return false;
        ++path.back().taken;
        return true;
    }

    void one_run(const std::function<script()>& make) {
        threads_.resize(1);  // number 0 sets up and checks
        script s = make();
        const view known = threads_[0].known;
        for (auto& body : s.threads) {
            threads_.emplace_back();
            threads_.back().body = std::move(body);
        }
        for (std::size_t i = 1; i != threads_.size(); ++i) {
            threads_[i].known = known;
            start(threads_[i], i);
        }
        threads_running_ = threads_.size() - 1;
        while (failure_.empty() && !cut_) {
            const std::size_t chosen = schedule();
            if (chosen == 0) break;
            self_ = chosen;
            swapcontext(&main_, &threads_[chosen].context);
        }
        self_ = 0;
        threads_running_ = 0;
        if (!failure_.empty() || cut_) return;
        for (const thread& t : threads_) join(threads_[0].known, t.known);
        if (s.at_end) s.at_end();
    }
    // The next thread to run; 0: all are over.
    std::size_t schedule() {
        std::array<std::size_t, max_threads + 1> able{};
        std::size_t count = 0;
        bool all_over = true;
        for (std::size_t i = 1; i != threads_.size(); ++i) {
            const thread& t = threads_[i];
            all_over = all_over && t.over;
            if (t.over) continue;
            if (t.awaits && locations_[t.awaited].history.back().value != t.awaited_value) continue;
            able[count++] = i;
        }
        if (all_over) return 0;
        if (count == 0) {
            failure_ = "all wait for one another";
            return 0;
        }
        if (depth_ >= path_.size() && !seen_.insert(state()).second) {
            cut_ = true;
            return 0;
        }
        // Going on with the same thread comes first: the first schedules are the plain ones.
        const auto last =
            std::find(able.begin(), able.begin() + static_cast<std::ptrdiff_t>(count), self_);
        if (last != able.begin() + static_cast<std::ptrdiff_t>(count)) std::swap(*last, able[0]);
        return able[choose(count)];
    }
    std::size_t choose(std::size_t of) {
        if (of == 1) return 0;
        if (depth_ == path_.size()) path_.push_back({0, static_cast<std::uint32_t>(of)});
        return path_[depth_++].taken;
    }
    // Without what nobody can read any more, and relative to it.
    std::uint64_t state() const {
        std::uint64_t h = 0xcbf29ce484222325;
        const auto mix = [&h](std::uint64_t x) {
            h = (h ^ x) * 0x9e3779b97f4a7c15;
            h ^= h >> 29;
        };
        const auto known = [](const view& v, std::size_t l) { return l < v.size() ? v[l] : 0u; };
        view base(locations_.size());
        for (std::size_t l = 0; l != base.size(); ++l) {
            base[l] = static_cast<std::uint32_t>(locations_[l].history.size() - 1);
            for (std::size_t i = 1; i != threads_.size(); ++i) {
                if (!threads_[i].over) base[l] = std::min(base[l], known(threads_[i].known, l));
            }
        }
        const auto mix_view = [&](const view& v) {
            for (std::size_t l = 0; l != base.size(); ++l)
                mix(std::max(known(v, l), base[l]) - base[l]);
        };
        for (std::size_t l = 0; l != base.size(); ++l) {
            const auto& history = locations_[l].history;
            mix(history.size() - base[l]);
            for (std::size_t e = base[l]; e != history.size(); ++e) {
                mix(history[e].value);
                mix_view(history[e].released);
            }
        }
        for (std::size_t i = 1; i != threads_.size(); ++i) {
            const thread& t = threads_[i];
            mix(t.over);
            mix(t.history);  // stands for its variables, and for what it did to plain data
            if (t.over) continue;
            mix_view(t.known);
        }
        mix_view(sc_);
        return h;
    }
    static void entry() {
        world& w = now();
        thread& t = w.me();
        t.body();
        t.over = true;
        swapcontext(&t.context, &w.main_);
    }
    void start(thread& t, std::size_t) {
        constexpr std::size_t size = 64 * 1024;
        t.stack = std::make_unique<char[]>(size);
        getcontext(&t.context);
        t.context.uc_stack.ss_sp = t.stack.get();
        t.context.uc_stack.ss_size = size;
        t.context.uc_link = nullptr;
        makecontext(&t.context, &world::entry, 0);
    }
    thread& me() { return threads_[self_]; }
    void before_step() {
        ++steps_;
        learned(1);  // that it has come as far as this
        if (self_ != 0) swapcontext(&me().context, &main_);
    }
    void leave() {
        if (self_ == 0) return;
        for (;;) swapcontext(&me().context, &main_);  // this run is over
    }
    void append(std::size_t l, std::uint64_t value, std::memory_order order, bool modifies) {
        thread& t = me();
        auto& history = locations_[l].history;
        at(t.known, l) = static_cast<std::uint32_t>(history.size());
        view released;
        if (modifies) released = history.back().released;  // a release sequence goes on
        if (order == std::memory_order_release || order == std::memory_order_acq_rel ||
            order == std::memory_order_seq_cst) {
            join(released, t.known);
        }
        history.push_back({value, std::move(released)});
        if (order == std::memory_order_seq_cst) join(sc_, t.known);
    }
    void learned(std::uint64_t value) { me().history = (me().history ^ value) * 0x100000001b3 + 1; }
    void tell(const char* what, std::size_t l, std::uint64_t value) {
        story_.push_back({static_cast<std::uint32_t>(self_), what, l, value});
    }
    std::string story() const {
        std::string text;
        char line[96];
        for (const told& s : story_) {
            std::snprintf(line, sizeof line, "  thread %u: %-6s #%zu = %llx\n", s.by, s.what,
                          s.where, static_cast<unsigned long long>(s.value));
            text += line;
        }
        return text;
    }

    struct told {
        std::uint32_t by;
        const char* what;
        std::size_t where;
        std::uint64_t value;
    };

    std::vector<choice>& path_;
    std::unordered_set<std::uint64_t>& seen_;
    std::size_t depth_ = 0;
    std::vector<thread> threads_;
    std::vector<location> locations_;
    view sc_;  // what all seq_cst operations so far have made known to the next
    ucontext_t main_{};
    std::size_t self_ = 0;
    std::size_t threads_running_ = 0;
    std::uint64_t steps_ = 0;
    bool cut_ = false;
    std::string failure_;
    std::vector<told> story_;
};

/// std::atomic, as the cores use it.
template <typename T>
class atomic {
    static_assert(sizeof(T) <= 8);

public:
    atomic(T value = T()) noexcept : location_(world::now().new_location(bits(value))) {}
    atomic(const atomic&) = delete;

    T load(std::memory_order order) const noexcept {
        return value(world::now().load(location_, order));
    }
    void store(T v, std::memory_order order) noexcept {
        world::now().store(location_, bits(v), order);
    }
    T exchange(T v, std::memory_order order) noexcept {
        return modify([&](T) { return v; }, order);
    }
    T fetch_add(T n, std::memory_order order) noexcept {
        return modify([&](T old) { return static_cast<T>(old + n); }, order);
    }
    T fetch_sub(T n, std::memory_order order) noexcept {
        return modify([&](T old) { return static_cast<T>(old - n); }, order);
    }
    T fetch_or(T n, std::memory_order order) noexcept {
        return modify([&](T old) { return static_cast<T>(old | n); }, order);
    }
    T fetch_and(T n, std::memory_order order) noexcept {
        return modify([&](T old) { return static_cast<T>(old & n); }, order);
    }
    bool compare_exchange_strong(T& expected, T fresh, std::memory_order order,
                                 std::memory_order failed) noexcept {
        const T wanted = expected;
        expected = value(world::now().modify(
            location_,
            [&](std::uint64_t old, std::uint64_t& to) {
                return to = bits(fresh), old == bits(wanted);
            },
            order, failed));
        return bits(expected) == bits(wanted);
    }
    bool compare_exchange_weak(T& expected, T fresh, std::memory_order order,
                               std::memory_order failed) noexcept {
        return compare_exchange_strong(expected, fresh, order, failed);
    }

    /// In a scenario: waits for that value, and knows then what was done before it.
    void wait_until(T v) noexcept { world::now().await(location_, bits(v)); }

private:
    template <typename F>
    T modify(F f, std::memory_order order) noexcept {
        return value(world::now().modify(
            location_,
            [&](std::uint64_t old, std::uint64_t& to) { return to = bits(f(value(old))), true; },
            order, order));
    }
    static std::uint64_t bits(T v) noexcept {
        if constexpr (std::is_pointer_v<T>) return reinterpret_cast<std::uint64_t>(v);
        else return static_cast<std::uint64_t>(v);
    }
    static T value(std::uint64_t b) noexcept {
        if constexpr (std::is_pointer_v<T>) return reinterpret_cast<T>(b);
        else return static_cast<T>(b);
    }
    std::size_t location_;
};

struct atomics {
    template <typename T>
    using atomic = explore::atomic<T>;
};

/// Data that the core under test is to protect: touching it without knowing its last change fails.
class plain {
public:
    plain() : location_(world::now().new_location(0)) {}
    plain(const plain&) = delete;
    void read() const { world::now().touch(location_, false); }
    void write() { world::now().touch(location_, true); }

private:
    std::size_t location_;
};

/// Prints what was explored; 1 if it was not right.
inline int report(const char* name, const world::outcome& o) {
    std::printf("%-36s %9llu states %9llu runs %10llu steps: %s\n", name,
                static_cast<unsigned long long>(o.states), static_cast<unsigned long long>(o.runs),
                static_cast<unsigned long long>(o.steps),
                o.failure.empty() ? "right" : o.failure.c_str());
    return o.failure.empty() ? 0 : 1;
}

}  // namespace posthaste::testing::explore
