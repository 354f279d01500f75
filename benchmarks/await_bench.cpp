// What it costs to await.  SPDX-License-Identifier: BSL-1.0
#include "floors.hpp"
#include "measure.hpp"
#include "workloads.hpp"

#include <posthaste/posthaste.hpp>

#include <array>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <future>
#include <tuple>
#include <utility>

namespace {

posthaste::task<std::uint64_t> add_one(std::uint64_t to) { co_return to + 1; }

struct posthaste_task {
    static posthaste::task<std::uint64_t> again_and_again(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) sum = co_await add_one(sum);
        co_return sum;
    }
    std::uint64_t operator()(std::uint64_t n) const {
        return posthaste::sync_wait(again_and_again(n));
    }
};

struct recycled_task {
    static floors::task add_one(std::uint64_t to) { co_return to + 1; }
    static floors::task again_and_again(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) sum = co_await add_one(sum);
        co_return sum;
    }
    std::uint64_t operator()(std::uint64_t n) const { return again_and_again(n).run(); }
};

/// Two coroutines that hand over to one another. An await needs two such steps.
class symmetric_transfer {
public:
    std::uint64_t operator()(std::uint64_t n) {
        const pong partner = bounce(*this);
        left_ = n, done_ = 0;
        const pong self = bounce(*this);
        there_ = partner.self, here_ = self.self;
        here_.resume();
        partner.self.destroy(), self.self.destroy();
        return done_;
    }

private:
    struct pong {
        struct promise_type {
            pong get_return_object() noexcept {
                return {std::coroutine_handle<promise_type>::from_promise(*this)};
            }
            std::suspend_always initial_suspend() const noexcept { return {}; }
            std::suspend_always final_suspend() const noexcept { return {}; }
            void return_void() const noexcept {}
            void unhandled_exception() const noexcept { std::terminate(); }
        };
        std::coroutine_handle<> self;
    };
    struct hand_over {
        symmetric_transfer& of;
        bool await_ready() const noexcept { return of.left_ == 0; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> h) const noexcept {
            --of.left_, ++of.done_;
            return std::exchange(of.there_, h);
        }
        void await_resume() const noexcept {}
    };
    static pong bounce(symmetric_transfer& of) {
        while (of.left_ != 0) co_await hand_over{of};
    }
    std::uint64_t left_ = 0, done_ = 0;
    std::coroutine_handle<> here_, there_;
};

struct posthaste_when_all {
    static posthaste::task<std::uint64_t> again_and_again(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) {
            auto all = co_await posthaste::when_all(add_one(i), add_one(i), add_one(i), add_one(i),
                                                    add_one(i), add_one(i), add_one(i), add_one(i));
            std::apply([&](auto... v) { sum += ((v == i + 1) && ...); }, all);
        }
        co_return sum;
    }
    std::uint64_t operator()(std::uint64_t n) const {
        return posthaste::sync_wait(again_and_again(n));
    }
};

/// Calls instead of tasks, to an idle endpoint.
class posthaste_gather {
public:
    std::uint64_t operator()(std::uint64_t n) {
        return posthaste::sync_wait(loop_, again_and_again(n));
    }

private:
    struct message {
        using reply = std::uint64_t;
        std::uint64_t to;
    };
    posthaste::task<std::uint64_t> again_and_again(std::uint64_t n) {
        std::uint64_t sum = 0;
        const auto& c = adder_;
        for (std::uint64_t i = 0; i != n; ++i) {
            auto all = co_await posthaste::gather(c.call(i), c.call(i), c.call(i), c.call(i),
                                                  c.call(i), c.call(i), c.call(i), c.call(i));
            std::apply([&](auto&... v) { sum += ((*v == i + 1) && ...); }, all);
        }
        co_return sum;
    }
    posthaste::run_loop loop_;
    posthaste::bus bus_{loop_};
    posthaste::client<message> adder_ = [this] {
        bus_.handle<message>("adder", [](message m) { return m.to + 1; });
        return bus_.client<message>("adder");
    }();
};

/// A thread each.
struct std_async {
    std::uint64_t operator()(std::uint64_t n) const {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) {
            std::array<std::future<std::uint64_t>, 8> all;
            for (auto& f : all) f = std::async(std::launch::async, [i] { return i + 1; });
            std::uint64_t right = 0;
            for (auto& f : all) right += f.get() == i + 1;
            sum += right == 8;
        }
        return sum;
    }
};

[[maybe_unused]] const bool contenders[] = {
    contend<posthaste_task>(workload::await_task, "posthaste"),
    contend<recycled_task>(workload::await_task, "floor: recycled frame"),
    contend<symmetric_transfer>(workload::await_task, "floor: one symmetric transfer"),

    contend<posthaste_when_all>(workload::await_8, "posthaste"),
    contend<posthaste_gather>(workload::await_8, "posthaste, gather of calls"),
    contend<std_async>(workload::await_8, "std::async"),
};

}  // namespace
