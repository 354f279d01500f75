// In order for each key, keys beside one another.  SPDX-License-Identifier: BSL-1.0
#pragma once
// long: one state machine, all of it under one lock.

#include <posthaste/carry/mailbox.hpp>
#include <posthaste/detail/exchange.hpp>
#include <posthaste/detail/fixed_array.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/detail/recycler.hpp>
#include <posthaste/detail/spin_lock.hpp>
#include <posthaste/detail/steady_list.hpp>
#include <posthaste/detail/this_thread.hpp>
#include <posthaste/serve/endpoint_core.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace posthaste {

/// The endpoint behind `keyed(key_of)`: a mailbox, and lanes that take from it under a lock. A lane
/// that takes a message holds its key until no more of that are there. Who meets a message of a key
/// that another lane holds puts it behind that lane, and looks for the next. So only keys at work
/// are known, and there are no more lanes than there ever were of those at a time, and one for each
/// thread that looks for a message. With when_full::drop_oldest a ledger keeps in what order the
/// messages came that stand behind lanes.
///
/// Whoever holds the mailbox's claim is on the way to it: the comer, who is posted, or a lane that
/// takes. A comer that has found something releases the claim, or sends the next comer if there is
/// more. So no key waits for another one, however long a handler stands still.
template <typename KeyOf, typename Key, typename... Ms>
class keyed_endpoint final : public endpoint_core {
public:
    keyed_endpoint(std::string name, executor& at, dead_letters& dead, detail::owned<handler> h,
                   const keyed<KeyOf>& mode)
        : endpoint_core(std::move(name), at, dead, std::move(h), mode.capacity(), mode.full()),
          evicts_(mode.full() == when_full::drop_oldest),
          waits_(mode.full() == when_full::wait),
          key_of_(mode.key_of()) {
        count_at(box_.counts());
        put_straight(box_, comer_);
    }

    lane* claim(envelope& e) noexcept override {
        key_lane* got = nullptr;
        bool one_more = false;
        {
            const std::unique_lock guard(lock_, std::try_to_lock);
            if (!guard || !box_.claim()) return nullptr;
            got = begin_lane();
            if (got && lane_for(e, *got) != got) end_lane(*detail::exchange(got, nullptr));
            one_more = !box_.release();
        }
        if (one_more) home().post(comer_);
        return got;
    }
    void for_each_lane(void* with, void (*f)(void*, lane&)) override {
        for (std::size_t i = 0; key_lane* const l = key_lane_number(i); ++i)
            f(with, *l);  // not locked
    }
    const lane* lane_number(std::size_t i) noexcept override { return key_lane_number(i); }

private:
    // Whoever went to rest has left the lock, too. Who is at a key is not waited for: he may want
    // what this thread has, or be this thread, as the key unsubscribes it; and a lane is at work.
    bool rests() const noexcept override {
        if (!lock_.lock_unless(at_key_)) return false;
        const std::lock_guard guard(lock_, std::adopt_lock);
        return box_.idle() && at_work_ == 0;
    }
    // All but the lane itself is guarded by lock_. Who is on one shares no line with the next one.
    struct alignas(detail::cache_line) key_lane : lane {
        using lane::lane;
        using lane::sit_in;
        std::optional<Key> key;  // kept when it is let go: to assign to it may take no memory
        std::size_t hash = 0;
        bool holds = false;  // its key
        bool sits = false;  // in its slot: while it holds a key, and from one to the next
        std::uint32_t slot = 0;
        bool comes = false;  // with the claim of box_
        key_lane* next = nullptr;  // that holds a key of the same bucket, or is spare
        letter *oldest = nullptr, *newest = nullptr;  // of those behind it; newest: if oldest is
        std::uint64_t came = 0, went = 0;  // behind it, and from there, if evicts_
    };
    struct entry {
        key_lane* where;
        std::uint64_t number;  // its place among all that came to stand behind that lane
        bool over() const noexcept { return where->went >= number; }
    };
    struct comer : work {
        keyed_endpoint& of;
        explicit comer(keyed_endpoint& e) noexcept : of(e) {
            run = [](work& w) noexcept { static_cast<comer&>(w).of.come(); };
        }
    };
    struct found {
        envelope* message = nullptr;
        enum : unsigned char { to_handle, without_lane, in_circle } as = to_handle;
    };

    bool enqueue(envelope& e) noexcept override {
        const auto put = box_.put(e);
        if (put == mailbox::put_result::claimed) home().post(comer_);
        return put != mailbox::put_result::refused;
    }
    void come() noexcept {
        key_lane* l = nullptr;
        {
            const std::lock_guard guard(lock_);
            l = begin_lane();
            if (l) l->comes = true;
        }
        l ? l->run(*l) : come_without_lane();
    }
    POSTHASTE_NOINLINE void come_without_lane() noexcept {
        const resting held(*this);
        const dropping meanwhile(*this);
        envelope* e = nullptr;
        {
            const std::lock_guard guard(lock_);
            e = static_cast<envelope*>(box_.take());
            if (!e && box_.release()) return;
        }
        home().post(comer_);
        if (e) give_up_unsorted(*e);
    }
    void give_up_unsorted(envelope& e) noexcept {
        drop(e, "no memory for its key, or the key could not be had");
    }

    envelope* take(lane& l) noexcept override {
        key_lane& one = static_cast<key_lane&>(l);
        for (;;) {
            found f;
            bool one_more = false;
            {
                const std::lock_guard guard(lock_);
                f = next(one);
                if (f.message && f.as == found::to_handle && !waits_) taken_by_the_one();
                if (detail::exchange(one.comes, false)) one_more = !box_.release();
            }
            if (one_more) home().post(comer_);
            if (!f.message) return nullptr;
            switch (f.as) {
                case found::to_handle:
                    if (waits_) taken();
                    return f.message;
                case found::without_lane: give_up_unsorted(*f.message); break;
                case found::in_circle: refuse_circle(*f.message); break;
            }
        }
    }
    bool release(lane& l) noexcept override {
        key_lane& one = static_cast<key_lane&>(l);
        const std::lock_guard guard(lock_);
        if (one.oldest) return false;
        end_lane(one);
        return true;
    }

    // The following are called under lock_.

    // What `by` handles next, the key of which it holds then. Others it leaves behind their lanes,
    // but not too many: whoever holds the claim goes on with that.
    found next(key_lane& by) noexcept {
        if (envelope* const e = pop(by)) return {e};
        for (int looks = 64; looks != 0; --looks) {
            envelope* const e = static_cast<envelope*>(box_.take());
            if (!e) break;
            key_lane* const at = lane_for(*e, by);
            if (at == &by) return {e};
            const bool circle = at && asked(*e) && e->call()->chain.has(*at);
            if (at && !circle && stand_behind(*e, *at)) continue;
            let_go(by);  // it may take long now
            return {e, circle ? found::in_circle : found::without_lane};
        }
        let_go(by);
        return {};
    }
    // False: no memory.
    bool stand_behind(envelope& e, key_lane& at) noexcept {
        if (evicts_ && !enter(at)) return false;
        e.next = nullptr;
        (at.oldest ? at.newest->next : at.oldest) = &e;
        at.newest = &e;
        return true;
    }
    envelope* pop(key_lane& l) noexcept {
        letter* const e = l.oldest;
        if (!e) return nullptr;
        l.oldest = e->next;
        detail::prefetch(l.oldest);
        ++l.went;
        return static_cast<envelope*>(e);
    }
    // Those that are over are left out now and then, so that the ledger is never much longer than
    // the queue was.
    bool enter(key_lane& at) noexcept {
        if (order_.size() >= tidy_at_) {
            std::erase_if(order_, [](const entry& e) { return e.over(); });
            oldest_ = 0;
            tidy_at_ = std::max<std::size_t>(64, 2 * order_.size());
        }
        return detail::guarded(
            [&] { return order_.push_back({&at, at.came + 1}), ++at.came, true; },
            [](const std::exception_ptr&) { return false; });
    }

    // The lane that holds the key of `e`: `by` from now on, if none did. nullptr: the key threw.
    key_lane* lane_for(envelope& e, key_lane& by) noexcept {
        struct row {
            const detail::message_type* type;
            key_lane& (*lane_of)(keyed_endpoint&, envelope&, key_lane&);
        };
        static constexpr std::array<row, sizeof...(Ms)> rows{
            {{&detail::type_of<std::remove_const_t<Ms>>,
              [](keyed_endpoint& self, envelope& of, key_lane& or_else) -> key_lane& {
                  const Ms& message = of.as<Ms>();
                  return self.lane_of(std::invoke(self.key_of_, message), or_else);
              }}...}};
        std::size_t i = 0;
        while (rows[i].type != &e.type()) ++i;  // only the Ms come here
        bool& asking = detail::this_thread().asking;
        const bool before = detail::exchange(asking, true);
        at_key_.store(true, std::memory_order_relaxed);
        key_lane* const at =
            detail::guarded([&] { return &rows[i].lane_of(*this, e, by); },
                            [](const std::exception_ptr&) -> key_lane* { return nullptr; });
        at_key_.store(false, std::memory_order_relaxed);
        asking = before;
        return at;
    }
    key_lane& lane_of(const Key& key, key_lane& or_else) {
        if (or_else.holds && std::equal_to<Key>()(*or_else.key, key)) return or_else;
        const std::size_t hash = std::hash<Key>()(key);
        for (key_lane* l = bucket_of(hash); l; l = l->next) {
            if (l->hash == hash && std::equal_to<Key>()(*l->key, key)) return *l;
        }
        let_go_of_key(or_else);
        if constexpr (std::is_copy_assignable_v<Key>) or_else.key = key;
        else or_else.key.emplace(key);
        or_else.hash = hash;
        or_else.holds = true;
        if (!or_else.sits) take_slot(or_else);
        or_else.next = detail::exchange(bucket_of(hash), &or_else);
        return or_else;
    }
    void let_go(key_lane& l) noexcept {
        let_go_of_key(l);
        if (!detail::exchange(l.sits, false)) return;
        free_slots_.push_back(l.slot);  // there is room: for as many as there are lanes
    }
    void let_go_of_key(key_lane& l) noexcept {
        if (!detail::exchange(l.holds, false)) return;
        key_lane** link = &bucket_of(l.hash);
        while (*link != &l) link = &(*link)->next;
        *link = l.next;
    }
    POSTHASTE_NOINLINE void take_slot(key_lane& l) noexcept {
        if (free_slots_.empty()) {
            l.slot = slots_++;
        } else {
            l.slot = free_slots_.back();
            free_slots_.pop_back();
        }
        l.sit_in(l.slot);
        l.sits = true;
    }
    // Multiplicative hashing: Knuth, The Art of Computer Programming, volume 3, section 6.4.
    key_lane*& bucket_of(std::size_t hash) noexcept {
        const std::uint64_t spread = std::uint64_t{hash} * 0x9e37'79b9'7f4a'7c15;
        return buckets_[static_cast<std::size_t>(spread >> 32) & (buckets_.size() - 1)];
    }

    // nullptr: no memory.
    key_lane* begin_lane() noexcept {
        if (!spare_) make_lane();
        if (!spare_) return nullptr;
        ++at_work_;
        return detail::exchange(spare_, spare_->next);
    }
    void end_lane(key_lane& l) noexcept {
        let_go(l);
        l.next = detail::exchange(spare_, &l);
        --at_work_;
    }
    POSTHASTE_NOINLINE void make_lane() noexcept {
        detail::guarded(
            [&] {
                if (lanes_.size() >= buckets_.size()) grow();
                const std::lock_guard guard(lanes_lock_);
                spare_ = &lanes_.add(*this, static_cast<std::uint32_t>(lanes_.size()));
            },
            [](const std::exception_ptr&) {});
    }
    void grow() {
        detail::fixed_array<key_lane*> more(std::max<std::size_t>(16, 2 * buckets_.size()));
        free_slots_.reserve(more.size());
        buckets_ = std::move(more);
        for (std::size_t i = 0; i != lanes_.size(); ++i) {
            key_lane& l = lanes_[i];
            if (l.holds) l.next = detail::exchange(bucket_of(l.hash), &l);
        }
    }
    key_lane* key_lane_number(std::size_t i) noexcept {
        const std::lock_guard guard(lanes_lock_);
        return i < lanes_.size() ? &lanes_[i] : nullptr;
    }

    // The first that is not over is the first behind its lane. What is in the mailbox is younger.
    // Who is at a key just now, here or elsewhere, and sends here of all things, waits for nobody:
    // whoever has this lock may be at a key that sends there. Then nothing gives way.
    envelope* take_oldest() noexcept override {
        std::unique_lock guard(lock_, std::try_to_lock);
        if (!guard) {
            if (detail::this_thread().asking) return nullptr;
            guard.lock();
        }
        while (oldest_ != order_.size() && order_[oldest_].over()) ++oldest_;
        if (oldest_ == order_.size())
            return box_.idle() ? nullptr : static_cast<envelope*>(box_.take());
        return pop(*order_[oldest_].where);
    }
    void shut() noexcept override { box_.shut(); }

    const bool evicts_, waits_;  // when it is full
    const KeyOf key_of_;
    mailbox box_;
    // Also while a key is asked for, compared and copied: whoever has these do so waits for nobody.
    alignas(detail::cache_line) mutable detail::spin_lock lock_;
    // The holder of lock_ is in user code. Written under lock_; relaxed: whoever reads it decides
    // by that whether to wait for lock_, and has what lock_ guards only from lock_ itself.
    std::atomic<bool> at_key_ = false;
    // All below guarded by lock_, and so is taking from the mailbox, and releasing its claim.
    std::size_t at_work_ = 0;  // lanes
    key_lane* spare_ = nullptr;
    std::uint32_t slots_ = 0;  // as many as there ever were keys at work at a time
    std::vector<std::uint32_t> free_slots_;
    detail::fixed_array<key_lane*> buckets_;  // 16, 32, ... of the lanes that hold keys
    std::vector<entry, detail::recycling_allocator<entry>> order_;
    std::size_t oldest_ = 0;  // in order_: those before are over
    std::size_t tidy_at_ = 64;
    std::mutex lanes_lock_;
    detail::steady_list<key_lane> lanes_;  // guarded by lanes_lock_ too; nobody takes away
    comer comer_{*this};
};

}  // namespace posthaste
