// Finds the patterns that a topic matches.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/topic.hpp>
#include <posthaste/detail/exceptions.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace posthaste {

/// Patterns by their tokens, as a tree: a topic is looked up along its own tokens and the
/// wildcards, so that it does not matter how many patterns there are that it does not match.
///
/// Threads    one at a time; several may look up at once.
/// Cost       insert() and erase(): one hash look-up a token, and its memory. for_each_match(): one
///            a token for each way along the wildcards, no allocation.
class topic_tree {
    struct node;

public:
    /// A base of what is found by a pattern. It is in one place of one tree, or in none.
    class leaf {
    public:
        leaf() = default;
        leaf(const leaf&) = delete;

    protected:
        ~leaf() = default;

    private:
        friend topic_tree;
        node* at_ = nullptr;
        leaf* next_ = nullptr;
        leaf** link_ = nullptr;  // what points to this
    };

    topic_tree() = default;
    topic_tree(const topic_tree&) = delete;

    /// Requires   a valid pattern; the leaf is in no tree.
    /// Errors     what operator new throws; then nothing has changed.
    void insert(std::string_view pattern, leaf& l) {
        node* at = &root_;
        detail::guarded(
            [&] {
                for (std::string_view rest = pattern; !rest.empty();)
                    at = &child(*at, detail::take_token(rest));
            },
            [&](const std::exception_ptr& thrown) {
                prune(at);
                detail::rethrow(thrown);
            });
        l.at_ = at;
        l.next_ = at->leaves;
        l.link_ = &at->leaves;
        if (l.next_) l.next_->link_ = &l.next_;
        at->leaves = &l;
    }
    /// Requires   the leaf is in this tree.
    void erase(leaf& l) noexcept {
        *l.link_ = l.next_;
        if (l.next_) l.next_->link_ = l.link_;
        prune(std::exchange(l.at_, nullptr));
    }

    /// Calls `f(leaf&)` for each whose pattern the topic matches, in no order.
    template <typename F>
    void for_each_match(std::string_view topic, F f) const {
        visit(root_, topic, f);
    }
    bool empty() const noexcept { return nodes_.empty(); }

private:
    struct place {
        const node* parent;
        std::string_view token;
        bool operator==(const place&) const = default;
    };
    struct hash_of_place {
        std::size_t operator()(const place& p) const noexcept {
            return std::hash<std::string_view>()(p.token) * 31 + std::hash<const node*>()(p.parent);
        }
    };
    struct node {
        node* parent = nullptr;
        std::string token;
        node* any = nullptr;  // the child *
        node* rest = nullptr;  // the child >
        std::size_t children = 0;  // those two, too
        leaf* leaves = nullptr;
    };

    node& child(node& of, std::string_view token) {
        if (const auto found = nodes_.find({&of, token}); found != nodes_.end())
            return *found->second;
        auto made = std::make_unique<node>(node{&of, std::string(token)});
        node& n = *made;
        nodes_.emplace(place{&of, n.token}, std::move(made));
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
            nodes_.erase(nodes_.find({parent, n->token}));
            n = parent;
        }
    }
    template <typename F>
    void visit(const node& n, std::string_view topic, F& f) const {
        if (topic.empty()) return all_of(n, f);
        if (n.rest) all_of(*n.rest, f);
        const std::string_view token = detail::take_token(topic);
        if (n.any) visit(*n.any, topic, f);
        const std::size_t named = n.children - (n.any != nullptr) - (n.rest != nullptr);
        if (named == 0) return;
        const auto found = nodes_.find({&n, token});
        if (found != nodes_.end()) visit(*found->second, topic, f);
    }
    template <typename F>
    static void all_of(const node& n, F& f) {
        for (leaf* l = n.leaves; l;) f(*std::exchange(l, l->next_));
    }

    node root_;
    std::unordered_map<place, std::unique_ptr<node>, hash_of_place> nodes_;  // but the root
};

}  // namespace posthaste
