// A seeded executor in virtual time.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/run/executor.hpp>
#include <posthaste/run/timer_wheel.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace posthaste {

/// Runs a whole program on one thread, in an order that a seed decides, on a clock that stands
/// still while anything can run and then jumps to the next timer. The same seed gives the same run.
///
///     simulation world(42);
///     bus app(world);
///     ...
///     app.run(my_test);            // returns at once, whatever the time it took in there
///
/// Errors     `simulation::stuck` from drive(), where nothing is left that could ever run: it says
///            what is parked, on what, since when. Without exceptions it ends the program;
///            report() says the same in a debugger.
/// Threads    one.
class simulation final : public executor {
public:
    /// Thrown when all stand still for ever.
    class stuck : public std::logic_error {
    public:
        using std::logic_error::logic_error;
    };

    explicit simulation(std::uint64_t seed = 1) : seed_(seed), random_(seed) {
        ready_.reserve(256);
    }
    simulation(const simulation&) = delete;
    ~simulation() { drive_ready(); }

    std::uint64_t seed() const noexcept { return seed_; }

    /// Steps taken so far, and a hash of all the choices among them: equal for equal runs.
    std::uint64_t steps() const noexcept { return steps_; }
    std::uint64_t trace() const noexcept { return trace_; }

    /// How far the virtual clock has come.
    duration elapsed() const noexcept { return now_.time_since_epoch(); }

    void post(work& w) noexcept override {
        parked_.erase(&w);
        ready_.push_back(&w);
    }
    bool one_by_one() const noexcept override { return true; }
    time_point now() const noexcept override { return now_; }
    void arm(timer& t, time_point due) noexcept override {
        if (due != never) timers_.arm(t, due);
    }
    void disarm(timer& t) noexcept override { timers_.disarm(t); }
    std::uint64_t random() noexcept override { return draw(); }

    void drive(detail::flag& done) override {
        const on_stage here_now(*this);
        while (!done.is_set()) {
            if (run_one()) continue;
            const time_point next = timers_.next_due();
            if (next == never) give_up();
            pass_to(next);
        }
    }
    bool drive_while(bool (*busy)(void*), void* of, time_point end) override {
        const on_stage here_now(*this);
        while (busy(of)) {
            if (run_one()) continue;
            const time_point next = timers_.next_due();
            if (next > end || next == never) {
                if (end != never) now_ = std::max(now_, end);
                return !busy(of);
            }
            pass_to(next);
        }
        return true;
    }
    /// Runs what there is to run, and lets `d` pass meanwhile.
    void advance(duration d) {
        drive_while([](void*) { return true; }, nullptr, saturating_add(now_, d));
    }
    void drive_ready() noexcept override {
        const on_stage here_now(*this);
        while (run_one()) {}
    }
    bool idle_here() const noexcept override { return driven_ == 0; }

    /// Runs until nothing is ready and no timer is armed.
    void run_until_idle() { advance(forever); }

    void park(frame& f, const char* on, std::string_view name) noexcept override {
        f.noted = true;
        parked_.insert_or_assign(&f, standing{on, std::string(name), now_});
    }
    void unpark(frame& f) noexcept override { parked_.erase(&f); }

    /// Who stands still: one line each, the longest first.
    std::string report() const {
        std::vector<const standing*> all;
        for (const auto& entry : parked_) all.push_back(&entry.second);
        std::sort(all.begin(), all.end(), [](const standing* a, const standing* b) {
            if (a->since != b->since) return a->since < b->since;
            const int order = a->name.compare(b->name);
            return order != 0 ? order < 0 : std::string_view(a->on) < b->on;
        });
        std::string text = "nothing can run any more (seed ";
        text.append(std::to_string(seed_)).append(", at ").append(milliseconds(elapsed()));
        text.append("); parked: ").append(std::to_string(all.size()));
        for (const standing* s : all) {
            text.append("\n  on ").append(s->on);
            if (!s->name.empty()) text.append(" ").append(s->name);
            text.append(", since ").append(milliseconds(s->since.time_since_epoch()));
        }
        return text;
    }

private:
    struct standing {
        const char* on;
        std::string name;
        time_point since;
    };

    class on_stage {
    public:
        explicit on_stage(simulation& s) noexcept : sim_(s), before_(detail::this_thread()) {
            detail::this_thread().executor = static_cast<const executor*>(&s);
            detail::this_thread().depth = 0;
            ++sim_.driven_;
        }
        on_stage(const on_stage&) = delete;
        ~on_stage() {
            detail::this_thread().executor = before_.executor;
            detail::this_thread().depth = before_.depth;
            --sim_.driven_;
        }

    private:
        simulation& sim_;
        detail::thread_state before_;
    };

    [[noreturn]] void give_up() const { detail::raise(stuck(report())); }
    static std::string milliseconds(duration d) {
        const auto us = std::chrono::duration_cast<std::chrono::microseconds>(d).count();
        std::string fraction = std::to_string(us % 1000);
        fraction.insert(0, 3 - fraction.size(), '0');
        return std::to_string(us / 1000).append(".").append(fraction).append(" ms");
    }
    std::uint64_t draw() noexcept {
        return detail::mix(detail::exchange(random_, random_ + 0x9e3779b97f4a7c15));
    }
    bool run_one() noexcept {
        if (ready_.empty()) return false;
        const std::size_t chosen = ready_.size() == 1 ? 0 : draw() % ready_.size();
        trace_ = (trace_ ^ (chosen + 1 + 64 * ready_.size())) * 0x100000001b3;
        ++steps_;
        work* const w = detail::exchange(ready_[chosen], ready_.back());
        ready_.pop_back();
        detail::this_thread().depth = 0;
        w->run(*w);
        return true;
    }
    void pass_to(time_point t) noexcept {
        now_ = std::max(now_, t);
        timers_.advance(now_);
    }

    std::uint64_t seed_;
    std::uint64_t random_;
    std::uint64_t steps_ = 0;
    std::uint64_t trace_ = 0xcbf29ce484222325;
    time_point now_{};
    timer_wheel timers_;
    std::vector<work*> ready_;
    std::unordered_map<const work*, standing> parked_;
    int driven_ = 0;
};

}  // namespace posthaste
