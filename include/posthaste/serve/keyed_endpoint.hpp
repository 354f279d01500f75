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
/// the next new key. So there are no more lanes than there ever were keys at work at a time.
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
        const std::lock_guard guard(lanes_lock_);
        for (key_lane& l : lanes_) f(with, l);
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
        key_lane* next = nullptr;  // dry, or spare
        std::atomic<bool> listed = false;  // among the dry ones
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
            collect_dry_lanes();
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
        return detail::guarded(
            [&]() -> key_lane* {
                Key key = key_in(e);
                const auto place = keys_.try_emplace(key, nullptr).first;
                if (place->second) return place->second;
                return detail::guarded([&] { return place->second = spare_lane(std::move(key)); },
                                       [&](const std::exception_ptr& thrown) -> key_lane* {
                                           keys_.erase(place);
                                           detail::rethrow(thrown);
                                       });
            },
            [](const std::exception_ptr&) -> key_lane* { return nullptr; });
    }
    key_lane* spare_lane(Key key) {
        if (!spare_) {
            const std::lock_guard guard(lanes_lock_);
            lanes_.emplace_back(*this);
            spare_ = &lanes_.back();
        }
        spare_->key.emplace(std::move(key));
        return std::exchange(spare_, spare_->next);
    }
    void collect_dry_lanes() noexcept {
        key_lane* l = dry_.exchange(nullptr, std::memory_order_acquire);  // (1)
        while (l) {
            key_lane& one = *std::exchange(l, l->next);
            one.listed.store(false, std::memory_order_relaxed);
            if (!one.box.claim()) continue;  // at work again
            keys_.erase(*one.key);
            one.key.reset();
            one.next = std::exchange(spare_, &one);
            static_cast<void>(one.box.release());  // nobody puts into a spare one
        }
    }
    Key key_in(const envelope& e) const {
        struct row {
            const detail::message_type* type;
            Key (*key)(const KeyOf&, void*);
        };
        static constexpr std::array<row, sizeof...(Ms)> rows{
            {{&detail::type_of<Ms>, [](const KeyOf& key_of, void* m) -> Key {
                  return std::invoke(key_of, std::as_const(*static_cast<Ms*>(m)));
              }}...}};
        std::size_t i = 0;
        while (rows[i].type != e.type) ++i;  // only the Ms come here
        return rows[i].key(key_of_, e.message);
    }

    envelope* take(lane& l) noexcept override {
        letter* const taken_out = static_cast<key_lane&>(l).box.take();
        if (taken_out) this->taken();
        return static_cast<envelope*>(taken_out);
    }
    bool release(lane& l) noexcept override {
        key_lane& one = static_cast<key_lane&>(l);
        if (!one.listed.exchange(true,
                                 std::memory_order_relaxed)) {  // while the claim still is ours
            one.next = dry_.load(std::memory_order_relaxed);
            while (!dry_.compare_exchange_weak(one.next, &one, std::memory_order_release,  // (1)
                                               std::memory_order_relaxed)) {}
        }
        return one.box.release();  // then it may be another key's
    }
    envelope* take_oldest() noexcept override { return nullptr; }  // keyed refuses that policy
    void shut() noexcept override { box_.shut(); }

    // (1) hands a lane from who found it dry to the sorter.
    // relaxed: `listed` is ordered by the lane's claim and by dry_.
    const KeyOf key_of_;
    mailbox box_;
    key_map keys_;  // the sorter's, as spare_
    key_lane* spare_ = nullptr;
    mutable std::mutex lanes_lock_;
    std::deque<key_lane> lanes_;  // guarded by lanes_lock_; the sorter adds, nobody takes away
    std::atomic<key_lane*> dry_ = nullptr;
    sorter sorter_{*this};
};

}  // namespace posthaste
