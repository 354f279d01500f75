// Boost.Fiber: buffered_channel and promise.  SPDX-License-Identifier: BSL-1.0
//
// A channel is bounded: who sends to a full one waits. There is no deadline and no cancellation.
#include "measure.hpp"
#include "window.hpp"
#include "workloads.hpp"

#include <boost/fiber/buffered_channel.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>

#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace fibers = boost::fibers;

struct request {
    std::uint64_t to = 0;
    fibers::promise<std::uint64_t>* answer = nullptr;
};

/// So many fibers on one thread, each of which makes n calls to another one.
template <std::size_t Callers, bool Busy = false>
class calls {
public:
    static constexpr std::uint64_t batch = Callers;
    ~calls() {
        requests_.close();
        server_.join();
    }
    std::uint64_t operator()(std::uint64_t n) {
        if constexpr (Callers == 1) return call_in_turn(n);
        std::vector<fibers::fiber> callers;
        std::uint64_t done = 0;
        for (std::size_t i = 0; i != Callers; ++i)
            callers.emplace_back([&] { done += call_in_turn(n); });
        for (auto& c : callers) c.join();
        return done;
    }

private:
    std::uint64_t call_in_turn(std::uint64_t n) {
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i != n; ++i) {
            if (Busy) requests_.push({sum, nullptr});
            fibers::promise<std::uint64_t> answer;
            requests_.push({sum, &answer});
            sum = answer.get_future().get();
        }
        return sum;
    }
    fibers::buffered_channel<request> requests_{128};
    fibers::fiber server_{[this] {
        for (const request& r : requests_) {
            if (r.answer) r.answer->set_value(r.to + 1);
        }
    }};
};

/// The producers' threads run a fiber each.
template <std::size_t Bytes>
class sink {
public:
    explicit sink(std::size_t) {}
    ~sink() {
        channel_.close();
        thread_.join();
    }
    receiver<in_order> handled;

    class producer {
    public:
        explicit producer(sink& to) : to_(to) {}
        void send(const numbered<Bytes>& m) { to_.channel_.push(m); }

    private:
        sink& to_;
    };

private:
    fibers::buffered_channel<numbered<Bytes>> channel_{std::size_t{2} * window};
    std::thread thread_{[this] {
        for (const auto& m : channel_) handled.one(m);
    }};
};

/// Producers and consumers are a thread each. A channel has room for one less than it is told.
template <unsigned Consumers>
class waits {
public:
    waits() {
        for (unsigned i = 0; i != Consumers; ++i) {
            threads_.emplace_back([this] {
                for (const auto& m : channel_) handled_.one(m);
            });
        }
    }
    ~waits() {
        channel_.close();
        for (auto& t : threads_) t.join();
    }
    std::uint64_t operator()(std::uint64_t n) {
        const std::uint32_t before = handled_.total();
        producers_.run([&](std::size_t self) {
            std::uint32_t number = handled_.count(self);
            for (std::uint32_t i = share_of(n, self, most_producers); i != 0; --i)
                channel_.push({static_cast<std::uint32_t>(self), number++});
            handled_.wait_for(self, number);
        });
        return handled_.total() - before;
    }

private:
    receiver<Consumers == 1> handled_;
    fibers::buffered_channel<numbered<8>> channel_{workload::room};
    std::vector<std::thread> threads_;
    team producers_{most_producers};
};

[[maybe_unused]] const bool contenders[] = {
    contend<calls<1>>(workload::call_idle, "Boost.Fiber"),
    contend<calls<1, true>>(workload::call_busy, "Boost.Fiber"),
    contend<calls<64>>(workload::callers_1, "Boost.Fiber"),
    contend_by_sending<sink>("Boost.Fiber"),
    contend<waits<1>>(workload::send_waiting, "Boost.Fiber"),
    contend<waits<4>>(workload::send_shared_waiting, "Boost.Fiber"),
};

}  // namespace
