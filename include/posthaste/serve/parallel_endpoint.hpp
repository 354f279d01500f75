// Up to n messages at a time, in no order.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include <posthaste/carry/work_queue.hpp>
#include <posthaste/detail/config.hpp>
#include <posthaste/detail/fixed_array.hpp>
#include <posthaste/detail/owned.hpp>
#include <posthaste/detail/steady_list.hpp>
#include <posthaste/serve/endpoint_core.hpp>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

namespace posthaste {

/// The endpoint behind `parallel(n)`: a work queue and n lanes, of which a bit map says which are
/// free.
class parallel_endpoint final : public endpoint_core {
public:
    parallel_endpoint(std::string name, executor& at, dead_letters& dead, detail::owned<handler> h,
                      const parallel& mode)
        : endpoint_core(std::move(name), at, dead, std::move(h), mode.capacity(), mode.full()),
          waits_(mode.full() == when_full::wait),
          queue_(static_cast<std::uint32_t>(mode.count())),
          free_((mode.count() + 63) / 64) {
        count_at(queue_.counts());
        for (std::size_t i = 0; i != mode.count(); ++i) {
            lanes_.add(*this, i);
            free_[i / 64].fetch_or(bit(i), std::memory_order_relaxed);
        }
    }

    lane* claim(envelope&) noexcept override { return queue_.claim() ? &free_lane() : nullptr; }
    at_once answer_watched(const handler_entry& how, void* message, void* answer,
                           watched_call& by) noexcept override {
        if (!queue_.claim()) return at_once::no;
        lane& l = free_lane();
        const at_once way = answer_on(l, how, message, answer, by);
        release(l);
        return way;
    }
    bool held_by(const call_chain& c) const noexcept override {
        return c.count(*this) >= lanes_.size();
    }
    void for_each_lane(void* with, void (*f)(void*, lane&)) override {
        for (std::size_t i = 0; i != lanes_.size(); ++i) f(with, lanes_[i]);
    }
    const lane* lane_number(std::size_t i) noexcept override {
        return i < lanes_.size() ? &lanes_[i] : nullptr;
    }

private:
    bool answer_claimed(const handler_entry& how, void* message, void* answer,
                        bus_keeper* failed) noexcept override {
        if (!queue_.claim()) return false;
        lane& l = free_lane();
        l.answer(how, message, answer, failed);
        return release(l);
    }
    // Who is on one shares no line with who is on the next one.
    struct alignas(detail::cache_line) numbered_lane : lane {
        numbered_lane(endpoint_core& e, std::size_t i) noexcept
            : lane(e, static_cast<std::uint32_t>(i)), index(i) {}
        const std::size_t index;
    };

    bool enqueue(envelope& e) noexcept override {
        const auto put = queue_.put(e);
        if (put == work_queue::put_result::claimed) home().post(free_lane());
        return put != work_queue::put_result::refused;
    }
    envelope* take(lane&) noexcept override {
        bool one_more = false;
        letter* const l = queue_.take(one_more, [this] {
            if (!waits_) taken_by_the_one();
        });
        if (one_more) home().post(free_lane());
        if (l && waits_) taken();
        return static_cast<envelope*>(l);
    }
    bool release(lane& l) noexcept override {
        const std::size_t i = static_cast<numbered_lane&>(l).index;
        free_[i / 64].fetch_or(bit(i), std::memory_order_release);  // (1)
        if (!queue_.release()) home().post(free_lane());  // still a reader, perhaps on another lane
        return true;
    }
    bool rests() const noexcept override { return none_is_aside() && queue_.idle(); }
    envelope* take_oldest() noexcept override {
        return static_cast<envelope*>(queue_.take_beside());
    }
    bool keeps_order() const noexcept override { return false; }
    void enter_again(envelope& e) noexcept override {
        if (queue_.put_back(e) == work_queue::put_result::claimed) home().post(free_lane());
    }
    void shut() noexcept override { queue_.shut(); }

    static constexpr std::uint64_t bit(std::size_t i) noexcept {
        return std::uint64_t{1} << (i % 64);
    }

    // Whoever is counted as a reader finds one: there are as many lanes as readers.
    lane& free_lane() noexcept {
        for (;;) {
            for (std::size_t w = 0; w != free_.size(); ++w) {
                std::uint64_t seen = free_[w].load(std::memory_order_relaxed);
                while (seen != 0) {
                    const std::uint64_t lowest = seen & (~seen + 1);
                    if (free_[w].compare_exchange_weak(seen, seen & ~lowest,
                                                       std::memory_order_acquire,  // (2)
                                                       std::memory_order_relaxed)) {
                        return lanes_[w * 64 + static_cast<std::size_t>(std::countr_zero(lowest))];
                    }
                }
            }
            std::this_thread::yield();
        }
    }

    // (1) releases what was done on the lane to (2), which acquires it.
    const bool waits_;  // when it is full
    work_queue queue_;
    detail::fixed_array<std::atomic<std::uint64_t>> free_;
    detail::steady_list<numbered_lane> lanes_;
};

}  // namespace posthaste
