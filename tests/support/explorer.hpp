// Runs lock-free cores under every schedule, with weak memory.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

namespace posthaste::testing::explore {

// Every operation on an explore::atomic is a point where any other thread may run; all schedules
// are tried, depth first, and states seen before are cut off. Memory is an operational form of the
// C++20 model, by views (Kang et al., "A Promising Semantics for Relaxed-Memory Concurrency", POPL
// 2017, without the promises):
//
//   - each atomic has its stores in modification order; a thread knows, for each, the oldest one it
//     may still read. A load may return any store from there on. An acquire learns what the thread
//     of the release knew; a read-modify-write passes that on (release sequences).
//   - a store may take any place in modification order after what its thread knows, not only the
//     last; no store comes between a read-modify-write and what it read.
//   - seq_cst operations are executed in one order, S: one reads nothing older than the seq_cst
//     operations on the same atomic before it have read or written.
//   - a failed compare-exchange is a load: it may see an old value.
//   - of an asymmetric_fence a light and a heavy one stand in one order, and so do two heavy ones:
//     the thread of the later one knows what that of the earlier one knew. That is less than two
//     fences that are seq_cst give (P1202), and all that the system does, wherever it interrupts.
//
// One mode is enough: whatever sequential consistency allows is a schedule in which each load takes
// the newest store, and each store the last place. Whatever x86-TSO allows (where seq_cst stores
// and read-modify-writes flush the store buffer) the C++ model allows for the same program, as the
// mapping of C++ to x86 is sound (Batty et al., "Mathematizing C++ Concurrency", POPL 2011); and
// the only thing of that model that is not tried, a load that reads from a store of the future
// (load buffering), no x86 does. tests/explore/litmus_explore.cpp shows it on the classic programs.
//
// Not modelled: other fences (we have none), spurious failures of weak compare-exchanges (all are
// in loops, in which a failure by an old value does the same), spurious wake-ups of conditions.

constexpr std::size_t max_threads = 4, max_locations = 64;
constexpr std::uint64_t max_steps = 500;  // of a run; more is a loop without an end

/// What a thread knows: for each atomic, the oldest store it may still read; for each thread, how
/// many of its accesses to plain data happened before.
struct view {
    std::array<std::uint16_t, max_locations> store{};
    std::array<std::uint16_t, max_threads + 1> access{};

    void join_stores(const view& from) noexcept {
        for (std::size_t i = 0; i != store.size(); ++i)
            store[i] = std::max(store[i], from.store[i]);
    }
    void join(const view& from) noexcept {
        join_stores(from);
        for (std::size_t i = 0; i != access.size(); ++i)
            access[i] = std::max(access[i], from.access[i]);
    }
};

class world {
public:
    static world& now() { return *current(); }
    static bool active() { return current() != nullptr; }

    /// What a scenario does with one run: threads to run beside one another, then a check alone.
    struct script {
        std::vector<std::function<void()>> threads;
        std::function<void()> at_end;
        std::vector<const char*> names;  ///< of the threads, for the story of a failure
        bool may_rest = false;  ///< it is an end as well if all stand still
    };

    struct outcome {
        std::uint64_t runs = 0, states = 0, steps = 0;
        double seconds = 0;
        std::string failure;  // "" if every schedule was right
    };

    static constexpr std::uint64_t usual_runs = 5'000'000;

    /// Explores `make`, which builds fresh state and a script for it, under all schedules.
    static outcome run(const std::function<script()>& make, std::uint64_t max_runs = usual_runs) {
        const auto begin = std::chrono::steady_clock::now();
        outcome result;
        std::unordered_set<std::uint64_t> seen;
        std::vector<choice> path;
        do {
            world w(path, seen);
            current() = &w;
            w.one_run(make);
            for (thread& t : w.threads_) t.body = nullptr;  // the last that hold the state
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
        result.seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        return result;
    }

    /// A scenario's state, at the same address in each run, so that equal states look equal.
    template <typename State>
    static std::shared_ptr<State> fresh() {
        alignas(64) static std::byte memory[sizeof(State)];
        return std::shared_ptr<State>(::new (static_cast<void*>(memory)) State,
                                      [](State* s) { s->~State(); });
    }
    /// How an object, its atomics, and pointers to it are called in the story of a failure.
    template <typename T>
    static void name(const T& object, const char* called, int number = -1) {
        const auto begin = reinterpret_cast<std::uintptr_t>(&object);
        now().names_.push_back({begin, begin + sizeof(T), called, number});
    }
    /// In a scenario: what must hold.
    static void demand(bool holds, const char* what) {
        if (!holds) now().fail(what);
    }
    /// In a thread that begins again: of what it has learned only this still matters.
    static void forget_all_but(std::uint64_t matters) { now().me().history = matters; }
    /// Something it has learned otherwise than by an operation here.
    static void learn(std::uint64_t value) { now().learned(value); }
    /// The number of the running thread, from 1; 0: before and after.
    static std::size_t thread_number() { return active() ? now().self_ : 0; }

    void fail(const std::string& what) {
        if (failure_.empty()) failure_ = what;
        leave();
    }

    // --- for atomic, plain, mutex, ... ---

    struct store_event {
        std::uint64_t value;
        view released;
        bool modifies;  // a read-modify-write: stays next to what it read
    };
    struct location {
        std::vector<store_event> history;
        std::uintptr_t where;
    };
    struct accesses {  // to plain data, each by the number that its thread gave it
        std::size_t writer = 0;
        std::uint16_t written = 0;
        std::array<std::uint16_t, max_threads + 1> read{};
    };

    std::size_t new_location(std::uint64_t value, const void* where) {
        if (count_ == max_locations)
            std::fputs("explorer: too many atomics\n", stderr), std::abort();
        location& l = locations()[count_];
        l.history.clear();
        l.history.push_back({value, {}, false});
        l.where = reinterpret_cast<std::uintptr_t>(where);
        return count_++;
    }
    std::uint64_t load(std::size_t l, std::memory_order order) {
        before_step();
        const std::size_t picked = pick(floor_of(l, order), last(l));
        return look(l, picked, order, "load");
    }
    void store(std::size_t l, std::uint64_t value, std::memory_order order) {
        before_step();
        ++writes_;
        const auto& history = locations()[l].history;
        std::array<std::size_t, 64> places{};
        std::size_t count = 0;
        for (std::size_t p = history.size(); p > floor_of(l, order) && count != 64; --p) {
            if (p == history.size() || !history[p].modifies) places[count++] = p;
            if (alone()) break;
        }
        const std::size_t place = places[choose(count)];
        insert(l, place, value, order, false);
        tell("store", l, order, value, place + 1 != history.size());
    }
    /// `change(old, new)`: false leaves the value as it is, and the operation is a load.
    template <typename Change>
    std::uint64_t modify(std::size_t l, Change change, std::memory_order order,
                         std::memory_order failed, const char* what) {
        before_step();
        const auto& history = locations()[l].history;
        const std::size_t oldest = std::min(floor_of(l, order), floor_of(l, failed));
        std::array<std::size_t, 64> places{};
        std::size_t count = 0;
        for (std::size_t p = history.size(); p-- > oldest && count != 64;) {
            std::uint64_t fresh = 0;
            const bool changes = change(history[p].value, fresh);
            if (p < floor_of(l, changes ? order : failed)) continue;
            if (changes && p + 1 != history.size() && history[p + 1].modifies) continue;
            places[count++] = p;
            if (alone() || me().impatient) break;
        }
        const std::size_t picked = places[choose(count)];
        const std::uint64_t old = history[picked].value;
        std::uint64_t fresh = 0;
        if (!change(old, fresh)) return look(l, picked, failed, what);
        ++writes_;
        learned(old);
        if (acquires(order)) me().known.join(view(history[picked].released));
        insert(l, picked + 1, fresh, order, true);
        tell(what, l, order, fresh, picked + 2 != history.size());
        return old;
    }
    // Asymmetric fences: what is known of the atomics, and of nothing else.
    void light_fence() {
        before_step();
        me().known.join_stores(heavy_);
        light_.join_stores(me().known);
    }
    void heavy_fence() {
        before_step();
        view& known = me().known;
        known.join_stores(heavy_);
        known.join_stores(light_);
        heavy_.join_stores(known);
    }
    // Stands still until the newest store has that value, and acquires it.
    void await(std::size_t l, std::uint64_t value) {
        stand_still({still::value, l, value});
        thread& t = me();
        t.known.store[l] = static_cast<std::uint16_t>(last(l));
        t.known.join(view(locations()[l].history.back().released));
        tell("await", l, std::memory_order_acquire, value, false);
    }
    // What is there by now, as the kernel sees it; an older value is not seen afterwards.
    std::uint64_t newest(std::size_t l) {
        me().known.store[l] = static_cast<std::uint16_t>(last(l));
        const std::uint64_t value = locations()[l].history.back().value;
        learned(value);
        return value;
    }
    // Data that is no atomic: whoever touches it must know of all that was done to it.
    void touch(accesses& a, bool write) {
        if (self_ == 0 && threads_.size() > 1 && !ended_) return;  // clearing up after a failure
        view& known = me().known;
        if (known.access[a.writer] < a.written)
            return fail("a data race: not ordered after a write");
        if (write) {
            for (std::size_t i = 0; i != a.read.size(); ++i) {
                if (known.access[i] < a.read[i])
                    return fail("a data race: not ordered after a read");
            }
            a.writer = self_;
            a.written = ++known.access[self_];
        } else {
            a.read[self_] = ++known.access[self_];
        }
    }
    // A lock: a location whose value is 1 while it is held.
    void lock(std::size_t l) {
        stand_still({still::value, l, 0});
        location& m = locations()[l];
        learned(m.history.size());  // it is part of the order in which it was held
        me().known.join(m.history.back().released);
        m.history.back().value = 1;
        tell("lock", l, std::memory_order_acquire, 1, false);
    }
    void unlock(std::size_t l) {
        ++writes_;
        location& m = locations()[l];
        m.history.back().value = 0;
        m.history.back().released = me().known;
        tell("unlock", l, std::memory_order_release, 0, false);
    }
    // Under the lock, which orders them: no steps of their own.
    void tell_nobody(std::size_t l) { locations()[l].history.back().value = 0; }
    void tell_waiter(std::size_t l) { locations()[l].history.back().value = 1; }
    // A thread that spins: others go first, until one of them has written something.
    void yield() {
        if (self_ == 0) return;
        me().impatient = true;
        if (++me().yields > 1000) fail("it spins for ever");
        stand_still({still::yielding, 0, writes_});
    }

private:
    struct choice {
        std::uint32_t taken, of;
    };
    enum class still : unsigned char { no, value, yielding };
    struct standing {
        still why = still::no;
        std::size_t location = 0;
        std::uint64_t value = 0;
    };
    struct thread {
        ucontext_t context;
        jmp_buf at;
        bool begun = false;
        std::function<void()> body;
        view known;
        std::uint64_t history = 0;  // hash of all it has learned
        bool over = false;
        bool impatient = false;  // it spins: it reads what is newest, to come to an end
        unsigned yields = 0;
        standing stands;
    };
    struct named {
        std::uintptr_t begin, end;
        const char* called;
        int number;
    };
    struct told {
        std::size_t by;
        const char* what;
        std::size_t where;
        std::memory_order order;
        std::uint64_t value;
        bool not_newest;
    };

    world(std::vector<choice>& path, std::unordered_set<std::uint64_t>& seen)
        : path_(path), seen_(seen) {}

    static world*& current() {
        static world* w = nullptr;
        return w;
    }
    // Kept from run to run, for their memory.
    static std::array<location, max_locations>& locations() {
        static std::array<location, max_locations> all;
        return all;
    }
    static char* stack_of(std::size_t number) {
        static std::array<std::unique_ptr<char[]>, max_threads + 1> stacks;
        if (!stacks[number]) stacks[number] = std::make_unique<char[]>(stack_size);
        return stacks[number].get();
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
        thread_names_ = s.names;
        threads_.resize(1 + s.threads.size());
        if (threads_.size() > max_threads + 1)
            std::fputs("explorer: too many threads\n", stderr), std::abort();
        for (std::size_t i = 1; i != threads_.size(); ++i) {
            threads_[i].body = std::move(s.threads[i - 1]);
            threads_[i].known = threads_[0].known;
        }
        while (failure_.empty() && !cut_) {
            const std::size_t chosen = schedule(s.may_rest);
            if (chosen == 0) break;
            self_ = chosen;
            go_to(threads_[chosen]);
        }
        self_ = 0;
        ended_ = true;
        if (!failure_.empty() || cut_) return;
        for (const thread& t : threads_) threads_[0].known.join(t.known);
        if (s.at_end) s.at_end();
    }
    bool able(const thread& t) const {
        if (t.over) return false;
        switch (t.stands.why) {
            case still::value:
                return locations()[t.stands.location].history.back().value == t.stands.value;
            case still::yielding: return writes_ != t.stands.value;
            case still::no: break;
        }
        return true;
    }
    // The next thread to run; 0: all are over, or at rest.
    std::size_t schedule(bool may_rest) {
        std::array<std::size_t, max_threads + 1> ready{};
        std::size_t count = 0, spinning = 0;
        bool all_over = true;
        for (std::size_t i = 1; i != threads_.size(); ++i) {
            all_over = all_over && threads_[i].over;
            if (able(threads_[i])) ready[count++] = i;
            else if (!threads_[i].over && threads_[i].stands.why == still::yielding) spinning = i;
        }
        if (all_over) return 0;
        if (count == 0 && spinning != 0) return spinning;
        if (count == 0) {
            if (!may_rest) failure_ = "all wait for one another";
            return 0;
        }
        if (depth_ >= path_.size() && !seen_.insert(state()).second) {
            cut_ = true;
            return 0;
        }
        // Going on with the same thread comes first: the first schedules are the plain ones.
        const auto end = ready.begin() + static_cast<std::ptrdiff_t>(count);
        const auto same = std::find(ready.begin(), end, self_);
        if (same != end) std::swap(*same, ready[0]);
        return ready[choose(count)];
    }
    std::size_t choose(std::size_t of) {
        if (of == 1) return 0;
        if (depth_ == path_.size()) path_.push_back({0, static_cast<std::uint32_t>(of)});
        return path_[depth_++].taken;
    }

    // --- memory ---

    static bool acquires(std::memory_order o) {
        return o == std::memory_order_acquire || o == std::memory_order_acq_rel ||
               o == std::memory_order_seq_cst;
    }
    static bool releases(std::memory_order o) {
        return o == std::memory_order_release || o == std::memory_order_acq_rel ||
               o == std::memory_order_seq_cst;
    }
    bool alone() const { return self_ == 0; }
    std::size_t last(std::size_t l) const { return locations()[l].history.size() - 1; }
    // The oldest store that an operation may read, or come after.
    std::size_t floor_of(std::size_t l, std::memory_order order) {
        const std::size_t known = me().known.store[l];
        return order == std::memory_order_seq_cst ? std::max<std::size_t>(known, sc_[l]) : known;
    }
    std::size_t pick(std::size_t oldest, std::size_t newest) {
        if (alone() || me().impatient) return newest;
        return newest - choose(newest - oldest + 1);
    }
    std::uint64_t look(std::size_t l, std::size_t picked, std::memory_order order,
                       const char* what) {
        thread& t = me();
        const store_event& seen = locations()[l].history[picked];
        t.known.store[l] = static_cast<std::uint16_t>(picked);
        if (acquires(order)) t.known.join(view(seen.released));
        if (order == std::memory_order_seq_cst)
            sc_[l] = std::max(sc_[l], static_cast<std::uint16_t>(picked));
        learned(seen.value);
        tell(what, l, order, seen.value, picked != last(l));
        return seen.value;
    }
    void insert(std::size_t l, std::size_t place, std::uint64_t value, std::memory_order order,
                bool modifies) {
        auto& history = locations()[l].history;
        const auto here = static_cast<std::uint16_t>(place);
        if (place != history.size()) {  // those after it have moved up
            const auto up = [here](std::uint16_t& index) {
                if (index >= here) ++index;
            };
            const auto shift = [l, up](view& v) { up(v.store[l]); };
            for (thread& t : threads_) shift(t.known);
            shift(light_);
            shift(heavy_);
            for (std::size_t i = 0; i != count_; ++i) {
                for (store_event& e : locations()[i].history) shift(e.released);
            }
            up(sc_[l]);
        }
        thread& t = me();
        t.impatient = false;
        t.known.store[l] = here;
        store_event e{value, {}, modifies};
        if (modifies) e.released = history[place - 1].released;  // a release sequence goes on
        if (releases(order)) e.released.join(t.known);
        history.insert(history.begin() + static_cast<std::ptrdiff_t>(place), e);
        if (order == std::memory_order_seq_cst) sc_[l] = std::max(sc_[l], here);
    }
    // Without what nobody can read any more, and relative to it.
    std::uint64_t state() const {
        std::uint64_t h = 0xcbf29ce484222325;
        const auto mix = [&h](std::uint64_t x) {
            h = (h ^ x) * 0x9e3779b97f4a7c15;
            h ^= h >> 29;
        };
        std::array<std::uint16_t, max_locations> base{};
        for (std::size_t l = 0; l != count_; ++l) {
            base[l] = static_cast<std::uint16_t>(last(l));
            for (std::size_t i = 1; i != threads_.size(); ++i) {
                if (!threads_[i].over) base[l] = std::min(base[l], threads_[i].known.store[l]);
            }
        }
        const auto mix_view = [&](const view& v) {
            for (std::size_t l = 0; l != count_; ++l)
                mix(static_cast<std::uint64_t>(std::max(v.store[l], base[l]) - base[l]));
            for (const std::uint16_t a : v.access) mix(a);
        };
        for (std::size_t l = 0; l != count_; ++l) {
            const auto& history = locations()[l].history;
            mix(history.size() - base[l]);
            for (std::size_t e = base[l]; e != history.size(); ++e) {
                mix(history[e].value * 2 + history[e].modifies);
                mix_view(history[e].released);
            }
            mix(static_cast<std::uint64_t>(std::max(sc_[l], base[l]) - base[l]));
        }
        mix_view(light_);
        mix_view(heavy_);
        for (std::size_t i = 1; i != threads_.size(); ++i) {
            const thread& t = threads_[i];
            mix(t.over);
            mix(t.history);  // stands for its variables, and for what it did to plain data
            if (t.over) continue;
            mix(static_cast<std::uint64_t>(t.stands.why) * 2 + t.impatient);
            if (t.stands.why == still::yielding) mix(writes_ != t.stands.value);
            mix_view(t.known);
        }
        return h;
    }

    // --- fibers: by context the first time, then by setjmp, which makes no system call ---

    static constexpr std::size_t stack_size = 64 * 1024;

    static void entry() {
        thread& t = now().me();
        t.body();
        t.over = true;
        now().back();
    }
    [[gnu::noinline]] void go_to(thread& t) {
        if (_setjmp(main_) != 0) return;
        if (t.begun) _longjmp(t.at, 1);
        t.begun = true;
        getcontext(&t.context);
        t.context.uc_stack.ss_sp = stack_of(self_);
        t.context.uc_stack.ss_size = stack_size;
        t.context.uc_link = nullptr;
        makecontext(&t.context, &world::entry, 0);
        setcontext(&t.context);
    }
    [[gnu::noinline]] void back() {
        if (_setjmp(me().at) == 0) _longjmp(main_, 1);
    }
    thread& me() { return threads_[self_]; }
    void before_step() { stand_still({}); }
    void stand_still(standing s) {
        if (++steps_ > max_steps) fail("it does not come to an end");
        learned(1);  // that it has come as far as this
        if (self_ == 0) return;
        me().stands = s;
        back();
        me().stands = {};
    }
    void leave() {
        if (self_ == 0) return;
        for (;;) back();  // this run is over
    }
    void learned(std::uint64_t value) { me().history = (me().history ^ value) * 0x100000001b3 + 1; }

    // --- the story of a failure ---

    void tell(const char* what, std::size_t l, std::memory_order order, std::uint64_t value,
              bool not_newest) {
        story_.push_back({self_, what, l, order, value, not_newest});
    }
    static const char* name_of(std::memory_order order) {
        switch (order) {
            case std::memory_order_relaxed: return "relaxed";
            case std::memory_order_consume: return "consume";
            case std::memory_order_acquire: return "acquire";
            case std::memory_order_release: return "release";
            case std::memory_order_acq_rel: return "acq_rel";
            case std::memory_order_seq_cst: return "seq_cst";
        }
        return "";
    }
    const named* object_at(std::uintptr_t address) const {
        const named* best = nullptr;
        for (const named& n : names_) {
            if (n.begin <= address && address < n.end &&
                (!best || n.end - n.begin < best->end - best->begin))
                best = &n;
        }
        return best;
    }
    static std::string name_of(const named& n) {
        return n.called + (n.number < 0 ? std::string() : " " + std::to_string(n.number));
    }
    // "ring 1 [2]": the third atomic of the object of that name.
    std::string name_of_location(std::size_t l) const {
        const named* const object = object_at(locations()[l].where);
        if (!object) return "#" + std::to_string(l);
        std::size_t before = 0, all = 0;
        for (std::size_t i = 0; i != count_; ++i) {
            if (object_at(locations()[i].where) != object) continue;
            ++all;
            before += locations()[i].where < locations()[l].where;
        }
        return name_of(*object) + (all > 1 ? " [" + std::to_string(before) + "]" : "");
    }
    std::string text_of(std::uint64_t value) const {
        const std::uint64_t bits = value & 3;
        if (const named* const object = object_at(value - bits); object && value > 4096)
            return "&" + name_of(*object) + (bits != 0 ? " + " + std::to_string(bits) : "");
        char text[24];
        std::snprintf(text, sizeof text, value < 100'000 ? "%llu" : "0x%llx",
                      static_cast<unsigned long long>(value));
        return text;
    }
    std::string thread_name(std::size_t number) const {
        if (number == 0) return "(alone)";
        return number <= thread_names_.size() ? thread_names_[number - 1]
                                              : "thread " + std::to_string(number);
    }
    std::string story() const {
        std::string text;
        char line[160];
        int number = 0;
        for (const told& s : story_) {
            if (s.by == 0 && !ended_) continue;
            std::snprintf(line, sizeof line, "  %3d  %-12s %-16s %-9s %-8s %s %s%s\n", ++number,
                          thread_name(s.by).c_str(), name_of_location(s.where).c_str(), s.what,
                          name_of(s.order), s.what[0] == 's' ? "<-" : "->",
                          text_of(s.value).c_str(), s.not_newest ? "   (not the newest)" : "");
            text += line;
        }
        for (std::size_t i = 1; i != threads_.size(); ++i) {
            if (threads_[i].over || threads_[i].stands.why != still::value) continue;
            text += "       " + thread_name(i) + " stands still until " +
                    name_of_location(threads_[i].stands.location) + " is " +
                    text_of(threads_[i].stands.value) + "\n";
        }
        return text;
    }

    std::vector<choice>& path_;
    std::unordered_set<std::uint64_t>& seen_;
    std::size_t depth_ = 0;
    std::vector<thread> threads_;
    std::size_t count_ = 0;  // of locations
    std::array<std::uint16_t, max_locations> sc_{};  // what seq_cst operations must not go behind
    view light_, heavy_;  // what was known at any such fence
    jmp_buf main_;
    std::size_t self_ = 0;
    std::uint64_t steps_ = 0, writes_ = 0;
    bool cut_ = false, ended_ = false;
    std::string failure_;
    std::vector<told> story_;
    std::vector<named> names_;
    std::vector<const char*> thread_names_;
};

/// std::atomic, as the cores use it. Outside of a scenario it is a plain variable.
template <typename T>
class atomic {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);

public:
    atomic(T value = T()) noexcept
        : location_(world::active() ? world::now().new_location(bits(value), this) : nowhere),
          outside_(value) {}
    atomic(const atomic&) = delete;

    T load(std::memory_order order) const noexcept {
        return here() ? value(world::now().load(location_, order)) : outside_;
    }
    void store(T v, std::memory_order order) noexcept {
        if (here()) world::now().store(location_, bits(v), order);
        else outside_ = v;
    }
    T exchange(T v, std::memory_order order) noexcept {
        return modify([v](T) { return v; }, order, "exchange");
    }
    T fetch_add(T n, std::memory_order order) noexcept {
        return modify([n](T old) { return static_cast<T>(old + n); }, order, "add");
    }
    T fetch_sub(T n, std::memory_order order) noexcept {
        return modify([n](T old) { return static_cast<T>(old - n); }, order, "subtract");
    }
    T fetch_or(T n, std::memory_order order) noexcept {
        return modify([n](T old) { return static_cast<T>(old | n); }, order, "or");
    }
    T fetch_and(T n, std::memory_order order) noexcept {
        return modify([n](T old) { return static_cast<T>(old & n); }, order, "and");
    }
    bool compare_exchange_strong(T& expected, T fresh, std::memory_order order,
                                 std::memory_order failed) noexcept {
        const std::uint64_t wanted = bits(expected);
        if (!here()) {
            const bool same = bits(outside_) == wanted;
            expected = std::exchange(outside_, same ? fresh : outside_);
            return same;
        }
        expected = value(world::now().modify(
            location_,
            [&](std::uint64_t old, std::uint64_t& to) { return to = bits(fresh), old == wanted; },
            order, failed, "cas"));
        return bits(expected) == wanted;
    }
    bool compare_exchange_weak(T& expected, T fresh, std::memory_order order,
                               std::memory_order failed) noexcept {
        return compare_exchange_strong(expected, fresh, order, failed);
    }
    bool compare_exchange_strong(T& expected, T fresh, std::memory_order order) noexcept {
        return compare_exchange_strong(
            expected, fresh, order,
            order == std::memory_order_acq_rel   ? std::memory_order_acquire
            : order == std::memory_order_release ? std::memory_order_relaxed
                                                 : order);
    }
    bool compare_exchange_weak(T& expected, T fresh, std::memory_order order) noexcept {
        return compare_exchange_strong(expected, fresh, order);
    }

    /// In a scenario: waits for that value, and knows then what was done before it.
    void wait_until(T v) noexcept { world::now().await(location_, bits(v)); }

    /// As a futex: sleeps while the newest value is this one, until notify_one(). Orders nothing.
    void wait(T v, std::memory_order) const noexcept {
        if (!here() || world::now().newest(location_) != bits(v)) return;
        if (told_ == nowhere) told_ = world::now().new_location(0, this);
        world::now().tell_nobody(told_);
        world::now().await(told_, 1);
    }
    void notify_one() noexcept {
        if (told_ != nowhere) world::now().tell_waiter(told_);
    }

private:
    static constexpr std::size_t nowhere = ~std::size_t{0};
    bool here() const noexcept { return location_ != nowhere; }
    template <typename F>
    T modify(F f, std::memory_order order, const char* what) noexcept {
        if (!here()) return std::exchange(outside_, f(outside_));
        const auto change = [&](std::uint64_t old, std::uint64_t& to) {
            return to = bits(f(value(old))), true;
        };
        return value(world::now().modify(location_, change, order, order, what));
    }
    static std::uint64_t bits(T v) noexcept {
        std::uint64_t b = 0;
        std::memcpy(&b, &v, sizeof v);
        return b;
    }
    static T value(std::uint64_t b) noexcept {
        T v;
        std::memcpy(static_cast<void*>(&v), &b, sizeof v);
        return v;
    }
    std::size_t location_;
    mutable std::size_t told_ = nowhere;
    T outside_;
};

struct atomics {
    template <typename T>
    using atomic = explore::atomic<T>;
};

/// detail::asymmetric_fence.
class asymmetric_fence {
public:
    void light() const noexcept {
        if (world::thread_number() != 0) world::now().light_fence();
    }
    void heavy() const noexcept {
        if (world::thread_number() != 0) world::now().heavy_fence();
    }
};

/// Data that the core under test is to protect: touching it without knowing its last change, or
/// changing it without knowing of all who have read it, fails.
class plain {
public:
    plain() = default;
    plain(const plain&) = delete;
    void read() const { world::now().touch(done_, false); }
    void write() { world::now().touch(done_, true); }

private:
    mutable world::accesses done_;
};

/// A std::mutex or a spin lock. It has its place once a thread of a scenario takes it: some objects
/// have many, of which few are.
class mutex {
public:
    mutex() noexcept = default;
    mutex(const mutex&) = delete;
    void lock() noexcept {
        if (world::thread_number() == 0) return;
        if (location_ == nowhere) location_ = world::now().new_location(0, this);
        world::now().lock(location_);
    }
    /// As spin_lock's; nobody holds it for long here.
    template <typename Flag>
    bool lock_unless(const Flag&) noexcept {
        return lock(), true;
    }
    void unlock() noexcept {
        if (world::thread_number() != 0) world::now().unlock(location_);
    }

private:
    static constexpr std::size_t nowhere = ~std::size_t{0};
    std::size_t location_ = nowhere;
};

/// std::chrono::steady_clock; it goes on only while somebody waits for a time, and only so far.
class steady_clock {
public:
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<steady_clock>;
    static constexpr bool is_steady = true;

    static time_point now() noexcept { return time_; }
    /// At the begin of a scenario: what comes after `end` never comes.
    static void set(time_point begin, time_point end) {
        time_ = begin, end_ = end;
        awaited_ = false;
    }
    /// At its end: somebody stands still, and would go on later.
    static bool awaited() noexcept { return awaited_; }

private:
    friend class condition;
    static inline time_point time_, end_;
    static inline bool awaited_;
};

/// A std::condition_variable that is waited on by one thread at a time.
class condition {
public:
    /// Time may pass at once. For one thread of a scenario, which has the clock for itself.
    template <typename Lock, typename Predicate>
    bool wait_until(Lock& guard, steady_clock::time_point end, Predicate called) {
        if (end > steady_clock::end_) {
            steady_clock::awaited_ = true;
            wait(guard, called);
            steady_clock::awaited_ = false;
        } else if (!called()) {
            guard.unlock();
            guard.lock();
            steady_clock::time_ = std::max(steady_clock::time_, end);
        }
        return called();
    }
    template <typename Lock, typename Predicate>
    void wait(Lock& guard, Predicate called) {
        while (!called()) {
            world::now().tell_nobody(told_);
            guard.unlock();
            world::now().await(told_, 1);
            guard.lock();
        }
    }
    /// There is no time here: waits for the call.
    template <typename Lock, typename Duration, typename Predicate>
    bool wait_for(Lock& guard, Duration, Predicate called) {
        return wait(guard, called), true;
    }
    void notify_one() noexcept { world::now().tell_waiter(told_); }
    void notify_all() noexcept { notify_one(); }

private:
    std::size_t told_ = world::now().new_location(0, this);
};

/// What a program has explored.
class reports {
public:
    /// Prints what was explored.
    void add(const char* name, const world::outcome& o) {
        print(name, o);
        states_ += o.states;
        runs_ += o.runs;
        steps_ += o.steps;
        seconds_ += o.seconds;
        if (!o.failure.empty()) ++bad_;
    }
    void add(const char* name, const std::function<world::script()>& make,
             std::uint64_t max_runs = world::usual_runs) {
        if (bad_ == 0) add(name, world::run(make, max_runs));
    }
    /// Prints the sum; what main() returns.
    int end() const {
        print("all", {runs_, states_, steps_, seconds_, bad_ == 0 ? "" : "see above"});
        return bad_ == 0 ? 0 : 1;
    }

private:
    static void print(const char* name, const world::outcome& o) {
        std::printf("%-40s %8llu states %8llu runs %9llu steps %6.2f s: %s\n", name,
                    static_cast<unsigned long long>(o.states),
                    static_cast<unsigned long long>(o.runs),
                    static_cast<unsigned long long>(o.steps), o.seconds,
                    o.failure.empty() ? "right" : o.failure.c_str());
        std::fflush(stdout);
    }
    std::uint64_t states_ = 0, runs_ = 0, steps_ = 0;
    double seconds_ = 0;
    int bad_ = 0;
};

}  // namespace posthaste::testing::explore
