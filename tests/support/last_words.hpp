// One that says so when it is destroyed, and who hears it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/result.hpp>
#include <posthaste/run/task.hpp>
#include <posthaste/wait/event.hpp>

#include <memory>

namespace posthaste::testing {

struct last_words {
    event said;
    int heard = 0;
    int resumed = 0;  // for who awaits them
    /// Each of them has a share of it: one left means that all are gone.
    const std::shared_ptr<int> alive = std::make_shared<int>();

    task<result<int>> goes() { return stands(alive); }
    task<result<int>> hears() { return listens(alive); }

    struct at_its_end {
        std::unique_ptr<event, void (*)(event*)> says;
        explicit at_its_end(event& e) noexcept : says(&e, [](event* it) { it->set(); }) {}
    };

private:
    task<result<int>> stands(std::shared_ptr<int>) {
        const at_its_end last(said);
        static_cast<void>(co_await never_set_.wait());
        co_return 1;
    }
    task<result<int>> listens(std::shared_ptr<int>) {
        const bool is_said = (co_await said.wait()).has_value();
        if (is_said) ++heard;
        co_return 2;
    }

    event never_set_;
};

}  // namespace posthaste::testing
