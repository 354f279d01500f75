// Finds things by their hashes.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/owned.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace posthaste::detail {

/// A base of what a hash_table has.
class hashed {
public:
    explicit hashed(std::size_t hash) noexcept : hash_(hash) {}
    hashed(const hashed&) = delete;

protected:
    ~hashed() = default;

private:
    friend class hash_chains;
    const std::size_t hash_;
    hashed* next_ = nullptr;  // in its chain
};

/// What is the same in all tables: one chain for each number that a hash may leave.
class hash_chains {
public:
    hash_chains() = default;
    hash_chains(const hash_chains&) = delete;

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

protected:
    ~hash_chains() = default;

    void insert(hashed& h) {
        if (size_ == chains_.size()) grow();
        put_first(h);
        ++size_;
    }
    void erase(hashed& h) noexcept {
        hashed** link = &chains_[h.hash_ % chains_.size()];
        while (*link != &h) link = &(*link)->next_;
        *link = h.next_;
        --size_;
    }
    /// The first of that hash after that one, or of all.
    hashed* find(std::size_t hash, const hashed* after) const noexcept {
        if (empty()) return nullptr;
        hashed* h = after ? after->next_ : chains_[hash % chains_.size()];
        while (h && h->hash_ != hash) h = h->next_;
        return h;
    }
    /// `f` may destroy it.
    template <typename F>
    void for_each(F f) const {
        for (hashed* next : chains_)
            while (next) f(*std::exchange(next, next->next_));
    }

private:
    void put_first(hashed& h) noexcept {
        h.next_ = std::exchange(chains_[h.hash_ % chains_.size()], &h);
    }
    void grow() {
        std::vector<hashed*> old(std::max<std::size_t>(8, 2 * chains_.size()));
        old.swap(chains_);
        for (hashed* next : old)
            while (next) put_first(*std::exchange(next, next->next_));
    }

    std::vector<hashed*> chains_;
    std::size_t size_ = 0;
};

/// As std::unordered_set, but quickly compiled, and owns what it has, which stays where it is.
///
/// Threads    one at a time; several may find at once.
/// Cost       8 bytes each, or up to 16, beside the 16 of its base.
template <typename T>
class hash_table : public hash_chains {
public:
    hash_table() = default;
    ~hash_table() {
        for_each([](T& t) { delete &t; });
    }

    /// Errors     what operator new throws; then nothing has changed.
    T& insert(owned<T> t) {
        hash_chains::insert(*t);
        return *t.release();
    }
    /// Requires   it is in this table.
    void erase(T& t) noexcept {
        hash_chains::erase(t);
        delete &t;
    }
    /// The one of that hash of which `is(const T&)` is true; nullptr: there is none.
    template <typename Is>
    T* find(std::size_t hash, Is is) const {
        hashed* h = nullptr;
        while ((h = hash_chains::find(hash, h)) && !is(static_cast<const T&>(*h))) {}
        return static_cast<T*>(h);
    }
    /// Calls `f(T&)` for each, in no order.
    template <typename F>
    void for_each(F f) const {
        hash_chains::for_each([&](hashed& h) { f(static_cast<T&>(h)); });
    }
};

}  // namespace posthaste::detail
