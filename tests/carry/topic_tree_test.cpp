#include <posthaste/carry/topic_tree.hpp>

#include "../support/catch.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace posthaste;

namespace {

struct listener : topic_tree::leaf {
    int found = 0;
    explicit listener(std::string p) : leaf(std::move(p)) {}
};

std::vector<std::string> found(const topic_tree& tree, const std::string& topic) {
    std::vector<std::string> patterns;
    tree.for_each_match(topic, [&](topic_tree::leaf& l) {
        patterns.push_back(static_cast<listener&>(l).pattern());
    });
    std::sort(patterns.begin(), patterns.end());
    return patterns;
}

}  // namespace

TEST_CASE("topic_tree: finds whoever's pattern a topic matches") {
    topic_tree tree;
    listener all(">"), any("a.*"), exact("a.b"), again("a.b"), longer("a.b.c"), rest("a.>");
    for (listener* l : {&all, &any, &exact, &again, &longer, &rest}) tree.insert(*l);
    using names = std::vector<std::string>;
    CHECK(found(tree, "a") == names{">"});
    CHECK(found(tree, "a.b") == names{">", "a.*", "a.>", "a.b", "a.b"});
    CHECK(found(tree, "a.b.c") == names{">", "a.>", "a.b.c"});
    CHECK(found(tree, "a.x") == names{">", "a.*", "a.>"});
    CHECK(found(tree, "b.b") == names{">"});
    tree.erase(exact);
    CHECK(found(tree, "a.b") == names{">", "a.*", "a.>", "a.b"});
    for (listener* l : {&all, &any, &again, &longer, &rest}) tree.erase(*l);
    CHECK(found(tree, "a.b").empty());
    CHECK(tree.empty());  // no node is left
    tree.insert(exact);  // again
    CHECK(found(tree, "a.b") == names{"a.b"});
    CHECK(found(tree, "a").empty());
}

TEST_CASE("topic_tree: thousands of patterns, and of one pattern, whichever goes first") {
    const std::string pattern = GENERATE("t.one", "t.*", "t.>", "*.one");
    topic_tree tree;
    std::deque<listener> same, others;
    for (int i = 0; i != 3000; ++i) {
        tree.insert(same.emplace_back(pattern));
        for (const char* const end : {"", ".*", ".>"})
            tree.insert(others.emplace_back(std::to_string(i) + end));
    }
    CHECK(found(tree, "t.one") == std::vector<std::string>(3000, pattern));
    CHECK(found(tree, "17") == std::vector<std::string>{"17"});
    CHECK(found(tree, "17.x") == std::vector<std::string>{"17.*", "17.>"});
    CHECK(found(tree, "17.x.y") == std::vector<std::string>{"17.>"});
    CHECK(found(tree, "3000").empty());
    for (std::size_t i = 0; i < same.size(); i += 2) tree.erase(same[i]);
    for (std::size_t i = same.size(); i-- != 0;)
        if (i % 4 == 1) tree.erase(same[i]);
    CHECK(found(tree, "t.one") == std::vector<std::string>(750, pattern));
    for (listener& l : others) tree.erase(l);
    CHECK(found(tree, "17.x").empty());
    for (std::size_t i = 3; i < same.size(); i += 4) tree.erase(same[i]);
    CHECK(tree.empty());
}

TEST_CASE("topic_tree: of 10,000 random patterns it finds those that match, as they come and go") {
    std::mt19937_64 random(6);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    const auto token = [&] { return std::string(1, static_cast<char>('a' + below(3))); };
    topic_tree tree;
    std::vector<std::unique_ptr<listener>> listeners;
    std::size_t total = 0;
    for (int i = 0; i != 10'000; ++i) {
        if (below(3) != 0 || listeners.empty()) {
            std::string pattern = below(6) == 0 ? "*" : token();
            for (auto more = below(4); more != 0; --more) {
                pattern += "." + (below(4) == 0 ? "*" : token());
            }
            if (below(5) == 0) pattern += ".>";
            listeners.push_back(std::make_unique<listener>(pattern));
            tree.insert(*listeners.back());
        } else {
            std::swap(listeners[below(listeners.size())], listeners.back());
            tree.erase(*listeners.back());
            listeners.pop_back();
        }
        if (i % 10 != 0) continue;
        std::string topic = token();
        for (auto more = below(5); more != 0; --more) topic += "." + token();
        tree.for_each_match(topic, [](topic_tree::leaf& l) { ++static_cast<listener&>(l).found; });
        for (const auto& l : listeners) {
            const int expected = topic_matches(l->pattern(), topic);
            if (l->found != expected) FAIL(l->pattern() << " and " << topic);
            total += static_cast<std::size_t>(std::exchange(l->found, 0));
        }
    }
    CHECK(total > 10'000);
    for (const auto& l : listeners) tree.erase(*l);
    CHECK(tree.empty());
}

TEST_CASE("topic_tree: the deepest pattern there can be") {
    topic_tree tree;
    std::string deep = "*";
    while (deep.size() + 2 <= max_name) deep += ".*";
    listener l(deep);
    tree.insert(l);
    std::string topic = deep;
    std::replace(topic.begin(), topic.end(), '*', 'x');
    CHECK(found(tree, topic).size() == 1);
    tree.erase(l);
    CHECK(tree.empty());
}
