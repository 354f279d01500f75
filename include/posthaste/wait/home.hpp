// Where a coroutine goes on.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>

#include <cstdint>
#include <string_view>

namespace posthaste {

struct frame;
struct timer;
struct allowance_timer;
struct inline_call;

/// A piece of work in an executor's queue: a node inside whatever is to be run.
struct work {
    work* next = nullptr;  ///< the queue's
    void (*run)(work&) noexcept = nullptr;
};

namespace detail {
/// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014): any
/// two states give numbers that have nothing to do with one another.
constexpr std::uint64_t mix(std::uint64_t z) noexcept {
    z += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}
}  // namespace detail

/// What an executor is to those who stand still: the place their coroutine is resumed at, and the
/// clock that tells them how long they have stood.
class home : public clock {
public:
    /// Has `w.run(w)` called once, later, on a thread of this executor. `w` must live until then
    /// and must not be posted twice at a time.
    /// Threads    any.
    virtual void post(work& w) noexcept = 0;

    /// The same for callers on one of its threads, to run before what is queued, if it can be.
    virtual void transfer(work& w) noexcept { post(w); }

    /// Has `t.fire(t)` called once, not before `due`. Nothing happens for `never`.
    /// Threads    any.
    virtual void arm(timer& t, time_point due) noexcept = 0;
    /// The same for one that is due at `t.due`, or when its allowance ends. To count that may begin
    /// later, when the executor looks at its clock next.
    // inline here already, as the others: or g++ makes code of the class wherever it is included.
    inline virtual void arm_allowance(allowance_timer& t) noexcept;
    /// Afterwards `t` neither fires nor is firing.
    virtual void disarm(timer& t) noexcept = 0;

    /// Any number, for jitter and the like; a simulation draws it from its seed. Not for secrets.
    /// Two threads at the same nanosecond have different stacks, and so different numbers.
    /// Threads    any.
    virtual std::uint64_t random() noexcept {
        const auto time = static_cast<std::uint64_t>(now().time_since_epoch().count());
        return detail::mix(detail::mix(time) ^ reinterpret_cast<std::uintptr_t>(&time));
    }

    /// It has threads to spare for who is held up: watch() and unwatch() do something. Always the
    /// same answer.
    virtual bool watches() const noexcept { return false; }
    /// A call is about to run its handler on the caller's thread: until unwatch(), whoever watches
    /// may end it by its deadline, should the handler block the thread.
    virtual void watch(inline_call&) noexcept {}
    /// False: its caller was resumed elsewhere meanwhile; touch nothing of it.
    virtual bool unwatch(inline_call&) noexcept { return true; }

    /// Where a coroutine stands still, for those who keep a record (simulation does).
    inline virtual void park(frame& f, const char* on, std::string_view name) noexcept;
    inline virtual void unpark(frame& f) noexcept;

protected:
    ~home() = default;
};

/// A call whose handler runs inline; lives on the stack of the thread it runs on.
struct inline_call {
    inline_call* outer = nullptr;  ///< the one within whose handler this was made
    duration allowance = forever;  ///< counted from when the watcher first sees it
    time_point deadline = never;
    bool taken = false;  ///< the watcher has ended it
    bool (*expire)(inline_call&) noexcept = nullptr;  ///< false: it has ended by itself
};

}  // namespace posthaste
