// Who listens to which topics of a bus.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: what is under one lock stands together.

#include <posthaste/carry/topic_tree.hpp>
#include <posthaste/detail/exceptions.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/hash_table.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/serve/account.hpp>
#include <posthaste/serve/listeners.hpp>
#include <posthaste/serve/shared_message.hpp>
#include <posthaste/serve/subscriber.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace posthaste {

/// The subscribers of a bus. Each change makes a new version; a topic's listeners are found anew
/// when somebody publishes to it and those it knows are of an old one. So to publish to a topic
/// whose listeners are known takes one short lock, of that topic.
///
/// Threads    any. User code runs under no lock of this.
class switchboard {
public:
    static constexpr std::size_t max_past = 1024;

    switchboard() = default;
    switchboard(const switchboard&) = delete;
    ~switchboard() { end(); }

    /// Connects it; before that calls `first()`, under the lock: what that puts into its queue is
    /// ahead of all that is published from then on.
    /// Errors     false: `shut` is set. Throws bad_alloc. Then nothing has changed.
    template <typename First>
    [[nodiscard]] bool add(subscriber& s, const std::atomic<bool>& shut, First first) {
        const std::lock_guard guard(mutex_);
        if (shut.load(std::memory_order_relaxed)) return false;
        tree_.insert(s);
        first();
        s.join_after(list_);
        changed();
        return true;
    }
    /// Nobody finds it any more. It is in the list until it is destroyed.
    void remove(subscriber& s) noexcept {
        listeners* old = nullptr;
        {
            const std::lock_guard guard(mutex_);
            tree_.erase(s);
            changed();
            if (++removed_ > 64 + line_count_) take_old_ones(old);  // which still hold some
        }
        listeners::reference::release_all(old);
    }
    /// It is about to be destroyed: its account remains.
    void forget(subscriber& s) noexcept {
        const std::lock_guard guard(mutex_);
        s.leave();
        past_begun_ += s.endpoint().begun();
        const account a = s.endpoint().counts();
        if (a.accepted + a.refused == 0) return;
        detail::guarded(
            [&] {
                if (past_.size() < max_past || past_.find(s.name(), s.pattern()))
                    past_.of(s.name(), s.pattern()) += a;
                else past_.of("(unsubscribed)", ">") += a;
            },
            [&](const std::exception_ptr&) { untold_ += a; });
    }

    // --- for publishers ---

    void join(topic_line& l) noexcept {
        const std::lock_guard guard(mutex_);
        l.after = detail::exchange(lines_, &l);
        if (l.after) l.after->before = &l;
        ++line_count_;
    }
    void leave(topic_line& l) noexcept {
        const std::lock_guard guard(mutex_);
        (l.before ? l.before->after : lines_) = l.after;
        if (l.after) l.after->before = l.before;
        --line_count_;
    }
    /// Those who listen to the line's topic now. Null: no memory.
    listeners::reference hear(topic_line& l) noexcept {
        {
            const std::lock_guard guard(l.lock);
            if (up_to_date(l)) return l.seen;
        }
        listeners::reference old;  // goes after the lock
        const std::lock_guard guard(mutex_);
        return renew(l, old);
    }
    /// Those who listen to a topic, if they are known. Null: look it up.
    listeners::reference recall(const detail::message_type& type, std::string_view topic) noexcept {
        for (std::size_t way = 0, first = place(type, topic); way != ways; ++way) {
            topic_line& l = table_[(first + way) % table_.size()];
            const std::lock_guard guard(l.lock);
            if (l.is(type, topic)) return up_to_date(l) ? l.seen : listeners::reference();
        }
        return {};
    }
    /// Requires   a valid topic. Null: no memory.
    listeners::reference look_up(const detail::message_type& type,
                                 std::string_view topic) noexcept {
        listeners::reference found, old;  // goes after the locks
        const std::lock_guard guard(mutex_);
        found = find(type, topic);
        topic_line& l = line_for(type, topic);
        const std::lock_guard locked(l.lock);
        old = detail::exchange(l.seen, {});
        detail::guarded([&] { l.topic.assign(topic), l.type = &type, l.seen = found; },
                        [&](const std::exception_ptr&) { l.type = nullptr; });
        return found;
    }

    /// Where the latest message of a topic is kept, until the bus ends. Throws bad_alloc.
    kept_message& place_for_latest(const detail::message_type& type, std::string_view topic) {
        const std::lock_guard guard(mutex_);
        const std::size_t hash = std::hash<std::string_view>()(topic);
        if (kept_topic* const known = kept_.find(
                hash, [&](const kept_topic& k) { return k.type == &type && k.topic == topic; }))
            return known->latest;
        auto made = detail::make_owned<kept_topic>();
        made->type = &type;
        made->topic = topic;
        kept_topic& k = kept_.insert(hash, std::move(made));
        *last_kept_ = &k;
        last_kept_ = &k.after;
        return k.latest;
    }
    /// Makes `m` the latest, and gives those who listen: whoever comes from now on finds it, and
    /// whoever has come before is among these.
    template <typename M>
    listeners::reference hear_and_keep(topic_line& l, kept_message& at,
                                       shared_message<M>& m) noexcept {
        kept_message latest(m);  // goes after the lock, then the old one
        listeners::reference old;
        const std::lock_guard guard(mutex_);
        auto found = renew(l, old);
        if (found && !ended_) std::swap(at, latest);
        return found;
    }
    /// In add(): calls `f(shared_message<M>&)` for the latest message of each topic that matches,
    /// in the order of their first publishers.
    template <typename M, typename F>
    void for_each_latest(std::string_view pattern, F f) {
        for (const kept_topic* k = first_kept_; k; k = k->after) {
            if (k->type != &detail::type_of<M> || !k->latest.template get<M>()) continue;
            if (topic_matches(pattern, k->topic)) f(*k->latest.template get<M>());
        }
    }

    void nobody_heard() noexcept { unheard_.fetch_add(1, std::memory_order_relaxed); }
    std::uint64_t unheard() const noexcept { return unheard_.load(std::memory_order_relaxed); }

    // --- for the bus ---

    /// Calls `f(subscriber&)` for each, under no lock.
    template <typename F>
    void for_each(F f) {
        walker w(*this);
        while (subscriber* const s = w.next()) {
            f(*s);
            s->let_go();
        }
    }
    bool busy() noexcept {
        const std::lock_guard guard(mutex_);
        bool any = false;
        for_each_listed([&](subscriber& s) { any = any || s.busy(); });
        return any;
    }
    /// As endpoint_core::begun(), of all.
    std::uint64_t begun() noexcept {
        const std::lock_guard guard(mutex_);
        std::uint64_t sum = past_begun_;
        for_each_listed([&](subscriber& s) { sum += s.endpoint().begun(); });
        return sum;
    }
    /// Calls `f(drain_account::subscriber_line&)` for those of one name and pattern together, also
    /// those that have gone; in no order. `at_rest`: all is shut, and has ended. Throws bad_alloc.
    template <typename F>
    void for_each_account(bool at_rest, F f) {
        sums all;
        const std::lock_guard guard(mutex_);
        past_.for_each([&](const summed& s) { all.of(s.name, s.pattern) += s.messages; });
        if (untold_.accepted + untold_.refused != 0) all.of("(unsubscribed)", ">") += untold_;
        for_each_listed(
            [&](subscriber& s) { all.of(s.name(), s.pattern()) += s.endpoint().counts(at_rest); });
        all.for_each(f);
    }
    /// The bus is gone, all is at rest.
    void end() noexcept {
        for_each([](subscriber& s) { s.end(false); });
        listeners* old = nullptr;
        {
            const std::lock_guard guard(mutex_);
            ended_ = true;
            take_old_ones(old);
        }
        listeners::reference::release_all(old);
        // publishers know these, and nobody adds to them any more
        for (kept_topic* k = first_kept_; k; k = k->after) {
            kept_message gone;  // may hold clients of the bus, and so this; goes after the lock
            const std::lock_guard guard(mutex_);
            std::swap(gone, k->latest);
        }
    }

private:
    struct kept_topic {
        std::size_t hash = 0;
        kept_topic* chained = nullptr;
        kept_topic* after = nullptr;
        const detail::message_type* type = nullptr;
        std::string topic;
        kept_message latest;
    };
    struct summed : drain_account::subscriber_line {
        std::size_t hash = 0;
        summed* chained = nullptr;
    };
    // By name and pattern.
    class sums : public detail::hash_table<summed> {
    public:
        summed* find(std::string_view name, std::string_view pattern) const noexcept {
            return hash_table::find(hash_of(name, pattern), [&](const summed& s) {
                return s.name == name && s.pattern == pattern;
            });
        }
        // Throws bad_alloc.
        account& of(std::string_view name, std::string_view pattern) {
            if (summed* const known = find(name, pattern)) return known->messages;
            auto made = detail::make_owned<summed>();
            made->name = name;
            made->pattern = pattern;
            return insert(hash_of(name, pattern), std::move(made)).messages;
        }

    private:
        static std::size_t hash_of(std::string_view name, std::string_view pattern) noexcept {
            const std::hash<std::string_view> hash;
            return hash(name) * 31 + hash(pattern);
        }
    };
    // A place in the list, behind the one it has come to: that may go meanwhile, and others come.
    class walker : detail::subscriber_link {
    public:
        explicit walker(switchboard& of) noexcept : subscriber_link(true), of_(of) {
            const std::lock_guard guard(of_.mutex_);
            join_after(of_.list_);
        }
        ~walker() {
            const std::lock_guard guard(of_.mutex_);
            leave();
        }
        subscriber* next() noexcept {
            const std::lock_guard guard(of_.mutex_);
            for (subscriber_link* l = after; l != &of_.list_; l = l->after) {
                if (l->walks || !static_cast<subscriber*>(l)->try_hold()) continue;
                leave();
                join_after(*l);
                return static_cast<subscriber*>(l);
            }
            return nullptr;
        }

    private:
        switchboard& of_;
    };
    static constexpr std::size_t ways = 4;

    template <typename F>
    void for_each_listed(F f) {
        for (auto* l = list_.after; l != &list_; l = l->after)
            if (!l->walks) f(static_cast<subscriber&>(*l));
    }
    void changed() noexcept { version_.fetch_add(1, std::memory_order_relaxed); }
    bool up_to_date(const topic_line& l) const noexcept {
        return l.seen && l.seen->version() == version_.load(std::memory_order_relaxed);
    }
    // Under mutex_, as all below.
    listeners::reference renew(topic_line& l, listeners::reference& old) noexcept {
        {
            const std::lock_guard guard(l.lock);
            if (up_to_date(l)) return l.seen;
        }
        auto found = find(*l.type, l.topic);
        const std::lock_guard guard(l.lock);
        old = detail::exchange(l.seen, found);
        return found;
    }
    listeners::reference find(const detail::message_type& type, std::string_view topic) noexcept {
        const auto for_each_listener = [&](auto f) {
            tree_.for_each_match(topic, [&](topic_tree::leaf& l) {
                subscriber& s = static_cast<subscriber&>(l);
                if (s.how().type == &type) f(s);
            });
        };
        std::size_t count = 0;
        for_each_listener([&](subscriber&) { ++count; });
        auto found = listeners::make(count, version_.load(std::memory_order_relaxed));
        bool all = bool(found);
        if (all) for_each_listener([&](subscriber& s) { all = all && found->add(s); });
        if (!all) found = {};  // it is not the last one: whoever is subscribed is held for that
        return found;
    }
    static std::size_t place(const detail::message_type& type, std::string_view topic) noexcept {
        return std::hash<std::string_view>()(topic) ^ std::hash<const void*>()(&type) / 16;
    }
    // The one that has that topic, or none, or another.
    topic_line& line_for(const detail::message_type& type, std::string_view topic) noexcept {
        const std::size_t first = place(type, topic);
        topic_line* best = &table_[(first + evicted_ % ways) % table_.size()];
        for (std::size_t way = ways; way-- != 0;) {
            topic_line& l = table_[(first + way) % table_.size()];
            if (l.is(type, topic)) return l;
            if (!l.type) best = &l;
        }
        evicted_ += best->type != nullptr;
        return *best;
    }
    void take_old_ones(listeners*& list) noexcept {
        removed_ = 0;
        const auto take = [&](topic_line& l) {
            const std::lock_guard guard(l.lock);
            if (!up_to_date(l)) l.seen.move_to(list);
        };
        for (topic_line* l = lines_; l; l = l->after) take(*l);
        for (topic_line& l : table_) take(l);
    }

    // relaxed: whoever has heard that somebody subscribed finds the new version, or a newer one;
    // whoever has not may find the old one, as if he had published before. unheard_ is a count.
    std::atomic<std::uint64_t> version_ = 1;
    std::atomic<std::uint64_t> unheard_ = 0;
    std::array<topic_line, 128> table_;  // topics that somebody published to by name
    std::mutex mutex_;  // guards all below
    topic_tree tree_;
    detail::subscriber_link list_{true};
    topic_line* lines_ = nullptr;  // the publishers'
    std::size_t line_count_ = 128;
    std::size_t removed_ = 0;  // since old listeners were taken away
    std::size_t evicted_ = 0;
    detail::hash_table<kept_topic> kept_;
    kept_topic* first_kept_ = nullptr;
    kept_topic** last_kept_ = &first_kept_;  // where the next one goes
    sums past_;  // of those that have gone
    account untold_;  // the same, where there was no memory to tell whose
    std::uint64_t past_begun_ = 0;
    bool ended_ = false;
};

inline bool subscriber::end(bool finish) noexcept {
    const bool first = !(state_.fetch_or(ending, std::memory_order_relaxed) & ending);
    if (first) on_.remove(*this);
    if (!finish) endpoint_.discard();
    if (!first) return false;
    endpoint_.close();
    state_.fetch_or(closed, std::memory_order_acq_rel);  // (3)
    retire();
    return true;
}
inline void subscriber::retire() noexcept {
    if (!endpoint_.rests() || (state_.fetch_or(gone, std::memory_order_relaxed) & gone)) return;
    endpoint_.forget_handler();
    retired_.set();
    let_go();
}
inline void subscriber::destroy() noexcept {
    endpoint_.disown_letters();
    on_.forget(*this);
    delete this;
}

}  // namespace posthaste
