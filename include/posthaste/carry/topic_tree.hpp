// Finds the patterns that a topic matches.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/topic.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/fixed_array.hpp>
#include <posthaste/detail/hash_table.hpp>
#include <posthaste/detail/owned.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace posthaste {

/// Patterns, looked up by a topic, so that it does not matter how many there are that it does not
/// match. Those with a `*` before their end are in a tree, by their tokens: a topic is looked up
/// along its own tokens and the wildcards. All others are in a table, by a hash of the whole.
///
/// Threads    one at a time; several may look up at once.
/// Cost       insert() and erase(): one hash look-up, and up to 16 bytes a pattern; in the tree one
///            a token, and 110 bytes for each token up to which no other pattern there is the same.
///            for_each_match(): one a token and two more; in the tree one a token for each way
///            along the wildcards. No allocation.
class topic_tree {
    struct node;

public:
    /// A base of what is found by a pattern. It is in one place of one tree, or in none.
    class leaf {
    public:
        /// Requires   a valid pattern.
        explicit leaf(std::string pattern) noexcept : pattern_(std::move(pattern)) {}
        leaf(const leaf&) = delete;
        const std::string& pattern() const noexcept { return pattern_; }

    protected:
        ~leaf() = default;

    private:
        friend topic_tree;
        const std::string pattern_;
        leaf* next_ = nullptr;  // of the same pattern
        leaf** link_ = nullptr;  // what points to this; nullptr: a chain of the table
        union {
            node* at_ = nullptr;  // where there is a link_: in the tree, or nullptr
            leaf* other_;  // or else: the first of another pattern, in the same chain
        };
    };

    topic_tree() = default;
    topic_tree(const topic_tree&) = delete;

    /// Requires   the leaf is in no tree.
    /// Errors     what operator new throws; then nothing has changed.
    void insert(leaf& l) {
        if (l.pattern_.find('*') < l.pattern_.size() - 1) plant(l);
        else enter(l);
    }
    /// Requires   the leaf is in this tree.
    void erase(leaf& l) noexcept {
        if (!l.link_) return leave(l);
        *l.link_ = l.next_;
        if (l.next_) l.next_->link_ = l.link_;
        if (l.at_) prune(l.at_);
    }

    /// Calls `f(leaf&)` for each whose pattern the topic matches, in no order.
    template <typename F>
    void for_each_match(std::string_view topic, F f) const {
        visit(root_, topic, f);
        if (patterns_ == 0) return;
        std::size_t hash = 0;
        for (std::string_view rest = topic;;) {
            const std::string_view before = topic.substr(0, topic.size() - rest.size());
            all_of(first(hash, before, ">"), f);
            const std::string_view token = detail::take_token(rest);
            if (rest.empty()) {
                all_of(first(hash, before, "*"), f);
                return all_of(first(hash, before, token), f);
            }
            hash = add(hash, token);
        }
    }
    bool empty() const noexcept { return nodes_.empty() && patterns_ == 0; }

private:
    struct node {
        std::size_t hash = 0;
        node* chained = nullptr;
        node* parent = nullptr;
        std::string token;
        node* any = nullptr;  // the child *
        node* rest = nullptr;  // the child >
        std::size_t children = 0;  // those two, too
        leaf* leaves = nullptr;
    };

    static void put_first(leaf& l, leaf*& list, node* at) noexcept {
        l.next_ = detail::exchange(list, &l);
        l.link_ = &list;
        l.at_ = at;
        if (l.next_) l.next_->link_ = &l.next_;
    }
    template <typename F>
    static void all_of(leaf* l, F& f) {
        while (l) f(*detail::exchange(l, l->next_));
    }

    // --- the table: a chain of patterns for each hash, the first of each pattern before its others

    static std::size_t add(std::size_t hash, std::string_view token) noexcept {
        return hash * 31 + std::hash<std::string_view>()(token);
    }
    leaf*& chain_of(const leaf& l) noexcept {
        std::size_t hash = 0;
        for (std::string_view rest = l.pattern_; !rest.empty();)
            hash = add(hash, detail::take_token(rest));
        return table_[hash % table_.size()];
    }
    // What points to the first of its pattern, or would.
    leaf*& place_of(const leaf& l) noexcept {
        leaf** at = &chain_of(l);
        while (*at && (*at)->pattern_ != l.pattern_) at = &(*at)->other_;
        return *at;
    }
    void enter(leaf& l) {
        if (patterns_ == table_.size()) grow();
        leaf*& at = place_of(l);
        if (at) return put_first(l, at->next_, nullptr);
        at = &l;
        l.next_ = nullptr, l.link_ = nullptr, l.other_ = nullptr;
        ++patterns_;
    }
    // The first of its pattern.
    void leave(leaf& l) noexcept {
        leaf*& at = place_of(l);
        if (l.next_) {
            at = l.next_;
            at->link_ = nullptr;
            at->other_ = l.other_;
        } else {
            at = l.other_;
            --patterns_;
        }
    }
    void grow() {
        detail::fixed_array<leaf*> more(std::max<std::size_t>(8, 2 * table_.size()));
        const auto old = detail::exchange(table_, std::move(more));
        for (leaf* next : old) {
            while (next) {
                leaf& l = *detail::exchange(next, next->other_);
                l.other_ = detail::exchange(chain_of(l), &l);
            }
        }
    }
    // The first of the pattern `before` + `last`, whose tokens but the last have that hash.
    leaf* first(std::size_t hash, std::string_view before, std::string_view last) const noexcept {
        leaf* l = table_[add(hash, last) % table_.size()];
        while (l && !(l->pattern_.size() == before.size() + last.size() &&
                      l->pattern_.starts_with(before) && l->pattern_.ends_with(last)))
            l = l->other_;
        return l;
    }

    // --- the tree

    static std::size_t hash_of(const node& parent, std::string_view token) noexcept {
        return add(std::hash<const node*>()(&parent), token);
    }
    node* find(const node& parent, std::string_view token) const noexcept {
        return nodes_.find(hash_of(parent, token),
                           [&](const node& n) { return n.parent == &parent && n.token == token; });
    }
    void plant(leaf& l) {
        node* at = &root_;
        detail::guarded(
            [&] {
                for (std::string_view rest = l.pattern_; !rest.empty();)
                    at = &child(*at, detail::take_token(rest));
            },
            [&](const std::exception_ptr& thrown) {
                prune(at);
                detail::rethrow(thrown);
            });
        put_first(l, at->leaves, at);
    }
    node& child(node& of, std::string_view token) {
        if (node* const found = find(of, token)) return *found;
        auto made = detail::make_owned<node>();
        made->parent = &of;
        made->token = token;
        node& n = nodes_.insert(hash_of(of, token), std::move(made));
        ++of.children;
        if (n.token == "*") of.any = &n;
        if (n.token == ">") of.rest = &n;
        return n;
    }
    // Takes away the nodes that lead nowhere.
    void prune(node* n) noexcept {
        while (n != &root_ && !n->leaves && n->children == 0) {
            node* const parent = n->parent;
            if (parent->any == n) parent->any = nullptr;
            if (parent->rest == n) parent->rest = nullptr;
            --parent->children;
            nodes_.erase(*n);
            n = parent;
        }
    }
    template <typename F>
    void visit(const node& n, std::string_view topic, F& f) const {
        if (topic.empty()) return all_of(n.leaves, f);
        if (n.rest) all_of(n.rest->leaves, f);
        const std::string_view token = detail::take_token(topic);
        if (n.any) visit(*n.any, topic, f);
        const std::size_t named = n.children - (n.any != nullptr) - (n.rest != nullptr);
        if (named == 0) return;
        if (const node* const found = find(n, token)) visit(*found, topic, f);
    }

    node root_;
    detail::hash_table<node> nodes_;  // but the root
    detail::fixed_array<leaf*> table_;  // of the first of each chain
    std::size_t patterns_ = 0;  // in it
};

}  // namespace posthaste
