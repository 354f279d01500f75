// A hash table that owns what is in it.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/owned.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace posthaste::detail {

/// As a std::unordered_set of owned nodes, but quickly compiled, and with one allocation a node: a
/// Node has a `std::size_t hash` and a `Node* chained`, which are the table's.
///
/// Threads    one at a time; several may look at once.
/// Cost       one look along a chain, of one node as a rule; 8 to 16 bytes a node besides.
template <typename Node>
class hash_table {
public:
    hash_table() = default;
    hash_table(const hash_table&) = delete;
    ~hash_table() {
        for_each([](Node& n) { delete &n; });
    }

    /// One with that hash of which `is(node)` is true; nullptr: there is none.
    template <typename Is>
    Node* find(std::size_t hash, Is is) const noexcept {
        if (chain_count_ == 0) return nullptr;
        Node* n = chain_of(hash);
        while (n && !(n->hash == hash && is(*n))) n = n->chained;
        return n;
    }
    /// Errors     throws bad_alloc; then nothing has changed.
    Node& insert(std::size_t hash, owned<Node> made) {
        if (size_ == chain_count_) grow();
        Node& n = *made.release();
        n.hash = hash;
        chain(n);
        ++size_;
        return n;
    }
    /// Requires   it is in here.
    void erase(Node& n) noexcept {
        Node** link = &chain_of(n.hash);
        while (*link != &n) link = &(*link)->chained;
        *link = n.chained;
        --size_;
        delete &n;
    }
    /// Calls `f(node)` for each, in no order.
    template <typename F>
    void for_each(F f) const {
        for (std::size_t i = 0; i != chain_count_; ++i)
            for (Node* next = chains_[i]; next;) f(*detail::exchange(next, next->chained));
    }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

private:
    // Multiplicative hashing: Knuth, The Art of Computer Programming, volume 3, section 6.4.
    Node*& chain_of(std::size_t hash) const noexcept {
        const std::uint64_t spread = std::uint64_t{hash} * 0x9e37'79b9'7f4a'7c15;
        return chains_[static_cast<std::size_t>(spread >> 32) & (chain_count_ - 1)];
    }
    void chain(Node& n) noexcept { n.chained = detail::exchange(chain_of(n.hash), &n); }
    void grow() {
        const std::size_t count = chain_count_ == 0 ? 8 : 2 * chain_count_;
        hash_table more;
        more.chains_.reset(new Node* [count] {});
        more.chain_count_ = count;
        for_each([&](Node& n) { more.chain(n); });
        chain_count_ = detail::exchange(more.chain_count_, 0);
        chains_ = std::move(more.chains_);
    }

    owned<Node*, std::default_delete<Node*[]>> chains_;
    std::size_t chain_count_ = 0;  // 0, 8, 16, ...
    std::size_t size_ = 0;
};

}  // namespace posthaste::detail
