// Messages that were handled, and what came of them.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/base/clock.hpp>
#include <posthaste/base/result.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/wait/event.hpp>

#include <cstddef>
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
    struct entry;
    using known = std::pair<const Key, entry>;
    struct entry {
        std::optional<result<Reply>> reply;  // none: it is being handled
        std::shared_ptr<event> over;  // if somebody waits for that
        time_point until{};
        bool is_handled = false;  // or was
        known* next = nullptr;  // to have ended
    };

public:
    past_messages(duration window, std::size_t most) noexcept : window_(window), most_(most) {}
    past_messages(const past_messages&) = delete;

    /// What to do with a message, and with it the right to do it: given back at the end.
    class turn {
    public:
        turn(turn&& other) noexcept
            : reply(std::move(other.reply)),
              first(std::move(other.first)),
              of_(detail::exchange(other.of_, nullptr)),
              mine_(other.mine_) {}
        ~turn() {
            if (of_) of_->failed(*mine_);
        }

        std::optional<result<Reply>> reply;  ///< it has been handled: that came of it
        std::shared_ptr<event> first;        ///< it is being handled: wait, then ask again

        /// Neither: it is handled now, and has ended well. Otherwise it is as if it never came.
        void keep(const result<Reply>& r, time_point now) noexcept {
            detail::exchange(of_, nullptr)->keep(*mine_, r, now);
        }

    private:
        friend past_messages;
        turn() = default;
        past_messages* of_ = nullptr;  // nullptr: it is not this one's turn
        known* mine_ = nullptr;
    };

    /// Errors     bad_alloc, or what the key's copy, hash and comparison throw: then nothing has
    ///            changed. What they throw later costs no more than the memory of that message.
    turn come(const Key& key, time_point now) {
        turn t;
        const std::lock_guard guard(lock_);
        forget(now);
        known& k = *known_.try_emplace(key).first;
        entry& e = k.second;
        if (e.reply) {
            t.reply = e.reply;
        } else if (!detail::exchange(e.is_handled, true)) {
            t.of_ = this;
            t.mine_ = &k;
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
    void keep(known& k, const result<Reply>& r, time_point now) noexcept {
        const std::shared_ptr<event> over = [&]() -> std::shared_ptr<event> {
            const std::lock_guard guard(lock_);
            entry& e = k.second;
            auto waited_for = std::move(e.over);
            e.until = saturating_add(now, window_);
            const bool kept = detail::guarded([&] { return e.reply.emplace(r), true; },
                                              [](const std::exception_ptr&) { return false; });
            if (kept) put_last(k);
            else take_out(k);  // no memory: as if it never came
            detail::guarded([&] { forget(now); }, [](const std::exception_ptr&) {});
            return waited_for;
        }();
        if (over) over->set();
    }
    void failed(known& k) noexcept {
        std::shared_ptr<event> over;
        {
            const std::lock_guard guard(lock_);
            over = std::move(k.second.over);
            take_out(k);
        }
        if (over) over->set();
    }
    // Where its key throws it stays, as one that never came.
    void take_out(known& k) noexcept {
        k.second.is_handled = false;
        detail::guarded([&] { known_.erase(known_.find(k.first)); },
                        [](const std::exception_ptr&) {});
    }
    void put_last(known& k) noexcept {
        (first_ ? last_->second.next : first_) = &k;
        last_ = &k;
        ++ended_;
    }
    void forget(time_point now) {
        while (first_) {
            const entry& oldest = first_->second;
            if (ended_ <= most_ && now < oldest.until) return;
            const auto where = known_.find(first_->first);
            first_ = oldest.next;
            --ended_;
            known_.erase(where);
        }
    }

    template <typename T>
    using recycled = detail::recycling_allocator<T>;

    const duration window_;
    const std::size_t most_;
    mutable std::mutex lock_;  // guards all below
    std::unordered_map<Key, entry, std::hash<Key>, std::equal_to<Key>, recycled<known>> known_;
    // Those that have ended, in that order, and so that of `until`.
    known *first_ = nullptr, *last_ = nullptr;  // last_: if there is a first
    std::size_t ended_ = 0;
};

}  // namespace posthaste
