// In order for each key, keys beside one another.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/serve/endpoint_core.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace posthaste {

/// The endpoint behind `keyed(key_of)`: a mailbox whose reader, the sorter, puts each message into
/// the mailbox of its key. Each key that has messages has a lane; one that has run dry is given to
/// a new key that comes. So there are few more lanes than there ever were keys at work at a time.
/// With when_full::drop_oldest a ledger keeps in what order the messages of all keys came, and
/// a lock is taken for each: a sender may take the oldest, whichever key's it is.
template <typename KeyOf, typename Key, typename... Ms>
class keyed_endpoint final : public endpoint_core {
public:
    keyed_endpoint(std::string name, executor& at, dead_letters& dead, detail::owned<handler> h,
                   const keyed<KeyOf>& mode)
        : endpoint_core(std::move(name), at, dead, std::move(h), mode.capacity(), mode.full()),
          evicts_(mode.full() == when_full::drop_oldest),
          key_of_(mode.key_of()) {
        put_straight(box_, sorter_);
    }

    lane* claim(envelope& e) noexcept override {
        if (!box_.claim()) return nullptr;  // now the caller is the sorter
        key_lane* const l = lane_for(e);
        const bool claimed = l && l->box.claim();
        if (!release_sorting()) home().post(sorter_);
        return claimed ? l : nullptr;
    }
    void for_each_lane(void* with, void (*f)(void*, lane&)) override {
        for (std::size_t i = 0; key_lane* const l = key_lane_number(i); ++i)
            f(with, *l);  // not locked
    }
    const lane* lane_number(std::size_t i) noexcept override { return key_lane_number(i); }

private:
    bool rests() const noexcept override {
        const auto evictor = lock_if_evicting();  // whoever released a box has left the lock, too
        if (!box_.idle()) return false;
        const std::lock_guard guard(lanes_lock_);
        return std::all_of(lanes_.begin(), lanes_.end(),
                           [](const key_lane& l) { return l.box.idle(); });
    }
    struct key_lane : lane {
        using lane::lane;
        const Key* key = nullptr;  // in keys_; nullptr: it is spare
        key_lane* next = nullptr;  // listed, or spare
        std::uint64_t came = 0, went = 0;  // messages, if evicts_: guarded by ledger_lock_
        bool listed = false;  // in dry_ or watched_; guarded by the claim of its box
        mailbox box;
    };
    struct entry {
        key_lane* where;
        std::uint64_t number;  // its place among all that came to that lane
        bool over() const noexcept { return where->went >= number; }
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
        sent_for_ = 0;
        for (int budget = 256;;) {
            letter* const l = take_unsorted();
            if (!l) {
                send_run();
                const resting held(*this);
                if (release_sorting()) return;
                continue;
            }
            envelope& e = static_cast<envelope&>(*l);
            key_lane* const to = lane_for(e);
            if (to && asked(e) && e.call()->chain.has(*to)) refuse_circle(e);
            else if (!to || !place(e, *to)) give_up_unsorted(e);
            if (--budget == 0 || sent_for_ >= most_sent_for) {
                send_run();
                return home().post(sorter_);
            }
        }
    }
    void give_up_unsorted(envelope& e) noexcept {
        send_run();  // before: the hook may wait for one of them
        drop(e, "no memory for its key, or the key could not be had");
    }
    letter* take_unsorted() noexcept {
        const auto guard = lock_if_evicting();
        return box_.take();
    }
    bool release_sorting() noexcept {
        const auto guard = lock_if_evicting();
        return box_.release();
    }
    // False: no memory.
    bool place(envelope& e, key_lane& to) noexcept {
        if (!evicts_) return join_run(e, to), true;
        bool claimed = false;
        {
            const std::lock_guard guard(ledger_lock_);
            if (!enter(to)) return false;
            claimed = to.box.put(e) == mailbox::put_result::claimed;
        }
        if (claimed) send_for(to);
        return true;
    }
    void send_for(key_lane& l) noexcept {
        ++sent_for_;
        home().post(l);
    }
    // Messages of one key in a row are put into the mailbox of their lane in one step.
    void join_run(envelope& e, key_lane& to) noexcept {
        if (run_.length == longest_run) send_run();
        if (run_.length++ == 0) run_.to = &to, run_.oldest = &e;
        e.next = std::exchange(run_.newest, &e);
    }
    void send_run() noexcept {
        if (run_.length == 0) return;
        const run r = std::exchange(run_, run());
        if (r.to->box.put(*r.newest, *r.oldest) == mailbox::put_result::claimed) send_for(*r.to);
    }
    // Those that are over are left out now and then, so that the ledger is never much longer than
    // the queue was.
    bool enter(key_lane& to) noexcept {
        if (ledger_.size() >= tidy_at_) {
            std::erase_if(ledger_, [](const entry& e) { return e.over(); });
            tidy_at_ = std::max<std::size_t>(64, 2 * ledger_.size());
        }
        return detail::guarded(
            [&] { return ledger_.push_back({&to, to.came + 1}), ++to.came, true; },
            [](const std::exception_ptr&) { return false; });
    }
    // Only the sorter finds, makes and gives back lanes. nullptr: no memory, or the key threw.
    key_lane* lane_for(envelope& e) noexcept {
        struct row {
            const detail::message_type* type;
            key_lane& (*lane_of)(keyed_endpoint&, envelope&);
        };
        static constexpr std::array<row, sizeof...(Ms)> rows{
            {{&detail::type_of<std::remove_const_t<Ms>>,
              [](keyed_endpoint& self, envelope& of) -> key_lane& {
                  const Ms& message = of.as<Ms>();
                  return self.lane_of(std::invoke(self.key_of_, message));
              }}...}};
        std::size_t i = 0;
        while (rows[i].type != &e.type()) ++i;  // only the Ms come here
        return detail::guarded([&] { return &rows[i].lane_of(*this, e); },
                               [](const std::exception_ptr&) -> key_lane* { return nullptr; });
    }
    // A key that is known is not copied. Before another one than the last is looked for, the last
    // one's run is sent, or its lane would seem dry, and be given away.
    key_lane& lane_of(const Key& key) {
        if (last_ && keys_.key_eq()(*last_->key, key)) return *last_;
        last_ = nullptr;
        send_run();
        const auto place = keys_.try_emplace(key, nullptr).first;
        if (!place->second) give_lane(place);
        return *(last_ = place->second);
    }
    void give_lane(typename key_map::iterator place) {
        key_lane& l = *detail::guarded([&] { return &spare_lane(); },
                                       [&](const std::exception_ptr& thrown) -> key_lane* {
                                           keys_.erase(place);
                                           detail::rethrow(thrown);
                                       });
        spare_ = l.next;
        l.key = &place->first;
        place->second = &l;
    }
    key_lane& spare_lane() {
        if (!spare_) collect_dry_lanes();
        if (!spare_) {
            const std::lock_guard guard(lanes_lock_);
            spare_ = &lanes_.emplace_back(*this, static_cast<std::uint32_t>(lanes_.size()));
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
            if (!one.box.idle() || !forget_key(one)) {  // idle it stays: only the sorter puts in
                watch(one);
                continue;
            }
            one.listed = false;
            one.next = std::exchange(spare_, &one);
        }
    }
    void watch(key_lane& l) noexcept {
        l.next = nullptr;
        (watched_ ? last_watched_->next : watched_) = &l;
        last_watched_ = &l;
    }
    bool forget_key(key_lane& l) noexcept {
        return detail::guarded([&] { return keys_.erase(*l.key), l.key = nullptr, true; },
                               [](const std::exception_ptr&) { return false; });  // its hash threw
    }
    key_lane* key_lane_number(std::size_t i) noexcept {
        const std::lock_guard guard(lanes_lock_);
        return i < lanes_.size() ? &lanes_[i] : nullptr;
    }

    envelope* take(lane& l) noexcept override {
        key_lane& one = static_cast<key_lane&>(l);
        letter* taken_out = nullptr;
        {
            const auto guard = lock_if_evicting();
            taken_out = one.box.take();
            if (evicts_ && taken_out) ++one.went;
        }
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
        const auto guard = lock_if_evicting();
        return one.box.release();  // then it may be another key's
    }
    // The first that is not over is the first of its lane. What is not sorted yet is younger.
    envelope* take_oldest() noexcept override {
        const std::lock_guard guard(ledger_lock_);
        while (!ledger_.empty() && ledger_.front().over()) ledger_.pop_front();
        if (ledger_.empty()) return box_.idle() ? nullptr : static_cast<envelope*>(box_.take());
        key_lane& from = *ledger_.front().where;
        ledger_.pop_front();
        ++from.went;
        return static_cast<envelope*>(from.box.take());
    }
    std::unique_lock<std::mutex> lock_if_evicting() const noexcept {
        return evicts_ ? std::unique_lock(ledger_lock_) : std::unique_lock<std::mutex>();
    }
    void shut() noexcept override { box_.shut(); }

    // (1) hands a lane from who found it dry to the sorter.
    const bool evicts_;  // senders take from the queues too: then under ledger_lock_
    const KeyOf key_of_;
    mailbox box_;
    // The sorter's, as all up to last_watched_. A key has no lane yet where there was no memory for
    // one, and to forget it failed.
    key_map keys_;
    key_lane* last_ = nullptr;  // of the key that was looked for last
    struct run {  // messages of that key that are not in its lane's mailbox yet
        key_lane* to = nullptr;
        letter *newest = nullptr, *oldest = nullptr;
        int length = 0;
    } run_;  // empty, where evicts_
    static constexpr int longest_run = 32;
    // Lanes, in this turn: each is several cache lines, which are to be there still then.
    int sent_for_ = 0;
    static constexpr int most_sent_for = 128;
    key_lane* spare_ = nullptr;
    key_lane* watched_ = nullptr;  // those that ran dry once, and perhaps are at work again
    key_lane* last_watched_ = nullptr;  // of no meaning without watched_
    mutable std::mutex lanes_lock_;
    std::deque<key_lane> lanes_;  // guarded by lanes_lock_; the sorter adds, nobody takes away
    std::atomic<key_lane*> dry_ = nullptr;
    mutable std::mutex ledger_lock_;  // if evicts_: guards the two below, and taking from any box
    std::deque<entry, detail::recycling_allocator<entry>> ledger_;
    std::size_t tidy_at_ = 64;
    sorter sorter_{*this};
};

}  // namespace posthaste
