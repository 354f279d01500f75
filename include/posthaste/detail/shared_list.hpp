// A list of what is shared, linked in itself.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace posthaste::detail {

/// As a std::list of std::shared_ptrs, but quickly compiled, and without an allocation for each: a
/// T has a `std::shared_ptr<T> next_`, which is the list's.
///
/// Threads    one at a time; several may look at once.
template <typename T>
class shared_list {
public:
    using pointer = std::shared_ptr<T>;

    shared_list() noexcept = default;
    shared_list(const shared_list&) = delete;
    ~shared_list() {
        while (first_) first_ = std::move(first_->next_);  // one by one: each with the next one
    }  // would be as deep as the list is long

    void add(pointer last) noexcept {
        *end_ = std::move(last);
        end_ = &(*end_)->next_;
        ++size_;
    }
    /// All that is in `other` comes after what is here.
    void append(shared_list& other) noexcept {
        if (other.size_ == 0) return;
        *end_ = std::move(other.first_);
        end_ = other.end_;
        size_ += other.size_;
        other.end_ = &other.first_;
        other.size_ = 0;
    }
    /// Out of here, the first of which `is(T&)` is true; nullptr: there is none.
    template <typename Is>
    pointer take(Is is) noexcept {
        pointer* const link = find(is);
        pointer taken = std::move(*link);
        if (!taken) return taken;
        *link = std::move(taken->next_);
        if (!*link) end_ = link;
        --size_;
        return taken;
    }
    /// The same, which stays.
    template <typename Is>
    pointer get(Is is) noexcept {
        return *find(is);
    }
    template <typename F>
    void for_each(F f) const {
        for (const pointer* p = &first_; *p; p = &(*p)->next_) f(*p);
    }
    std::size_t size() const noexcept { return size_; }

private:
    template <typename Is>
    pointer* find(Is is) noexcept {
        pointer* link = &first_;
        while (*link && !is(**link)) link = &(*link)->next_;
        return link;
    }

    pointer first_;
    pointer* end_ = &first_;  // the empty one
    std::size_t size_ = 0;
};

}  // namespace posthaste::detail
