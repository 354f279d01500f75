// What tests of conversations have in common.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/posthaste.hpp>
#include <posthaste/prove/simulation.hpp>

#include "catch.hpp"
#include "frames.hpp"
#include "stand_still.hpp"

#include <coroutine>
#include <string>
#include <utility>

namespace posthaste::testing {

/// "value", or how it failed: "deadline exceeded, unknown".
template <typename T>
std::string outcome(const result<T>& r) {
    if (r) return "value";
    return std::string(to_string(r.error().code())) + ", " +
           std::string(to_string(r.error().effect()));
}

/// `co_await sleep_soundly(d);` is not cut short by a stop.
class sleep_soundly {
public:
    static constexpr bool keeps_home = true;
    explicit sleep_soundly(duration d) noexcept : length_(d) {}
    bool await_ready() const noexcept { return false; }
    template <homed Promise>
    void await_suspend(std::coroutine_handle<Promise> h) noexcept {
        alarm_.sleeper = &h.promise();
        h.promise().park("a time");
        home& at = *h.promise().at;
        at.arm(alarm_, saturating_add(at.now(), length_));
    }
    void await_resume() noexcept { alarm_.sleeper->at->disarm(alarm_); }

private:
    struct alarm : timer {
        alarm() noexcept
            : timer([](timer& t) noexcept { static_cast<alarm&>(t).sleeper->wake(); }) {}
        frame* sleeper = nullptr;
    };
    duration length_;
    alarm alarm_;
};

/// A task that runs on an executor of this thread while the test goes on.
template <typename T>
class launched {
public:
    launched(executor& on, task<T> t) : under_(on, never, stop_.token()), task_(std::move(t)) {
        auto& p = task_.promise();
        p.place(on, &under_);
        p.start_by_post(
            [](detail::promise_base& ended) noexcept {
                static_cast<launched*>(ended.owner())->done_ = true;
            },
            this);
    }
    launched(const launched&) = delete;

    bool done() const noexcept { return done_; }
    T value() {
        REQUIRE(done_);
        return task_.promise().take();
    }
    void stop() noexcept { stop_.request_stop(); }

private:
    stop_source stop_;
    context under_;
    task<T> task_;
    bool done_ = false;
};

}  // namespace posthaste::testing
