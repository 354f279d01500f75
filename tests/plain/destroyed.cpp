// Callers that are destroyed where they stand, or stopped, in any order, while destructors, stop
// callbacks and exceptions send messages and wake others: whoever is woken by one that goes runs as
// long as it is there, and only then. What it finds, a sanitizer tells, or an account that does not
// add up, or a frame that is left. destroyed [seeds]
#include <posthaste/detail/live_frames.hpp>
#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include "../support/stand_still.hpp"
#include "../support/started.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace {

using namespace posthaste;
using namespace std::chrono_literals;

struct ask {
    using reply = int;
    static constexpr bool idempotent = true;
    int number;
};
struct note {
    using reply = int;
    int number;
};

class dice {
public:
    explicit dice(unsigned seed) : numbers_(seed) {}
    /// 0 to n - 1.
    unsigned operator()(unsigned n) { return static_cast<unsigned>(numbers_()) % n; }
    duration up_to(duration most) { return most * (*this)(100) / 100; }

private:
    std::mt19937 numbers_;
};

/// A bus whose handlers end in all ways there are, and something happens whenever one goes.
class world {
public:
    explicit world(unsigned seed) : cast_(seed), sim_(seed), app_(std::make_unique<bus>(sim_)) {
        const std::size_t room = 1 + cast_(3);
        const auto full = static_cast<when_full>(cast_(4));
        switch (cast_(4)) {
            case 0: handle(serial.capacity(room).full(full)); break;
            case 1: handle(parallel(3).capacity(room).full(full)); break;
            case 2: handle(parallel(1).capacity(room).full(full)); break;
            default:
                handle(keyed([](const auto& m) { return m.number % 2; }).capacity(room).full(full));
        }
        app_->handle<ask>("other", [this](ask a) { return answer_late(a.number); });
        hedged_ = app_->client<ask>("stock", hedge_);
        hasty_ = app_->client<ask>("stock", deadline(25ms));
        other_ = app_->client<ask>("other", deadline(forever));
        notes_ = app_->client<note>("stock");
        if (cast_(2) == 0) learn();
    }

    void go_through() {
        std::vector<std::unique_ptr<caller>> callers;
        for (unsigned n = 1 + cast_(6); n != 0; --n) {
            callers.push_back(std::make_unique<caller>(*this));
            if (cast_(3) == 0) sim_.advance(cast_.up_to(20ms));
            if (cast_(4) == 0) static_cast<void>(notes_->send(7));
        }
        sim_.advance(cast_.up_to(40ms));
        while (!callers.empty()) {
            const auto one = callers.begin() + cast_(static_cast<unsigned>(callers.size()));
            if (cast_(5) == 0) {
                (*one)->stop.request_stop();
                if (cast_(2) == 0) sim_.advance(cast_.up_to(10ms));
            }
            sim_.drive_ready();  // who is to be destroyed is not about to go on
            destroyed += !(*one)->runs.ended();
            callers.erase(one);
            if (cast_(3) == 0) sim_.advance(cast_.up_to(10ms));
        }
        sim_.drive_ready();
        if (cast_(2) == 0) static_cast<void>(app_->drain(cast_.up_to(50ms)));
        add_up = app_->counts("stock").adds_up();
        app_.reset();
        sim_.drive_ready();
    }

    bool add_up = false;
    unsigned destroyed = 0;

private:
    struct caller {
        explicit caller(world& w) : runs(w.sim_, w.call(w.cast_(10)), stop.token()) {}
        stop_source stop;
        testing::started runs;
    };
    struct at_the_end {
        world& of;
        explicit at_the_end(world& w) noexcept : of(w) {}
        at_the_end(const at_the_end&) = delete;
        ~at_the_end() { of.something_happens(); }
    };

    void something_happens() {
        const unsigned what = cast_(5);
        if (what < 3) events_[cast_(2)].set();
        if (what == 2 || what == 3) static_cast<void>(notes_->send(1));
    }

    template <typename Mode>
    void handle(const Mode& mode) {
        app_->handle<ask, note>("stock", mode, [this](const auto& m, context& ctx) {
            return answer(m.number, ctx.stop());
        });
    }
    task<result<int>> answer(int number, stop_token stop) {
        if (learns_) {
            static_cast<void>(co_await sleep_for(10ms));
            co_return number;
        }
        const at_the_end last(*this);
        const stop_callback nobody_waits(stop, [this] { something_happens(); });
        switch (cast_(8)) {
            case 0: co_return failure(code::unavailable, effect::none, "no");
            case 1: static_cast<void>(co_await sleep_for(cast_.up_to(30ms))); break;
            case 2: static_cast<void>(co_await events_[cast_(2)].wait()); break;
            case 3: co_await testing::stand_still(); break;
            case 4: {
                result<int> r = co_await other_->call(number);
                if (!r) co_return std::move(r).error();
                break;
            }
            default: {
                static_cast<void>(co_await sleep_for(18ms));
#if defined(__cpp_exceptions)
                throw std::make_shared<at_the_end>(*this);  // in the failure that it becomes
#endif
            }
        }
        co_return number;
    }
    task<int> answer_late(int number) {
        static_cast<void>(co_await sleep_for(5ms));
        if (cast_(3) == 0) static_cast<void>(co_await events_[cast_(2)].wait());
        co_return number;
    }

    task<> call(unsigned how) {
        const at_the_end last(*this);
        switch (how) {
            case 0: static_cast<void>(co_await gather(hedge_of(1), brief(2), waits(3))); break;
            case 1: static_cast<void>(co_await first_of(hedge_of(1), brief(2), waits(3))); break;
            case 2: static_cast<void>(co_await quorum(2, hedge_of(1), brief(2), waits(4))); break;
            case 3: static_cast<void>(co_await when_any(hedge_of(1), sleep_for(19ms))); break;
            case 4: {
                std::array all{hedge_of(1), waits(2), brief(3)};
                static_cast<void>(co_await when_all<task<result<int>>>(std::move(all)));
                break;
            }
            case 5: static_cast<void>(co_await hasty_->send_when_room(4)); break;
            case 6: {
                auto place = co_await hasty_->reserve();
                static_cast<void>(co_await sleep_for(7ms));
                if (place) static_cast<void>(place->send(3));
                break;
            }
            default: static_cast<void>(co_await hedged_->call(1));
        }
    }
    task<result<int>> hedge_of(int n) {
        const at_the_end last(*this);
        co_return co_await hedged_->call(n);
    }
    task<result<int>> brief(int n) { co_return co_await hasty_->call(n); }
    task<result<int>> waits(int n) {
        static_cast<void>(co_await events_[cast_(2)].wait());
        co_return n;
    }

    // How long a request takes, so that others follow.
    void learn() {
        learns_ = true;
        app_->run([this]() -> task<> {
            for (int i = 0; i != 50; ++i) static_cast<void>(co_await hedged_->call(i));
        });
        learns_ = false;
    }

    dice cast_;
    simulation sim_;
    std::array<event, 2> events_;
    const hedge hedge_;
    std::unique_ptr<bus> app_;
    std::optional<client<ask>> hedged_, hasty_, other_;
    std::optional<client<note>> notes_;
    bool learns_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    const unsigned seeds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 3000;
    unsigned destroyed = 0;
    for (unsigned seed = 1; seed <= seeds; ++seed) {
        {
            world w(seed);
            w.go_through();
            destroyed += w.destroyed;
            if (!w.add_up) return std::printf("seed %u: the account does not add up\n", seed), 1;
        }
        const long left = posthaste::detail::live_frames.load(std::memory_order_relaxed);
        if (left != 0) return std::printf("seed %u: %ld frames are left\n", seed, left), 1;
    }
    std::printf("%u callers were destroyed where they stood\n", destroyed);
    return destroyed == 0;
}
