// Producers that never have too much under way.  SPDX-License-Identifier: BSL-1.0
#pragma once

#include "measure.hpp"
#include "team.hpp"
#include "workloads.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <thread>
#include <type_traits>

inline constexpr std::uint32_t window = 4096;  ///< messages under way, of all producers
inline constexpr std::size_t most_producers = 4;

/// The 64-byte and larger ones carry bytes nobody reads, beyond those that every copy touches.
template <std::size_t Bytes>
struct numbered {
    std::uint32_t producer;
    std::uint32_t number;  ///< counts up for each producer
    std::array<std::byte, Bytes - 8> load;
};
template <>
struct numbered<8> {
    std::uint32_t producer;
    std::uint32_t number;
};

inline constexpr bool in_order = true, in_any_order = false;

/// What becomes of a message: it is counted. In order: by one thread at a time, and each producer's
/// as they were sent.
template <bool Ordered>
class receiver {
public:
    void one(const auto& message) noexcept {
        auto& n = handled_[message.producer].n;
        if constexpr (Ordered) {
            if (n.load(std::memory_order_relaxed) != message.number) fail("out of order");
            n.store(message.number + 1, std::memory_order_release);
        } else {
            n.fetch_add(1, std::memory_order_release);
        }
    }
    /// The calling producer waits until n of its messages are handled.
    void wait_for(std::size_t producer, std::uint32_t n) const noexcept {
        while (static_cast<std::int32_t>(n - count(producer)) > 0) std::this_thread::yield();
    }
    std::uint32_t count(std::size_t producer) const noexcept {
        return handled_[producer].n.load(std::memory_order_acquire);
    }
    std::uint32_t total() const noexcept {
        std::uint32_t sum = 0;
        for (std::size_t p = 0; p != most_producers; ++p) sum += count(p);
        return sum;
    }

private:
    struct alignas(64) counter {
        std::atomic<std::uint32_t> n = 0;
    };
    std::array<counter, most_producers> handled_;
};

/// What each of some producers sends of n messages.
constexpr std::uint32_t share_of(std::uint64_t n, std::size_t self, std::size_t producers) {
    return static_cast<std::uint32_t>(n / producers + (self < n % producers));
}

/// n messages from some threads, until the last one is handled. A producer that has used up its
/// share of the window yields its processor until half of that is handled, which it learns from the
/// receiver.
template <typename Contender, std::size_t Bytes>
class sends {
public:
    explicit sends(std::size_t producers) : to_(producers), producers_(producers) {}

    std::uint64_t operator()(std::uint64_t n) {
        const std::uint32_t before = to_.handled.total();
        producers_.run([&](std::size_t self) { send(self, share_of(n, self, producers_.size())); });
        return to_.handled.total() - before;
    }

private:
    void send(std::size_t self, std::uint32_t n) {
        const auto share = static_cast<std::uint32_t>(window / producers_.size());
        typename Contender::producer producer(to_);
        numbered<Bytes> m{};
        m.producer = static_cast<std::uint32_t>(self);
        m.number = to_.handled.count(self);  // all that were sent
        const std::uint32_t last = m.number + n;
        for (std::uint32_t allowed = m.number + share; m.number != last; ++m.number) {
            if (m.number == allowed) {
                to_.handled.wait_for(self, allowed - share / 2);
                allowed += share / 2;
            }
            producer.send(m);
        }
        to_.handled.wait_for(self, last);
    }
    Contender to_;
    team producers_;
};

/// The workloads with order, for a contender that is a template of the message's size.
template <template <std::size_t> typename Contender>
bool contend_by_sending(const std::string& name) {
    const auto with = [&]<std::size_t Bytes>(std::integral_constant<std::size_t, Bytes>,
                                             std::initializer_list<std::size_t> producers) {
        for (const std::size_t p : producers)
            contend<sends<Contender<Bytes>, Bytes>>(workload::send(Bytes, p, true), name, p);
    };
    with(std::integral_constant<std::size_t, 8>(), {1, 2, 4});
    with(std::integral_constant<std::size_t, 64>(), {1, 4});
    with(std::integral_constant<std::size_t, 1024>(), {1, 4});
    return true;
}
