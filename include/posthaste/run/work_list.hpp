// Work in order of arrival, linked through its own nodes.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>
#include <posthaste/wait/home.hpp>

namespace posthaste {

/// A queue without memory of its own. Threads: one at a time.
class work_list {
public:
    bool empty() const noexcept { return first_ == nullptr; }
    void put(work& w) noexcept {
        w.next = nullptr;
        (first_ ? last_->next : first_) = &w;
        last_ = &w;
    }
    work* take() noexcept {
        work* w = first_;
        if (w) first_ = w->next;
        return w;
    }
    /// Everything that is in `other` comes after what is here.
    void append(work_list& other) noexcept {
        if (other.empty()) return;
        (first_ ? last_->next : first_) = detail::exchange(other.first_, nullptr);
        last_ = other.last_;
    }

private:
    work* first_ = nullptr;
    work* last_ = nullptr;  // of no meaning while empty
};

}  // namespace posthaste
