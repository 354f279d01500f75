// A bus with an endpoint, and who calls it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include "measure.hpp"

#include <posthaste/posthaste.hpp>

#include <cstdint>

struct add_one {
    using reply = std::uint64_t;
    std::uint64_t to;
};
using adder = posthaste::client<add_one>;

inline std::uint64_t plain(add_one m) { return m.to + 1; }
inline posthaste::task<std::uint64_t> coroutine(add_one m) { co_return m.to + 1; }
inline posthaste::task<std::uint64_t> suspending(add_one m) {
    co_await posthaste::yield();
    co_return m.to + 1;
}

/// n calls one after another; gives n, if all were answered right.
inline posthaste::task<std::uint64_t> call_in_turn(const adder& to, std::uint64_t n) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i != n; ++i) {
        auto answer = co_await to.call(sum);
        if (!answer) fail("no answer");
        sum = *answer;
    }
    co_return sum;
}

inline posthaste::bus_options on_threads(unsigned n) {
    posthaste::bus_options options;
    options.threads = n;
    return options;
}

/// Makes what is to be called.
using make_adder = adder (*)(posthaste::bus&);

template <auto Handler>
adder serial_adder(posthaste::bus& b) {
    b.handle<add_one>("adder", Handler);
    return b.client<add_one>("adder");
}

/// Caller and endpoint on a loop on the calling thread.
class calls_on_loop {
public:
    explicit calls_on_loop(make_adder make) : adder_(make(bus_)) {}
    std::uint64_t operator()(std::uint64_t n) {
        return posthaste::sync_wait(loop_, call_in_turn(adder_, n));
    }

private:
    posthaste::run_loop loop_;
    posthaste::bus bus_{loop_};
    const adder adder_;
};
