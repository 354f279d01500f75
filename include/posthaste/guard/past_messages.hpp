// Messages that were handled, and what came of them.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/base/result.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/wait/event.hpp>

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

namespace posthaste {

/// The memory of `dedup`: which messages of one type are being handled, and which have been, for
/// how long and how many it was told to remember.
///
/// Threads    any.
/// Cost       a lock and a hash look-up; recycled memory for each message that is remembered.
template <typename Key, typename Reply>
class past_messages {
public:
    past_messages(duration window, std::size_t most) noexcept : window_(window), most_(most) {}
    past_messages(const past_messages&) = delete;

    /// What to do with a message, and with it the right to do it: given back at the end.
    class turn {
    public:
        turn(turn&& other) noexcept
            : reply(std::move(other.reply)),
              first(std::move(other.first)),
              of_(std::exchange(other.of_, nullptr)),
              key_(std::exchange(other.key_, nullptr)) {}
        ~turn() {
            if (of_) of_->failed(*key_);
        }

        std::optional<result<Reply>> reply;  ///< it has been handled: that came of it
        std::shared_ptr<event> first;        ///< it is being handled: wait, then ask again

        /// Neither: it is handled now, and has ended well. Otherwise it is as if it never came.
        void keep(const result<Reply>& r, time_point now) {
            std::exchange(of_, nullptr)->keep(*key_, r, now);
        }

    private:
        friend past_messages;
        turn() = default;
        past_messages* of_ = nullptr;  // nullptr: it is not this one's turn
        const Key* key_ = nullptr;
    };

    /// Errors     bad_alloc, or what the key's copy and hash throw: then nothing has changed.
    turn come(const Key& key, time_point now) {
        turn t;
        const std::lock_guard guard(lock_);
        forget(now);
        const auto [where, is_new] = known_.try_emplace(key);
        entry& e = where->second;
        if (is_new) {
            t.of_ = this;
            t.key_ = &where->first;
        } else if (e.reply) {
            t.reply = e.reply;
        } else {
            if (!e.over) e.over = std::allocate_shared<event>(detail::recycling_allocator<event>());
            t.first = e.over;
        }
        return t;
    }
    std::size_t size() const {
        const std::lock_guard guard(lock_);
        return known_.size();
    }

private:
    struct entry {
        std::optional<result<Reply>> reply;  // none: it is being handled
        std::shared_ptr<event> over;  // if somebody waits for that
        time_point until{};
    };

    void keep(const Key& key, const result<Reply>& r, time_point now) {
        const std::shared_ptr<event> over = [&]() -> std::shared_ptr<event> {
            const std::lock_guard guard(lock_);
            entry& e = known_.find(key)->second;
            auto waited_for = std::move(e.over);
            const bool kept =
                detail::guarded([&] { return order_.push_back(&key), e.reply.emplace(r), true; },
                                [](const std::exception_ptr&) { return false; });
            e.until = saturating_add(now, window_);
            if (!kept) {  // no memory: as if it never came
                if (!order_.empty() && order_.back() == &key) order_.pop_back();
                known_.erase(known_.find(key));
            }
            forget(now);
            return waited_for;
        }();
        if (over) over->set();
    }
    void failed(const Key& key) noexcept {
        std::shared_ptr<event> over;
        {
            const std::lock_guard guard(lock_);
            const auto where = known_.find(key);
            over = std::move(where->second.over);
            known_.erase(where);
        }
        if (over) over->set();
    }
    // order_ is that in which they ended, and so that of `until`.
    void forget(time_point now) {
        while (!order_.empty()) {
            const auto oldest = known_.find(*order_.front());
            if (order_.size() <= most_ && now < oldest->second.until) return;
            order_.pop_front();
            known_.erase(oldest);
        }
    }

    template <typename T>
    using recycled = detail::recycling_allocator<T>;

    const duration window_;
    const std::size_t most_;
    mutable std::mutex lock_;  // guards all below
    std::unordered_map<Key, entry, std::hash<Key>, std::equal_to<Key>,
                       recycled<std::pair<const Key, entry>>>
        known_;
    std::deque<const Key*, recycled<const Key*>> order_;  // of those that have ended
};

}  // namespace posthaste
