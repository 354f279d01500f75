// Asio: channel and concurrent_channel, of Boost or alone.  SPDX-License-Identifier: BSL-1.0
//
// They are bounded: a coroutine that finds one full, or empty, waits. They are tried first, for
// waiting costs much more. Asio allocates by malloc(), from a cache, which is not counted.
#include "asio_context.hpp"
#include "audience.hpp"
#include "measure.hpp"
#include "window.hpp"
#include "workloads.hpp"

#if defined(ASIO_STANDALONE)
#  include <asio/experimental/channel.hpp>
#  include <asio/experimental/concurrent_channel.hpp>
#else
#  include <boost/asio/experimental/channel.hpp>
#  include <boost/asio/experimental/concurrent_channel.hpp>
#endif

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <type_traits>

// Asio has coroutines with some compilers only: with clang, later than its channels.
#if defined(ASIO_HAS_CO_AWAIT) || defined(BOOST_ASIO_HAS_CO_AWAIT)

namespace {

template <typename T>
using channel = asio::experimental::channel<void(error_code, T)>;
template <typename T>
using concurrent_channel = asio::experimental::concurrent_channel<void(error_code, T)>;

/// Handles what comes, until the channel is closed.
template <typename Channel, typename Handle>
asio::awaitable<void> consume(Channel& from, Handle handle) {
    for (error_code closed;;) {
        while (from.try_receive([&](error_code, const auto& m) { handle(m); })) {}
        const auto m = co_await from.async_receive(redirect_error(asio::use_awaitable, closed));
        if (closed) break;
        handle(m);
    }
}

/// Some consumers of one channel, on as many threads.
template <unsigned Consumers, unsigned Threads>
class consumers {
public:
    explicit consumers(std::size_t room) : channel_(on_.io(), room) {
        for (unsigned i = 0; i != Consumers; ++i) {
            asio::co_spawn(on_.io(),
                           consume(channel_, [this](const numbered<8>& m) { handled.one(m); }),
                           asio::detached);
        }
    }
    ~consumers() {
        channel_.close();
        on_.join();
    }
    receiver<Consumers == 1> handled;

protected:
    asio_context on_{Threads};
    concurrent_channel<numbered<8>> channel_;
};

/// The producers are threads that are not Asio's; they never find it full.
class shared_sink : public consumers<most_producers, most_producers> {
public:
    explicit shared_sink(std::size_t) : consumers(window) {}

    class producer {
    public:
        explicit producer(shared_sink& to) : to_(to) {}
        void send(const numbered<8>& m) {
            if (!to_.channel_.try_send(error_code(), m)) fail("refused");
        }

    private:
        shared_sink& to_;
    };
};

/// The producers are coroutines, on the consumers' two threads.
template <unsigned Consumers>
class waits : consumers<Consumers, 2> {
public:
    waits() : consumers<Consumers, 2>(workload::room) {}

    std::uint64_t operator()(std::uint64_t n) {
        const std::uint32_t before = this->handled.total();
        for (std::uint32_t p = 0; p != most_producers; ++p) {
            const std::uint32_t first = next_[p];
            next_[p] += share_of(n, p, most_producers);
            asio::co_spawn(this->on_.io(), produce(p, first, next_[p]), asio::detached);
        }
        for (std::size_t p = 0; p != most_producers; ++p) this->handled.wait_for(p, next_[p]);
        return this->handled.total() - before;
    }

private:
    asio::awaitable<void> produce(std::uint32_t p, std::uint32_t first, std::uint32_t last) {
        for (numbered<8> m{p, first}; m.number != last; ++m.number) {
            if (!this->channel_.try_send(error_code(), m))
                co_await this->channel_.async_send(error_code(), m, asio::use_awaitable);
        }
    }
    std::array<std::uint32_t, most_producers> next_{};
};

/// A channel for each subscriber; the publisher is a coroutine too.
template <std::size_t Subscribers, unsigned Threads>
class publishes {
public:
    static constexpr std::uint64_t batch = Subscribers;
    publishes() {
        for (std::size_t i = 0; i != Subscribers; ++i) {
            auto& own = to_.emplace_back(on_.io(), 2 * audience<Subscribers>::window);
            asio::co_spawn(on_.io(), consume(own, [this, i](const event& e) { heard_.one(i, e); }),
                           asio::detached);
        }
    }
    ~publishes() {
        on_.post([this] {
            for (auto& own : to_) own.close();
        });
        on_.join();
    }
    std::uint64_t operator()(std::uint64_t n) {
        asio::co_spawn(on_.io(), publish(n), asio::use_future).get();
        return n * Subscribers;
    }

private:
    using own_channel = std::conditional_t<Threads == 1, channel<event>, concurrent_channel<event>>;

    asio::awaitable<void> publish(std::uint64_t n) {
        const std::uint64_t last = next_ + n;
        for (; next_ != last; ++next_) {
            while (!heard_.is_ready_for(next_)) co_await yield();
            for (auto& own : to_) {
                if (!own.try_send(error_code(), event{next_})) fail("refused");
            }
        }
        while (heard_.all_heard() != last) co_await yield();
    }
    auto yield() { return asio::post(on_.io(), asio::use_awaitable); }

    audience<Subscribers> heard_;
    std::uint64_t next_ = 0;
    asio_context on_{Threads};
    std::deque<own_channel> to_;
};

template <std::size_t Subscribers>
bool to() {
    const std::string name = workload::publish(Subscribers);
    contend<publishes<Subscribers, 1>>(name, "Asio channel");
    contend<publishes<Subscribers, 2>>(name, "Asio channel, 2 threads");
    return true;
}

[[maybe_unused]] const bool contenders[] = {
    contend<sends<shared_sink, 8>>(workload::send_shared, "Asio channel", most_producers),
    contend<waits<1>>(workload::send_waiting, "Asio channel"),
    contend<waits<4>>(workload::send_shared_waiting, "Asio channel"),
    to<8>(),
    to<64>(),
};

}  // namespace

#endif
