// In order for each key, keys beside one another.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/serve/endpoint_core.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace posthaste {

/// The endpoint behind `keyed(key_of)`: a mailbox whose reader, the sorter, puts each message into
/// the mailbox of its key. Each key that has messages has a lane; one that has run dry is given to
/// a new key that comes. So there are few more lanes than there ever were keys at work at a time.
template <typename KeyOf, typename Key, typename... Ms>
class keyed_endpoint final : public endpoint_core {
public:
    keyed_endpoint(std::string name, executor& at, dead_letters& dead, std::unique_ptr<handler> h,
                   const keyed<KeyOf>& mode)
        : endpoint_core(std::move(name), at, dead, std::move(h), mode.capacity(), mode.full()),
          key_of_(mode.key_of()) {}

    lane* claim(envelope& e) noexcept override {
        if (!box_.claim()) return nullptr;  // now the caller is the sorter
        key_lane* const l = lane_for(e);
        const bool claimed = l && l->box.claim();
        if (!box_.release()) home().post(sorter_);
        return claimed ? l : nullptr;
    }
    void for_each_lane(void* with, void (*f)(void*, lane&)) override {
        for (std::size_t i = 0; lane* const l = lane_number(i); ++i) f(with, *l);  // not locked
    }
    bool idle() const noexcept override {
        if (!box_.idle()) return false;
        const std::lock_guard guard(lanes_lock_);
        return std::all_of(lanes_.begin(), lanes_.end(),
                           [](const key_lane& l) { return l.box.idle(); });
    }

private:
    struct key_lane : lane {
        using lane::lane;
        std::optional<Key> key;  // none: it is spare
        mailbox box;
        key_lane* next = nullptr;  // listed, or spare
        bool listed = false;  // in dry_ or watched_; guarded by the claim of its box
    };
    using key_map =
        std::unordered_map<Key, key_lane*, std::hash<Key>, std::equal_to<Key>,
                           detail::recycling_allocator<std::pair<const Key, key_lane*>>>;

    struct sorter : work {
        keyed_endpoint& of;
        explicit sorter(keyed_endpoint& e) noexcept : of(e) {
            run = [](work& w) noexcept { static_cast<sorter&>(w).of.sort(); };
        }
    };

    bool enqueue(envelope& e) noexcept override {
        const auto put = box_.put(e);
        if (put == mailbox::put_result::claimed) home().post(sorter_);
        return put != mailbox::put_result::refused;
    }
    void sort() noexcept {
        for (int budget = 256;;) {
            letter* const l = box_.take();
            if (!l) {
                if (box_.release()) return;
                continue;
            }
            envelope& e = static_cast<envelope&>(*l);
            if (key_lane* to = lane_for(e)) {
                if (to->box.put(e) == mailbox::put_result::claimed) home().post(*to);
            } else {
                drop(e, "no memory for its key, or the key could not be had");
            }
            if (--budget == 0) return home().post(sorter_);
        }
    }
    // Only the sorter finds, makes and gives back lanes. nullptr: no memory, or the key threw.
    key_lane* lane_for(envelope& e) noexcept {
        struct row {
            const detail::message_type* type;
            key_lane& (*lane_of)(keyed_endpoint&, void*);
        };
        static constexpr std::array<row, sizeof...(Ms)> rows{
            {{&detail::type_of<Ms>, [](keyed_endpoint& self, void* m) -> key_lane& {
                  const Ms& message = *static_cast<Ms*>(m);
                  return self.lane_of(std::invoke(self.key_of_, message));
              }}...}};
        std::size_t i = 0;
        while (rows[i].type != e.type) ++i;  // only the Ms come here
        return detail::guarded([&] { return &rows[i].lane_of(*this, e.message); },
                               [](const std::exception_ptr&) -> key_lane* { return nullptr; });
    }
    // A key that is known is not copied.
    key_lane& lane_of(const Key& key) {
        const auto known = keys_.find(key);
        if (known != keys_.end()) return *known->second;
        key_lane& l = spare_lane();  // and so it stays, until all has gone well
        l.key.emplace(key);
        detail::guarded([&] { keys_.emplace(key, &l); },
                        [&](const std::exception_ptr& thrown) {
                            l.key.reset();
                            detail::rethrow(thrown);
                        });
        spare_ = l.next;
        return l;
    }
    key_lane& spare_lane() {
        if (!spare_) collect_dry_lanes();
        if (!spare_) {
            const std::lock_guard guard(lanes_lock_);
            spare_ = &lanes_.emplace_back(*this);
        }
        return *spare_;
    }
    // Looks at some of the lanes that have run dry since they were spare. Those that are at work
    // again are looked at another time: they do not list themselves once more.
    void collect_dry_lanes() noexcept {
        key_lane* l = dry_.exchange(nullptr, std::memory_order_acquire);  // (1)
        while (l) watch(*std::exchange(l, l->next));
        for (int tries = 16; watched_ && tries != 0; --tries) {
            key_lane& one = *std::exchange(watched_, watched_->next);
            if (!one.box.claim()) {
                watch(one);
                continue;
            }
            one.listed = !forget_key(one);
            static_cast<void>(one.box.release());  // only the sorter puts something in
            if (one.listed) watch(one);
            else one.next = std::exchange(spare_, &one);
        }
    }
    void watch(key_lane& l) noexcept {
        l.next = nullptr;
        (watched_ ? last_watched_->next : watched_) = &l;
        last_watched_ = &l;
    }
    bool forget_key(key_lane& l) noexcept {
        return detail::guarded([&] { return keys_.erase(*l.key), l.key.reset(), true; },
                               [](const std::exception_ptr&) { return false; });  // its hash threw
    }
    lane* lane_number(std::size_t i) {
        const std::lock_guard guard(lanes_lock_);
        return i < lanes_.size() ? &lanes_[i] : nullptr;
    }

    envelope* take(lane& l) noexcept override {
        letter* const taken_out = static_cast<key_lane&>(l).box.take();
        if (taken_out) this->taken();
        return static_cast<envelope*>(taken_out);
    }
    bool release(lane& l) noexcept override {
        key_lane& one = static_cast<key_lane&>(l);
        if (!std::exchange(one.listed, true)) {  // while the claim still is ours
            one.next = dry_.load(std::memory_order_relaxed);
            while (!dry_.compare_exchange_weak(one.next, &one, std::memory_order_release,  // (1)
                                               std::memory_order_relaxed)) {}
        }
        return one.box.release();  // then it may be another key's
    }
    envelope* take_oldest() noexcept override { return nullptr; }  // keyed refuses that policy
    void shut() noexcept override { box_.shut(); }

    // (1) hands a lane from who found it dry to the sorter.
    const KeyOf key_of_;
    mailbox box_;
    key_map keys_;  // the sorter's, as spare_ and watched_
    key_lane* spare_ = nullptr;
    key_lane* watched_ = nullptr;  // those that ran dry once, and perhaps are at work again
    key_lane* last_watched_ = nullptr;  // of no meaning without watched_
    mutable std::mutex lanes_lock_;
    std::deque<key_lane> lanes_;  // guarded by lanes_lock_; the sorter adds, nobody takes away
    std::atomic<key_lane*> dry_ = nullptr;
    sorter sorter_{*this};
};

}  // namespace posthaste
